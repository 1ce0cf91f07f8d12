use super::policy::{self, Step};
use serde::Deserialize;
use serde_json::Value;

/// How much of an answer that is not in Hetzner's shape an error shows.
const SHOWN: usize = 200;

/// Why the cloud did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It answered, and said no.
    #[error("{doing}: the cloud says {code} (HTTP {status}): {message}{}{}{}", said(.details), remedy(*.status, .code), correlation(.correlation_id))]
    Refused {
        /// The gerund and the object.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// Hetzner's error code, or [`policy::BARE`] where the answer had none.
        code: String,
        /// Its sentence.
        message: String,
        /// What is wrong with which field.
        details: Box<Value>,
        /// What Hetzner's support asks for.
        correlation_id: Option<String>,
    },
    /// It did not answer, or not in time, or not in JSON. What was asked for may have been done.
    #[error("{doing}: {why}; is {endpoint} reachable? Running the same command again is safe")]
    NoAnswer {
        /// The gerund and the object.
        doing: String,
        /// What happened.
        why: String,
        /// The API's base URL.
        endpoint: String,
    },
    /// It began, and then failed.
    #[error("{doing}: the action {action} failed: {code}: {message}{}{}", and_others(*.others), action_remedy(.code))]
    ActionFailed {
        /// The gerund and the object.
        doing: String,
        /// The action's command.
        action: String,
        /// Its error's code.
        code: String,
        /// Its error's sentence.
        message: String,
        /// How many of the actions that were waited for together failed besides.
        others: usize,
    },
    /// It began, and never ended.
    #[error(
        "{doing}: the action {action} was still running after {seconds} s; look at the cloud's console, then run the same command again"
    )]
    ActionTimeout {
        /// The gerund and the object.
        doing: String,
        /// The action's command.
        action: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It began, and then the cloud knew nothing of it any more.
    #[error(
        "{doing}: the cloud no longer lists the action {action} (id {id}) that it had begun; look at the cloud's console, then run the same command again"
    )]
    ActionLost {
        /// The gerund and the object.
        doing: String,
        /// The action's command.
        action: String,
        /// Its id.
        id: u64,
    },
    /// So many requests that something must be going round in circles.
    #[error(
        "{doing}: {limit} requests were sent, which is more than any run needs: stopping before the project's budget is used up. Run the same command again; if it stops here again, report it"
    )]
    TooMany {
        /// The gerund and the object.
        doing: String,
        /// The bound.
        limit: u32,
    },
    /// The connection cannot even be tried.
    #[error("{doing}: {why}")]
    Unusable {
        /// The gerund and the object.
        doing: String,
        /// What is wrong, and what to do.
        why: String,
    },
}

impl Error {
    /// Hetzner's error code, where the cloud answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// What is done about it, by the one table.
    pub fn next_step(&self) -> Step {
        match self {
            Self::Refused { status, code, .. } => policy::step(*status, code),
            Self::NoAnswer { .. } => Step::LookFirst,
            // An action that failed is over: of its code only what to change is of use, never when to ask again.
            Self::ActionFailed { code, .. } => match policy::step(0, code) {
                step @ (Step::OtherPlace | Step::Operator) => step,
                _ => Step::Stop,
            },
            Self::Unusable { .. } => Step::Operator,
            Self::ActionTimeout { .. } | Self::ActionLost { .. } | Self::TooMany { .. } => Step::Stop,
        }
    }

    /// Whether a person has to act before it can go on (exit code 4).
    pub fn needs_operator(&self) -> bool {
        matches!(self.next_step(), Step::Operator | Step::OtherPlace)
    }

    /// The same, saying how often and how long it was tried.
    pub(super) fn after(mut self, times: u32, seconds: u64) -> Self {
        if times > 1
            && let Self::Refused { message: text, .. } | Self::NoAnswer { why: text, .. } = &mut self
        {
            text.push_str(&format!(" (asked {times} times in {seconds} s)"));
        }
        self
    }
}

fn correlation(id: &Option<String>) -> String {
    id.as_ref().map_or_else(String::new, |id| format!(" (correlation id {id})"))
}

fn remedy(status: u16, code: &str) -> String {
    let remedy = policy::find(status, code).map_or("", |row| row.remedy);
    if remedy.is_empty() { String::new() } else { format!("; {remedy}") }
}

fn action_remedy(code: &str) -> String {
    // Status 0 belongs to no bare answer, so only a code of Hetzner's own has a row.
    remedy(0, code)
}

fn and_others(others: usize) -> String {
    if others == 0 { String::new() } else { format!("; {others} more failed, too") }
}

/// What the details add to the sentence: the fields with their faults, the limits that are reached, the announcement.
fn said(details: &Value) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(clean);
    let list = |key: &str| details.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut said = String::new();
    for field in list("fields") {
        let faults = field.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let faults: Vec<_> = faults.iter().filter_map(Value::as_str).map(clean).collect();
        said.push_str("; field ");
        said.push_str(&text(field, "name").unwrap_or_else(|| "without a name".into()));
        if !faults.is_empty() {
            said.push_str(&format!(": {}", faults.join(", ")));
        }
    }
    for limit in list("limits") {
        said.push_str(&text(limit, "name").map_or_else(String::new, |name| format!("; limit {name}")));
    }
    if let Some(announcement) = text(details, "announcement") {
        said.push_str(&format!("; announced at {announcement}"));
    }
    said
}

#[derive(Deserialize)]
struct Envelope {
    error: Body,
}

#[derive(Deserialize)]
struct Body {
    code: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    details: Value,
}

/// Reads an error answer; one that is not in Hetzner's shape keeps its status. `token` is cut out of whatever it says.
pub(super) fn refused(
    doing: &str,
    status: u16,
    body: &[u8],
    correlation_id: Option<&str>,
    token: &str,
) -> Error {
    let mut body = String::from_utf8_lossy(body).into_owned();
    if !token.is_empty() {
        body = body.replace(token, "[the token]");
    }
    let (code, message, details) = match serde_json::from_str::<Envelope>(&body) {
        Ok(Envelope { error }) if !error.code.is_empty() => (
            clean(&error.code),
            clean(error.message.as_deref().unwrap_or("no reason was given")),
            spec::cleaned(error.details),
        ),
        _ => {
            let shown: String = clean(&body).chars().take(SHOWN).collect();
            (
                policy::BARE.into(),
                if shown.is_empty() { "no reason was given".into() } else { shown },
                Value::Null,
            )
        }
    };
    let correlation_id = correlation_id.map(clean);
    Error::Refused { doing: doing.into(), status, code, message, details: Box::new(details), correlation_id }
}

/// Text of the cloud's for a terminal, on one line.
pub(super) fn clean(text: &str) -> String {
    host::clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(status: u16, body: &Value) -> Error {
        refused("making a volume", status, body.to_string().as_bytes(), None, "s3cret")
    }

    fn coded(status: u16, code: &str, details: &Value) -> String {
        let body = json!({ "error": { "code": code, "message": "no", "details": details } });
        error(status, &body).to_string()
    }

    #[test]
    fn the_details_are_in_the_sentence() {
        let fields = json!({ "fields": [
            { "name": "size", "messages": ["too small", "no number"] }, { "name": "public_key" }, {}, 7,
        ] });
        let sentence = coded(422, "invalid_input", &fields);
        assert!(
            sentence.contains("no; field size: too small, no number; field public_key; field without a name"),
            "{sentence}"
        );
        let gone = coded(410, "deprecated_api_endpoint", &json!({ "announcement": "https://x.test/#a" }));
        assert!(gone.contains("announced at https://x.test/#a; update Sovereign"), "{gone}");
        let limits = json!({ "limits": [{ "name": "project_limit" }] });
        let limit = coded(403, "resource_limit_exceeded", &limits);
        assert!(limit.contains("limit project_limit; ask Hetzner"), "{limit}");
    }

    #[test]
    fn details_of_any_shape_pass() {
        for odd in [json!(null), json!([1]), json!("x"), json!({ "fields": 3 }), json!({ "fields": [null] })]
        {
            assert!(coded(422, "invalid_input", &odd).starts_with("making a volume: the cloud says"));
        }
    }

    #[test]
    fn every_code_a_person_can_do_something_about_says_what() {
        for row in policy::TABLE {
            assert!(!row.remedy.is_empty() && !row.means.is_empty(), "{}", row.code);
            let sentence = coded(row.status.unwrap_or(422), row.code, &Value::Null);
            assert!(sentence.ends_with(row.remedy), "{sentence}");
        }
    }

    #[test]
    fn what_is_not_in_hetzners_shape_keeps_its_status() {
        let html = b"<html>\r\n<title>502 Bad Gateway</title>\x1b[31m\xff".as_slice();
        let long = vec![b'x'; 5000];
        let bodies = [b"".as_slice(), b"{", b"[]", b"null", b"{\"error\":{\"code\":\"\"}}", html, &long];
        for body in bodies {
            let error = refused("reading", 502, body, None, "s3cret");
            assert_eq!((error.code(), error.next_step()), (Some(policy::BARE), Step::LookFirst));
            let sentence = error.to_string();
            assert!(sentence.len() < 400 && !sentence.contains(char::is_control), "{sentence}");
        }
        let bare = error(404, &json!({ "error": "no such page" }));
        assert_eq!(bare.next_step(), Step::Stop, "a wrong URL is not a thing that is gone");
    }

    #[test]
    fn the_token_is_cut_out_of_what_the_cloud_says() {
        let body = json!({ "error": { "code": "unauthorized", "message": "token s3cret", "details": { "fields": [{ "name": "s3cret" }] } } });
        let error = error(401, &body);
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        assert!(error.needs_operator());
        assert!(!refused("x", 502, b"s3cret", None, "s3cret").to_string().contains("s3cret"));
    }

    #[test]
    fn an_action_that_failed_is_never_asked_for_again() {
        let failed = |code: &str| Error::ActionFailed {
            doing: "making".into(),
            action: "create_server".into(),
            code: code.into(),
            message: "no".into(),
            others: 2,
        };
        assert_eq!(failed("resource_unavailable").next_step(), Step::OtherPlace);
        assert!(failed("resource_unavailable").needs_operator());
        for code in ["server_error", "timeout", "action_failed", "locked", policy::BARE] {
            assert_eq!(failed(code).next_step(), Step::Stop, "{code}");
        }
        assert!(failed("x").to_string().ends_with("x: no; 2 more failed, too"));
    }

    #[test]
    fn how_long_it_was_tried_is_said_only_where_it_was() {
        let conflict = || error(409, &json!({ "error": { "code": "conflict", "message": "no" } }));
        assert!(conflict().after(6, 31).to_string().contains("no (asked 6 times in 31 s)"));
        assert!(!conflict().after(1, 0).to_string().contains("asked"));
    }
}
