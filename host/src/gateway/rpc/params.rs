//! From parameters to a method's types, with errors that name the field.

use std::collections::HashMap;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::RpcError;

/// How serde begins the errors that name a field by themselves.
const NAMED: [&str; 3] = ["missing field", "unknown field", "duplicate field"];

/// Reads a method's parameters, which may be left out where none is required.
pub(super) fn parse<P: DeserializeOwned>(params: Option<&RawValue>) -> Result<P, RpcError> {
    let text = params.map_or("{}", RawValue::get);
    if text.starts_with('[') {
        return Err(RpcError::invalid_params("parameters go by name: `params` must be an object, not an array"));
    }
    serde_json::from_str(text).map_err(|error| {
        let mut message = error.to_string();
        if let Some(place) = message.rfind(" at line ") {
            message.truncate(place);
        }
        let names_field = NAMED.iter().any(|about| message.starts_with(about));
        RpcError::invalid_params(match field_at(text, &error) {
            Some(field) if !names_field => format!("`{field}`: {message}"),
            _ => message,
        })
    })
}

/// The member of the object `text` whose value an error is about. The error's place is where the
/// reader stood: at the value's first byte, behind its last, or behind the object's.
fn field_at(text: &str, error: &serde_json::Error) -> Option<String> {
    let before: usize = text.split_inclusive('\n').take(error.line().checked_sub(1)?).map(str::len).sum();
    let offset = before + error.column();
    let members: HashMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let start = |value: &RawValue| (value.get().as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    let begun = members.into_iter().map(|(name, value)| (start(value), name)).filter(|(start, _)| *start <= offset);
    begun.max().map(|(_, name)| name)
}

/// How many items a page may hold.
pub(super) const MAX_PAGE: usize = 500;

/// A page's size: 1 to [`MAX_PAGE`], 50 where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(transparent)]
pub(super) struct Limit(#[schemars(range(min = 1, max = 500))] usize);

impl Limit {
    pub(super) fn get(self) -> usize {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match usize::deserialize(deserializer)? {
            limit @ 1..=MAX_PAGE => Ok(Self(limit)),
            other => Err(D::Error::custom(format_args!("{other} is out of range: 1 to {MAX_PAGE}"))),
        }
    }
}

/// A name that another system gave: 1 to 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(transparent)]
pub(super) struct Label(#[schemars(length(min = 1, max = 512))] String);

impl Label {
    const MAX: usize = 512;

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.len() {
            1..=Self::MAX => Ok(Self(text)),
            0 => Err(D::Error::custom("must not be empty; leave it out instead")),
            long => Err(D::Error::custom(format_args!("has {long} bytes; {} are the most", Self::MAX))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Params {
        #[allow(dead_code, reason = "read by nobody; only its errors matter")]
        content: String,
        #[serde(default)]
        limit: Limit,
        #[allow(dead_code, reason = "read by nobody; only its errors matter")]
        peer: Option<Label>,
    }

    fn refusal(text: &str) -> String {
        let raw: Box<RawValue> = serde_json::from_str(text).expect("JSON");
        parse::<Params>(Some(&raw)).expect_err("refused").message().to_owned()
    }

    #[test]
    fn a_refusal_names_the_field_and_what_was_expected() {
        assert_eq!(refusal("{}"), "missing field `content`");
        assert_eq!(refusal(r#"{"content": 5}"#), "`content`: invalid type: integer `5`, expected a string");
        assert_eq!(
            refusal("{\"content\": \"x\",\n \"limit\": true}"),
            "`limit`: invalid type: boolean `true`, expected usize"
        );
        assert_eq!(refusal(r#"{"content": "x", "limit": 501}"#), "`limit`: 501 is out of range: 1 to 500");
        assert_eq!(refusal(r#"{"limit": 501, "content": "x"}"#), "`limit`: 501 is out of range: 1 to 500");
        assert_eq!(refusal(r#"{"peer": null, "limit": 0 , "content": 5}"#), "`limit`: 0 is out of range: 1 to 500");
        assert_eq!(refusal(r#"{"content": "x", "peer": ""}"#), "`peer`: must not be empty; leave it out instead");
        assert_eq!(refusal(r#"{"contnt": "x"}"#), "unknown field `contnt`, expected one of `content`, `limit`, `peer`");
        assert_eq!(refusal(r#"{"content": "x", "content": "y"}"#), "duplicate field `content`");
        assert!(refusal("[1]").contains("not an array"));
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let raw: Box<RawValue> = serde_json::from_str(r#"{"content": "x"}"#).expect("JSON");
        assert_eq!(parse::<Params>(Some(&raw)).expect("params").limit.get(), 50);
        assert!(parse::<Params>(None).is_err());
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!(r#"{{"content": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(refusal(&deep).contains("`content`: invalid type: sequence"));
    }
}
