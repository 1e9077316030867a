//! Fields of a request, held against a table that reads like the platform's documentation.

use serde_json::{Map, Value};

/// A field that a platform knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    name: &'static str,
    kind: Kind,
    needed: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// One of these texts.
    One(&'static [&'static str]),
    Whole,
    Bool,
    /// A number, or a text.
    Id,
    /// A text of digits: Discord's ids.
    Snowflake,
    Object(&'static [Field]),
    List(&'static Kind),
    /// An object or a list that the platform reads and no test depends on.
    Any,
}

/// A field that must be there.
pub(crate) const fn need(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: true }
}

/// A field that may be there.
pub(crate) const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: false }
}

/// Refuses what is missing, unknown or of another type, with a sentence that names it.
pub(crate) fn check(given: &Map<String, Value>, known: &[Field]) -> Result<(), String> {
    if let Some(unknown) = given.keys().find(|name| !known.iter().any(|field| field.name == name.as_str())) {
        return Err(format!("`{unknown}` is no field that is known here"));
    }
    for field in known {
        match given.get(field.name) {
            Some(value) => fits(value, field.kind).map_err(|why| format!("`{}` {why}", field.name))?,
            None if field.needed => return Err(format!("`{}` is missing", field.name)),
            None => {}
        }
    }
    Ok(())
}

fn fits(value: &Value, kind: Kind) -> Result<(), String> {
    let holds = match kind {
        Kind::Text => value.is_string(),
        Kind::One(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
        Kind::Whole => value.is_i64() || value.is_u64(),
        Kind::Bool => value.is_boolean(),
        Kind::Id => value.is_i64() || value.is_string(),
        Kind::Snowflake => value.as_str().is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())),
        Kind::Any => value.is_object() || value.is_array(),
        Kind::Object(fields) => {
            let object = value.as_object().ok_or("must be an object")?;
            return check(object, fields).map_err(|why| format!("holds something wrong: {why}"));
        }
        Kind::List(kind) => {
            let list = value.as_array().ok_or("must be a list")?;
            return list.iter().try_for_each(|item| fits(item, *kind));
        }
    };
    if holds { Ok(()) } else { Err(format!("must be {kind:?}, not {value}")) }
}

/// An object of a body that must be JSON.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("the body is no object: {other}")),
        Err(error) => Err(format!("the body is no JSON: {error}")),
    }
}

/// How long a text is for a platform that counts as JavaScript does.
pub(crate) fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}
