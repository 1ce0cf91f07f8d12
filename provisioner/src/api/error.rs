use serde::Deserialize;

/// Why the cloud did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It answered, and said no.
    #[error("{doing}: the cloud says {code} (HTTP {status}): {message}{}{}", remedy(.code), correlation(.correlation_id))]
    Refused {
        /// The gerund and the object.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// Hetzner's error code, or `http` where the answer had none.
        code: String,
        /// Its sentence.
        message: String,
        /// What is wrong with which field.
        details: Box<serde_json::Value>,
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
    #[error("{doing}: the action {action} failed: {code}: {message}")]
    ActionFailed {
        /// The gerund and the object.
        doing: String,
        /// The action's command.
        action: String,
        /// Its error's code.
        code: String,
        /// Its error's sentence.
        message: String,
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
}

impl Error {
    /// Hetzner's error code, where the cloud answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether another place may do what this one cannot.
    pub fn is_out_of_stock(&self) -> bool {
        matches!(self.code(), Some("resource_unavailable" | "placement_error" | "no_space_left_in_location"))
    }

    /// Whether a person has to act before it can go on (exit code 4).
    pub fn needs_operator(&self) -> bool {
        matches!(
            self.code(),
            Some(
                "resource_unavailable"
                    | "resource_limit_exceeded"
                    | "protected"
                    | "no_space_left_in_location"
            )
        )
    }
}

fn correlation(id: &Option<String>) -> String {
    id.as_ref().map_or_else(String::new, |id| format!(" (correlation id {id})"))
}

/// What the operator does about a code, where the code alone says it.
fn remedy(code: &str) -> &'static str {
    match code {
        "unauthorized" => "; set HCLOUD_TOKEN to a token of the right Hetzner project",
        "token_readonly" => "; make a token with read and write permission",
        "resource_limit_exceeded" => "; ask Hetzner to raise the account's limit",
        "resource_unavailable" => {
            "; it is out of stock there: name another type or location in project.toml, or try later"
        }
        "uniqueness_error" => "; something that is not this project's has that name: rename one of them",
        "protected" => "; it is protected: `destroy` lifts that for a typed name only",
        "maintenance" | "unavailable" => "; try again in some minutes",
        _ => "",
    }
}

#[derive(Deserialize)]
struct Envelope {
    error: Body,
}

#[derive(Deserialize)]
struct Body {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: serde_json::Value,
}

/// Reads an error answer; one that is not in Hetzner's shape keeps its status.
pub(super) fn refused(doing: &str, status: u16, body: &[u8], correlation_id: Option<String>) -> Error {
    let parsed = serde_json::from_slice::<Envelope>(body).map(|envelope| envelope.error);
    let error = parsed.unwrap_or_else(|_| Body {
        code: "http".into(),
        message: String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
        details: serde_json::Value::Null,
    });
    Error::Refused {
        doing: doing.into(),
        status,
        code: error.code,
        message: error.message,
        details: Box::new(error.details),
        correlation_id,
    }
}
