//! Values of `project.toml`, and what is there instead.

use spec::Setting;
use toml::de::DeValue;

/// A value that a stack's option may have.
pub(super) fn setting(value: &DeValue<'_>) -> Option<Setting> {
    match value {
        DeValue::Boolean(on) => Some(Setting::Switch(*on)),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(Setting::Number)
        }
        other => line(other).ok().map(|text| Setting::Text(text.to_owned())),
    }
}

/// A text.
pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("must be a text, not {}", article(value)))
}

/// A text that is one line: what follows a line break in it would be a line of its own in a file on the server.
pub(super) fn line<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    let text = text(value)?;
    if text.chars().any(char::is_control) {
        return Err(format!("{text:?} holds a line break or another control character: it must be one line"));
    }
    Ok(text)
}

/// What is there, in words.
pub(super) fn article(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        other => format!("a value of type {}", other.type_str()),
    }
}
