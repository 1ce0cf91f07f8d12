use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Why a request was not done: `{"error": {"code", "message", "details"}}`.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: Box<Value>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), details: Box::default() }
    }

    pub(crate) fn not_found(kind: &str, id: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{kind} with ID '{id}' not found"))
    }

    pub(crate) fn no_such_path(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("no such path: {path}"))
    }

    /// One field is wrong.
    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::fields(&BTreeMap::from([(field.to_owned(), vec![message.into()])]))
    }

    /// Several fields are wrong; all of them are told at once.
    pub(crate) fn fields(fields: &BTreeMap<String, Vec<String>>) -> Self {
        let sentence: Vec<_> =
            fields.iter().map(|(name, why)| format!("{name}: {}", why.join(", "))).collect();
        let list: Vec<_> = fields.iter().map(|(name, why)| json!({"name": name, "messages": why})).collect();
        let message = format!("invalid input in {}", sentence.join("; "));
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "invalid_input".into(),
            message,
            details: Box::new(json!({ "fields": list })),
        }
    }

    /// 422 with a code of its own.
    pub(crate) fn unprocessable(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// This cloud has nothing of the kind, though Hetzner does.
    pub(crate) fn absent(what: &str) -> Self {
        Self::unprocessable("unsupported_error", format!("the rehearsal cloud has no {what}; Hetzner does"))
    }

    pub(crate) fn uniqueness(field: &str, message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::CONFLICT, "uniqueness_error", message);
        error.details = Box::new(json!({"fields": [{"name": field}]}));
        error
    }

    pub(crate) fn protected(kind: &str, id: u64) -> Self {
        let message = format!("{kind} {id} is protected from this; lift it with change_protection first");
        Self::new(StatusCode::LOCKED, "protected", message)
    }

    pub(crate) fn locked(kind: &str, id: u64) -> Self {
        let message = format!("{kind} {id} is locked by a running action; wait for it to end");
        Self::new(StatusCode::LOCKED, "locked", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "resource_unavailable", message)
    }

    /// Our own failure.
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        error["details"] = if self.details.is_null() { json!({}) } else { *self.details };
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}
