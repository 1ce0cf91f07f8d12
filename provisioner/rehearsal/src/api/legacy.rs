//! The API as it was in June 2026, for clients that know nothing later. The present API knows nothing of it: requests are
//! translated before they reach it, and its answers on their way out:
//!
//! * Servers and primary IPs have a `datacenter`, and one is taken in their orders, by name or id.
//! * `/datacenters` is there.
//! * A primary IP's `assignee_type` is always `server`.
//! * Images have `deprecated`.

use super::input::{Query, Reference};
use super::listing::Listing;
use super::{Reply, ok, parse_id, take_in};
use crate::cloud::Cloud;
use crate::cloud::catalog::{SERVER_TYPES, ServerType, render_location};
use crate::cloud::state::State;
use crate::error::ApiError;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// A data center: one for each location.
struct Datacenter {
    id: u64,
    name: &'static str,
    description: &'static str,
    location: &'static str,
}

const fn datacenter(
    id: u64,
    name: &'static str,
    description: &'static str,
    location: &'static str,
) -> Datacenter {
    Datacenter { id, name, description, location }
}

const DATACENTERS: [Datacenter; 6] = [
    datacenter(2, "nbg1-dc3", "Nuremberg 1 virtual DC 3", "nbg1"),
    datacenter(3, "hel1-dc2", "Helsinki 1 virtual DC 2", "hel1"),
    datacenter(4, "fsn1-dc14", "Falkenstein 1 virtual DC 14", "fsn1"),
    datacenter(5, "ash-dc1", "Ashburn virtual DC 1", "ash"),
    datacenter(6, "hil-dc1", "Hillsboro virtual DC 1", "hil"),
    datacenter(7, "sin-dc1", "Singapore virtual DC 1", "sin"),
];

impl Datacenter {
    fn render(&self, state: &State) -> Value {
        let ids = |of: &dyn Fn(&ServerType) -> bool| -> Vec<u64> {
            SERVER_TYPES.iter().filter(|kind| of(kind)).map(|kind| kind.id).collect()
        };
        let available = ids(&|kind| kind.is_in_stock(state, self.location));
        json!({
            "id": self.id, "name": self.name, "description": self.description,
            "location": render_location(self.location),
            "server_types": {"supported": ids(&|kind| kind.is_sold_in(self.location)),
                "available": available, "available_for_migration": available},
        })
    }
}

/// Answers a request in the old form.
pub(super) async fn run(cloud: &Arc<Cloud>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if let Some(rest) = path.strip_prefix("/v1/datacenters").filter(|_| method == Method::GET) {
        return match rest.strip_prefix('/') {
            Some(id) => one(cloud, id).into_response(),
            None if rest.is_empty() => list(cloud, request.uri().clone()).await.into_response(),
            None => next.run(request).await,
        };
    }
    let orders = ["/v1/servers", "/v1/primary_ips"];
    let request = if method == Method::POST && orders.contains(&path.as_str()) {
        match translate(request).await {
            Ok(request) => request,
            Err(error) => return error.into_response(),
        }
    } else {
        request
    };
    let response = next.run(request).await;
    change(response, |answer| cloud.read(|state| age(state, answer))).await
}

async fn list(cloud: &Arc<Cloud>, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let all: Vec<_> = cloud.read(|state| DATACENTERS.iter().map(|dc| dc.render(state)).collect());
    let recommended = all.iter().find(|dc| dc["server_types"]["available"] != json!([])).or(all.first());
    let recommended = recommended.map_or(Value::Null, |dc| dc["id"].clone());
    let page = Listing::new(&query, all).by("name").sorted(&["id", "name"])?.page("datacenters")?;
    Ok(change(page, |answer| answer["recommendation"] = recommended).await)
}

fn one(cloud: &Arc<Cloud>, id: &str) -> Reply {
    let number = parse_id("datacenter", id)?;
    let found = DATACENTERS.iter().find(|dc| dc.id == number);
    let found = found.ok_or_else(|| ApiError::not_found("datacenter", id))?;
    ok(json!({"datacenter": cloud.read(|state| found.render(state))}))
}

/// Turns an order's data center into the location it is in.
async fn translate(request: Request) -> Result<Request, ApiError> {
    let (mut head, bytes) = take_in(request).await?;
    // What is no order is complained about where orders are read.
    let Ok(Value::Object(mut order)) = serde_json::from_slice(&bytes) else {
        return Ok(Request::from_parts(head, Body::from(bytes)));
    };
    if let Some(wanted) = order.remove("datacenter").filter(|wanted| !wanted.is_null()) {
        let wrong = |why: String| Err(ApiError::field("datacenter", why));
        let Ok(wanted) = Reference::deserialize(wanted) else {
            return wrong("expected an id or a name".into());
        };
        if order.get("location").is_some_and(|location| !location.is_null()) {
            return wrong("give either a location or a data center".into());
        }
        let Some(found) = DATACENTERS.iter().find(|dc| wanted.means(dc.id, dc.name)) else {
            return wrong(format!("there is no data center '{}'", wanted.text()));
        };
        order.insert("location".into(), found.location.into());
    }
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Request::from_parts(head, Body::from(Value::Object(order).to_string())))
}

/// Changes the JSON of an answer, if it has any.
async fn change(response: Response, change: impl FnOnce(&mut Value)) -> Response {
    let (mut head, body) = response.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if head.status == StatusCode::NO_CONTENT || kind != Some("application/json") {
        return Response::from_parts(head, body);
    }
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let Ok(mut answer) = serde_json::from_slice(&bytes) else {
        return ApiError::server("reading the answer to be translated").into_response();
    };
    change(&mut answer);
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(answer.to_string()))
}

/// Gives the resources of an answer what they had.
fn age(state: &State, answer: &mut Value) {
    for (key, value) in answer.as_object_mut().into_iter().flatten() {
        let resources = match value {
            Value::Array(list) => list.iter_mut().collect::<Vec<_>>(),
            one => vec![one],
        };
        for resource in resources.into_iter().filter(|resource| resource.is_object()) {
            match key.as_str() {
                "server" | "servers" => {
                    add_datacenter(state, resource);
                    add_deprecated(&mut resource["image"]);
                }
                "primary_ip" | "primary_ips" => {
                    add_datacenter(state, resource);
                    resource["assignee_type"] = "server".into();
                }
                "image" | "images" => add_deprecated(resource),
                _ => {}
            }
        }
    }
}

fn add_datacenter(state: &State, resource: &mut Value) {
    let found = DATACENTERS.iter().find(|dc| resource["location"]["name"] == dc.location);
    resource["datacenter"] = found.map_or(Value::Null, |dc| dc.render(state));
}

fn add_deprecated(image: &mut Value) {
    let since = image["deprecation"]["announced"].clone();
    if let Some(image) = image.as_object_mut() {
        image.entry("deprecated").or_insert(since);
    }
}
