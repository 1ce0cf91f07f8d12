//! Where the server is made, and what is done to one that is there.

use super::{Change, Place, Planner, price_in};
use crate::api::model::{Server, ServerType};
use crate::names::BAKED_IMAGE;

impl Planner<'_> {
    pub(super) fn server(&mut self) {
        match &self.world.server {
            None => self.new_server(),
            Some(server) => self.existing_server(server),
        }
    }

    fn new_server(&mut self) {
        let (places, missed) = self.places();
        let Some(first) = places.first() else {
            return self.obstacle(format!(
                "no place for the server: {}; name other types or locations in project.toml, or try later; nothing was changed",
                missed.join("; ")
            ));
        };
        let mut reason = "there is none".to_owned();
        if !missed.is_empty() {
            reason = format!("{reason}; {}", missed.join("; "));
        }
        let architecture = self.architecture_of(&self.project.server_types[0]);
        if let Some(wanted) = architecture.filter(|wanted| *wanted != first.architecture) {
            reason = format!("{reason}; the architecture changes from {wanted} to {}", first.architecture);
        }
        let (name, monthly) = (self.names.server(), first.monthly);
        self.add_priced(Change::CreateServer { name, places }, reason, monthly);
    }

    fn existing_server(&mut self, server: &Server) {
        self.check_place("server", &server.name, server.location.as_ref());
        let retyped = self.server_type(server);
        if self.wish.rebuild {
            self.rebuild(server);
        } else if let Some(image) = server.image.as_ref().and_then(|image| image.name.as_ref())
            && *image != self.project.image
        {
            self.keep(format!(
                "the server was made from {image}, the project says {}: `provision --rebuild` overwrites its root disk in place",
                self.project.image
            ));
        }
        if server.status == "off" && !retyped && !self.wish.rebuild {
            self.add(Change::PowerOn { server: server.id }, "it is off");
        }
    }

    fn rebuild(&mut self, server: &Server) {
        let architecture =
            self.architecture_of(&server.server_type.name).unwrap_or(&server.server_type.architecture);
        let Some(image) = self.world.images.iter().find(|image| image.architecture == architecture) else {
            return self.obstacle(format!(
                "the server cannot be rebuilt: the cloud has no image {:?} for {architecture}; nothing was changed",
                self.project.image
            ));
        };
        let (id, stock_image) = (image.id, !image.labels.contains_key(BAKED_IMAGE));
        if self.project.snapshot_before_rebuild {
            let description = format!("{} before it was rebuilt", server.name);
            self.add(
                Change::Snapshot { server: server.id, description },
                "what is overwritten can be looked up; delete it when it is not needed",
            );
        }
        let change = Change::RebuildServer {
            server: server.id,
            image: id,
            stock_image,
            protected: server.protection.delete,
        };
        self.add(change, "asked for by --rebuild");
    }

    /// A server of a type that the project does not name gets the first that fits it. Says whether it will.
    fn server_type(&mut self, server: &Server) -> bool {
        let from = &server.server_type.name;
        let wanted = &self.project.server_types;
        if wanted.contains(from) {
            return false;
        }
        let location = server.location.as_ref().map_or("", |l| l.name.as_str());
        let now = self.sold(from).unwrap_or(&server.server_type);
        let fits = |kind: &&ServerType| {
            kind.architecture == now.architecture && kind.disk >= now.disk && in_stock(kind, location)
        };
        let fitting = wanted.iter().filter_map(|name| self.sold(name)).find(fits);
        match fitting.map(|kind| kind.name.clone()) {
            Some(to) => {
                let change = Change::ChangeServerType { server: server.id, from: from.clone(), to };
                self.add(change, "the project says another type");
                true
            }
            None => {
                self.keep(format!(
                    "the server is a {from}, the project says {}: none of these has its architecture, a disk that is no smaller, and stock in {location}",
                    wanted.join(", ")
                ));
                false
            }
        }
    }

    /// Where the server can be made, in the order it is tried, and why not elsewhere.
    fn places(&self) -> (Vec<Place>, Vec<String>) {
        let (mut places, mut missed) = (Vec::new(), Vec::new());
        for name in &self.project.server_types {
            let Some(kind) = self.sold(name) else {
                missed.push(format!("the cloud sells no server type {name:?}"));
                continue;
            };
            let image = self.world.images.iter().find(|image| image.architecture == kind.architecture);
            let Some(image) = image else {
                missed.push(format!(
                    "the cloud has no image {:?} for {name} ({})",
                    self.project.image, kind.architecture
                ));
                continue;
            };
            for location in self.locations() {
                if in_stock(kind, &location) {
                    places.push(Place {
                        server_type: name.clone(),
                        architecture: kind.architecture.clone(),
                        image: image.id,
                        stock_image: !image.labels.contains_key(BAKED_IMAGE),
                        monthly: price_in(&kind.prices, &location),
                        location,
                    });
                } else {
                    missed.push(format!("{name} is out of stock in {location}"));
                }
            }
        }
        (places, missed)
    }

    /// Where the server may be: where its volume and addresses are, since these cannot be moved, else the project's list.
    fn locations(&self) -> Vec<String> {
        let world = self.world;
        let ips = [&world.ipv4, &world.ipv6].into_iter().flatten().map(|ip| ip.location.as_ref());
        let bound =
            world.volume.as_ref().map(|v| v.location.as_ref()).into_iter().chain(ips).flatten().next();
        bound.map_or_else(|| self.project.locations.clone(), |location| vec![location.name.clone()])
    }

    /// Where the first attempt is made.
    pub(super) fn first_location(&self) -> String {
        let planned = self.plan.changes.iter().find_map(|planned| match &planned.change {
            Change::CreateServer { places, .. } => places.first().map(|place| place.location.clone()),
            _ => None,
        });
        planned.unwrap_or_else(|| self.locations().swap_remove(0))
    }

    fn sold(&self, name: &str) -> Option<&ServerType> {
        self.world.server_types.iter().find(|kind| kind.name == name)
    }

    fn architecture_of(&self, name: &str) -> Option<&str> {
        self.sold(name).map(|kind| kind.architecture.as_str())
    }
}

/// Whether a type can be had in a location, as far as the cloud says; what it does not say is tried.
fn in_stock(kind: &ServerType, location: &str) -> bool {
    let place = kind.locations.iter().find(|place| place.name == location);
    match place {
        Some(place) => place.available != Some(false),
        None => kind.locations.is_empty(),
    }
}
