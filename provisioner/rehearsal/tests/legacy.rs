//! The old form of the API against a client that knows no other: the crate `hcloud` with its closed enums and
//! required fields. What it cannot decode is an error here.

#[path = "common/paper.rs"]
mod paper;

use hcloud::apis::configuration::Configuration;
use hcloud::apis::{
    actions_api, datacenters_api, firewalls_api, images_api, primary_ips_api, server_types_api, servers_api,
    ssh_keys_api, volumes_api,
};
use hcloud::models::{self, primary_ip, server};
use rehearsal::{Clock, Config, Profile, Running};
use std::error::Error;

type Outcome = Result<(), Box<dyn Error>>;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL";

/// A cloud of the old form, and the crate set up to speak to it.
struct Scene {
    cloud: Configuration,
    _running: Running,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new(profile: Profile) -> Result<Self, Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let clock = Clock::Virtual { auto: true };
        let config = Config { profile, clock, action_ms: 1000, ..paper::config(&dir.path().join("cloud")) };
        let running = rehearsal::start(config).await?;
        let mut cloud = Configuration::new();
        cloud.bearer_access_token = Some(running.token().to_owned());
        cloud.base_path_mapping.insert("https://api.hetzner.cloud/v1".into(), running.url());
        Ok(Self { cloud, _running: running, _dir: dir })
    }

    /// Asks for an action until it has ended well; each time the clock moves on.
    async fn wait(&self, action: &models::Action) -> Outcome {
        for _ in 0..20 {
            let params = actions_api::GetActionParams { id: action.id };
            let now = actions_api::get_action(&self.cloud, params).await?.action;
            match now.status {
                models::action::Status::Running => {}
                models::action::Status::Success => return Ok(()),
                models::action::Status::Error => return Err(format!("{now:?}").into()),
            }
        }
        Err(format!("{action:?} does not end").into())
    }

    async fn server(&self, id: i64) -> Result<models::Server, Box<dyn Error>> {
        let found = servers_api::get_server(&self.cloud, servers_api::GetServerParams { id }).await?;
        Ok(*found.server.ok_or("no server")?)
    }
}

#[tokio::test]
async fn what_is_on_offer_is_decoded() -> Outcome {
    let scene = Scene::new(Profile::Legacy).await?;
    let cloud = &scene.cloud;
    let types = server_types_api::list_server_types(cloud, Default::default()).await?.server_types;
    let cax11 = types.iter().find(|kind| kind.name == "cax11").ok_or("no cax11")?;
    let images = images_api::list_images(cloud, Default::default()).await?.images;
    assert_eq!(images.iter().filter(|image| image.name.as_deref() == Some("debian-13")).count(), 2);
    let params = images_api::GetImageParams { id: images[0].id };
    assert_eq!(images_api::get_image(cloud, params).await?.image.map(|image| image.id), Some(images[0].id));
    let datacenters = datacenters_api::list_data_centers(cloud, Default::default()).await?;
    assert_eq!(datacenters.datacenters.len(), 6);
    assert!(datacenters.datacenters.iter().any(|dc| dc.id == datacenters.recommendation));
    let id = 4;
    let falkenstein = datacenters_api::get_data_center(cloud, datacenters_api::GetDataCenterParams { id });
    let falkenstein = falkenstein.await?.datacenter;
    assert_eq!((falkenstein.name.as_str(), falkenstein.location.name.as_str()), ("fsn1-dc14", "fsn1"));
    assert!(falkenstein.server_types.available.contains(&cax11.id));
    Ok(())
}

#[tokio::test]
async fn keys_firewalls_and_volumes_come_and_go() -> Outcome {
    let scene = Scene::new(Profile::Legacy).await?;
    let cloud = &scene.cloud;

    let create_ssh_key_request = models::CreateSshKeyRequest::new("laptop".into(), KEY.into());
    let params = ssh_keys_api::CreateSshKeyParams { create_ssh_key_request };
    let key = ssh_keys_api::create_ssh_key(cloud, params).await?.ssh_key;
    let params = ssh_keys_api::GetSshKeyParams { id: key.id };
    assert_eq!(ssh_keys_api::get_ssh_key(cloud, params).await?.ssh_key.name, "laptop");
    assert_eq!(ssh_keys_api::list_ssh_keys(cloud, Default::default()).await?.ssh_keys.len(), 1);
    ssh_keys_api::delete_ssh_key(cloud, ssh_keys_api::DeleteSshKeyParams { id: key.id }).await?;
    assert_eq!(ssh_keys_api::list_ssh_keys(cloud, Default::default()).await?.ssh_keys.len(), 0);

    let mut rule = models::Rule::new(models::rule::Direction::In, models::rule::Protocol::Tcp);
    rule.port = Some(Some("22".into()));
    rule.source_ips = Some(vec!["0.0.0.0/0".into()]);
    let mut create_firewall_request = models::CreateFirewallRequest::new("ssh".into());
    create_firewall_request.rules = Some(vec![rule]);
    let params = firewalls_api::CreateFirewallParams { create_firewall_request };
    let firewall = firewalls_api::create_firewall(cloud, params).await?.firewall.ok_or("no firewall")?;
    assert_eq!(firewalls_api::list_firewalls(cloud, Default::default()).await?.firewalls.len(), 1);
    firewalls_api::delete_firewall(cloud, firewalls_api::DeleteFirewallParams { id: firewall.id }).await?;

    let mut create_volume_request = models::CreateVolumeRequest::new("data".into(), 10);
    create_volume_request.location = Some("fsn1".into());
    let made =
        volumes_api::create_volume(cloud, volumes_api::CreateVolumeParams { create_volume_request }).await?;
    scene.wait(&made.action).await?;
    let id = made.volume.id;
    let volume = volumes_api::get_volume(cloud, volumes_api::GetVolumeParams { id }).await?.volume;
    assert_eq!(volume.status, models::volume::Status::Available);
    assert_eq!(volumes_api::list_volumes(cloud, Default::default()).await?.volumes.len(), 1);
    volumes_api::delete_volume(cloud, volumes_api::DeleteVolumeParams { id }).await?;
    Ok(())
}

fn address() -> primary_ips_api::CreatePrimaryIpParams {
    let assignee = models::create_primary_ip_request::AssigneeType::Server;
    let mut request = models::CreatePrimaryIpRequest::new(assignee, "front".into(), models::IpType::Ipv4);
    request.location = Some("fsn1".into());
    primary_ips_api::CreatePrimaryIpParams { create_primary_ip_request: request }
}

#[tokio::test]
async fn an_address_that_nobody_has_is_a_server_s() -> Outcome {
    let scene = Scene::new(Profile::Legacy).await?;
    let cloud = &scene.cloud;
    let made = primary_ips_api::create_primary_ip(cloud, address()).await?.primary_ip;
    let listed = primary_ips_api::list_primary_ips(cloud, Default::default()).await?.primary_ips;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].assignee_type, listed[0].assignee_id), (primary_ip::AssigneeType::Server, None));
    primary_ips_api::delete_primary_ip(cloud, primary_ips_api::DeletePrimaryIpParams { id: made.id }).await?;
    Ok(())
}

#[tokio::test]
async fn the_crate_fails_where_the_api_is_the_present_one() -> Outcome {
    let scene = Scene::new(Profile::Current).await?;
    let made = primary_ips_api::create_primary_ip(&scene.cloud, address()).await;
    let Err(hcloud::apis::Error::Serde(error)) = made else { return Err(format!("{made:?}").into()) };
    assert!(error.to_string().contains("unassigned"), "{error}");
    let gone = datacenters_api::list_data_centers(&scene.cloud, Default::default()).await;
    let Err(hcloud::apis::Error::ResponseError(answer)) = gone else { return Err("not gone".into()) };
    assert_eq!(answer.status.as_u16(), 410);
    Ok(())
}

#[tokio::test]
async fn a_server_lives_its_life() -> Outcome {
    let scene = Scene::new(Profile::Legacy).await?;
    let cloud = &scene.cloud;
    let ip = primary_ips_api::create_primary_ip(cloud, address()).await?.primary_ip;
    let mut request = models::CreateServerRequest::new("debian-13".into(), "demo".into(), "cax11".into());
    request.location = Some("fsn1".into());
    let mut net = models::CreateServerRequestPublicNet::new();
    net.ipv4 = Some(Some(i32::try_from(ip.id)?));
    request.public_net = Some(Box::new(net));
    let params = servers_api::CreateServerParams { create_server_request: request };
    let made = servers_api::create_server(cloud, params).await?;
    assert_eq!(made.server.status, server::Status::Initializing);
    scene.wait(&made.action).await?;
    for action in &made.next_actions {
        scene.wait(action).await?;
    }
    let id = made.server.id;
    let running = scene.server(id).await?;
    assert_eq!(running.status, server::Status::Running);
    assert_eq!(running.public_net.ipv4.map(|own| own.ip), Some(ip.ip));
    assert_eq!(servers_api::list_servers(cloud, Default::default()).await?.servers.len(), 1);

    let off = servers_api::power_off_server(cloud, servers_api::PowerOffServerParams { id }).await?;
    scene.wait(&off.action).await?;
    assert_eq!(scene.server(id).await?.status, server::Status::Off);
    let on = servers_api::power_on_server(cloud, servers_api::PowerOnServerParams { id }).await?;
    scene.wait(&on.action).await?;
    assert_eq!(scene.server(id).await?.status, server::Status::Running);

    let gone = servers_api::delete_server(cloud, servers_api::DeleteServerParams { id }).await?;
    scene.wait(&*gone.action.ok_or("no action")?).await?;
    assert_eq!(servers_api::list_servers(cloud, Default::default()).await?.servers.len(), 0);
    let params = primary_ips_api::GetPrimaryIpParams { id: ip.id };
    assert_eq!(primary_ips_api::get_primary_ip(cloud, params).await?.primary_ip.assignee_id, None);
    Ok(())
}
