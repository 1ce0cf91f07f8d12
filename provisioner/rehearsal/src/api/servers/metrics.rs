//! Metrics in the form that clients expect. Nothing is measured: every value is zero.

use crate::api::input::Query;
use crate::api::{Reply, Shared, ok, parse_id, resource};
use crate::cloud::state::Server;
use crate::error::ApiError;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How many values a series has, where no step is given ...
const SAMPLES: u64 = 200;
/// ... and at most.
const MOST_SAMPLES: u64 = 500;

pub(super) async fn show(Extract(cloud): Shared, Path(id): Path<String>, uri: Uri) -> Reply {
    let id = parse_id("server", &id)?;
    cloud.read(|state| resource::find::<Server>(state, id).map(drop))?;
    let query = Query::parse(uri)?;
    let mut names = Vec::new();
    for kind in query.all("type").flat_map(|text| text.split(',')) {
        match series(kind) {
            Some(more) => names.extend(more),
            None => return Err(ApiError::field("type", format!("'{kind}' is none of cpu, disk, network"))),
        }
    }
    if names.is_empty() {
        return Err(ApiError::field("type", "missing data for required field"));
    }
    let (start, end) = (read_time(&query, "start")?, read_time(&query, "end")?);
    let seconds = u64::try_from((end - start).whole_seconds()).unwrap_or_default();
    if seconds == 0 {
        return Err(ApiError::field("end", "must be after start"));
    }
    let step = query.number("step", seconds.div_ceil(SAMPLES))?;
    let step = step.clamp(seconds.div_ceil(MOST_SAMPLES), seconds);
    let moments = (0..seconds.div_ceil(step)).map(|n| start + time::Duration::seconds((n * step) as i64));
    let values: Vec<_> = moments.map(|at| json!([at.unix_timestamp(), "0"])).collect();
    let series: Map<_, _> = names.iter().map(|name| (name.clone(), json!({"values": values}))).collect();
    ok(json!({"metrics": {"start": text(start), "end": text(end), "step": step, "time_series": series}}))
}

/// The names of the series of a kind.
fn series(kind: &str) -> Option<Vec<String>> {
    let parts: &[&str] = match kind {
        "cpu" => return Some(vec!["cpu".into()]),
        "disk" => &["iops.read", "iops.write", "bandwidth.read", "bandwidth.write"],
        "network" => &["pps.in", "pps.out", "bandwidth.in", "bandwidth.out"],
        _ => return None,
    };
    Some(parts.iter().map(|part| format!("{kind}.0.{part}")).collect())
}

fn read_time(query: &Query, name: &str) -> Result<OffsetDateTime, ApiError> {
    let text = query.one(name).ok_or_else(|| ApiError::field(name, "missing data for required field"))?;
    let time = OffsetDateTime::parse(text, &Rfc3339);
    time.map_err(|e| ApiError::field(name, format!("'{text}' is no time as of RFC 3339: {e}")))
}

fn text(time: OffsetDateTime) -> Value {
    time.format(&Rfc3339).unwrap_or_default().into()
}
