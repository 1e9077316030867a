//! What no plugin should be given and every plugin must survive.
//!
//! The host checks arguments before a call, so a plugin meets none of this in a gateway. It must
//! still answer with an error: a host may be older or newer than its schema, and a trap tells the
//! model nothing.

use serde_json::{Value, json};

/// A call that the host would never make.
pub(super) struct Malformed {
    /// In a few words.
    pub(super) what: String,
    /// The tool's name; absent for the right one.
    pub(super) name: Option<String>,
    /// Its arguments.
    pub(super) arguments: String,
}

/// Levels of nesting of a deep document: more than the 128 that the host lets through to a tool, and
/// no more than what the parsers of all languages take. CPython's overflows the stack at thousands,
/// of which an author can do nothing.
const DEEP: usize = 200;
/// Letters of a long text: more than the 64 KiB that the host lets through to a tool.
const LONG: usize = 65 << 10;

/// Texts that are no JSON objects, or none that a parser has an easy time with.
pub(super) fn documents() -> Vec<(&'static str, String)> {
    vec![
        ("an empty text", String::new()),
        ("a blank", " \n".into()),
        ("an open brace", "{".into()),
        ("half an object", r#"{"a":"#.into()),
        ("two documents", "{} {}".into()),
        ("null", "null".into()),
        ("a number", "42".into()),
        ("a number of a thousand digits", "9".repeat(1_000)),
        ("a text", r#""text""#.into()),
        ("a list", "[]".into()),
        ("a lone surrogate", r#"{"a": "\ud800"}"#.into()),
        ("a name that stands twice", r#"{"a": 1, "a": 2}"#.into()),
        ("a NUL", "\0".into()),
        ("no JSON", "<xml/>".into()),
        ("a deep list", "[".repeat(DEEP)),
        ("a deep object", r#"{"a":"#.repeat(DEEP)),
        ("a deep document that is whole", format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP))),
        ("a long name", format!("{{\"{}\": 1}}", "n".repeat(LONG))),
        ("a long text", format!("\"{}\"", "x".repeat(LONG))),
    ]
}

/// For one tool: every document, its own members with values of wrong types, and names that no
/// tool has. `valid` are arguments that fit.
pub(super) fn calls(schema: &Value, valid: Option<&str>) -> Vec<Malformed> {
    let right = |what: String, arguments: String| Malformed { what, name: None, arguments };
    let mut calls: Vec<Malformed> =
        documents().into_iter().map(|(what, arguments)| right(what.to_owned(), arguments)).collect();
    let fits = valid.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_else(|| json!({}));
    let wrong = [json!(null), json!(true), json!(-1), json!(1e300), json!(""), json!([[]]), json!({ "a": {} })];
    for name in schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|map| map.keys()).take(16) {
        for value in &wrong {
            let mut arguments = fits.clone();
            if let Value::Object(members) = &mut arguments {
                members.insert(name.clone(), value.clone());
            }
            calls.push(right(format!("{value} as `{name}`"), arguments.to_string()));
        }
        let mut long = fits.clone();
        if let Value::Object(members) = &mut long {
            members.insert(name.clone(), Value::String("x".repeat(LONG)));
        }
        calls.push(right(format!("{LONG} letters as `{name}`"), long.to_string()));
    }
    calls.push(right("no members".into(), "{}".into()));
    calls.push(right("members that nobody asked for".into(), r#"{"__proto__": {"a": 1}, "constructor": 1}"#.into()));
    for (what, name) in [
        ("a tool that there is not", "no_such_tool".to_owned()),
        ("a tool without a name", String::new()),
        ("a tool with a long name", "n".repeat(LONG)),
    ] {
        calls.push(Malformed { what: what.into(), name: Some(name), arguments: fits.to_string() });
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_given_wrong_values_and_no_argument_is_too_long_for_a_call() {
        let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
        let calls = calls(&schema, Some(r#"{"n": 1}"#));
        assert!(calls.iter().any(|call| call.arguments == r#"{"n":[[]]}"#));
        assert!(
            calls.iter().any(|call| call.name.as_deref() == Some("no_such_tool") && call.arguments == r#"{"n":1}"#)
        );
        assert!(calls.iter().all(|call| call.arguments.len() < 1 << 20));
    }
}
