//! Values of a compose file, in whichever of the ways it may be written.

use serde_json::Value;

/// A word or number, as text.
pub(crate) fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What a key lists; what stands there alone is a list of one.
pub(crate) fn items<'v>(service: &'v Value, key: &str) -> &'v [Value] {
    match service.get(key) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(items)) => items,
        Some(one) => std::slice::from_ref(one),
    }
}

/// The same as texts.
pub(crate) fn list(service: &Value, key: &str) -> Vec<String> {
    items(service, key).iter().map(scalar).collect()
}
