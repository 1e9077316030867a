//! Arguments that fit a JSON Schema, made from the schema alone.
//!
//! The schema's own examples, defaults, constants and lists come first; the rest follows from
//! types, bounds and required members. A schema can ask for more than this understands (`pattern`,
//! `if`, `not`): so every value is held against the schema, and what does not fit is dropped.

use serde_json::{Map, Number, Value};

use super::chance::Chance;
use crate::runtime::schema::{MAX_ARGUMENTS, Schema};

/// How often it is tried to make one more value.
const TRIES: usize = 8;
/// The deepest nesting that is made.
const MAX_DEPTH: u32 = 16;
/// The most items that a list may have to have.
const MAX_ITEMS: usize = 1_000;
/// Items that are added to what a list must have, at most.
const MORE_ITEMS: usize = 3;

/// At most `count` different values that fit the schema: first one with as little as it may have,
/// then one with all that it may have, then any. None where the schema asks for too much.
#[must_use]
pub fn arguments(schema: &str, seed: u64, count: usize) -> Vec<String> {
    let (Ok(checked), Ok(root)) = (Schema::compile(schema), serde_json::from_str::<Value>(schema)) else {
        return Vec::new();
    };
    let mut chance = Chance::new(seed);
    let mut made: Vec<String> = Vec::new();
    for attempt in 0..count.saturating_mul(TRIES) {
        let fill = match attempt {
            0 => Fill::Least,
            1 => Fill::Most,
            _ => Fill::Any,
        };
        let value = Maker { root: &root, chance: &mut chance, fill }.value(&root, 0);
        let text = value.to_string();
        if text.len() <= MAX_ARGUMENTS && checked.check_text(&text).is_ok() && !made.contains(&text) {
            made.push(text);
            if made.len() == count {
                break;
            }
        }
    }
    made
}

/// How much of what may be left out is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    Least,
    Most,
    Any,
}

struct Maker<'a> {
    root: &'a Value,
    chance: &'a mut Chance,
    fill: Fill,
}

impl Maker<'_> {
    fn value(&mut self, schema: &Value, depth: u32) -> Value {
        let Value::Object(schema) = self.merged(schema, depth) else { return Value::Null };
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        let listed = |name: &str| schema.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
        if let Some(value) = listed("enum").and_then(|values| self.one_of(values)) {
            return value.clone();
        }
        // What the author gives is the most telling input there is, so it comes often.
        if self.fill != Fill::Any || self.chance.coin() {
            let given = listed("examples").and_then(|values| self.one_of(values)).or(schema.get("default"));
            if let Some(value) = given {
                return value.clone();
            }
        }
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        match self.kind(&schema) {
            "object" => self.object(&schema, depth),
            "array" => self.array(&schema, depth),
            "string" => Value::String(self.string(&schema)),
            "integer" => self.number(&schema, true),
            "number" => self.number(&schema, false),
            "boolean" => Value::Bool(self.chance.coin()),
            _ => Value::Null,
        }
    }

    fn one_of<'v>(&mut self, values: &'v [Value]) -> Option<&'v Value> {
        match self.fill {
            Fill::Least => values.first(),
            Fill::Most => values.last(),
            Fill::Any => self.chance.pick(values),
        }
    }

    /// The schema with what it refers to, one of its alternatives and all of its parts put in.
    fn merged(&mut self, schema: &Value, depth: u32) -> Value {
        let Value::Object(schema) = schema else { return Value::Object(Map::new()) };
        let mut merged = schema.clone();
        if depth > MAX_DEPTH {
            return Value::Object(merged);
        }
        let mut parts: Vec<Value> = Vec::new();
        if let Some(Value::String(reference)) = merged.remove("$ref")
            && let Some(target) = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer))
        {
            parts.push(target.clone());
        }
        if let Some(Value::Array(all)) = merged.remove("allOf") {
            parts.extend(all);
        }
        for alternatives in ["anyOf", "oneOf"] {
            if let Some(Value::Array(any)) = merged.remove(alternatives) {
                parts.extend(self.one_of(&any).cloned());
            }
        }
        for part in parts {
            if let Value::Object(part) = self.merged(&part, depth + 1) {
                merge(&mut merged, part);
            }
        }
        Value::Object(merged)
    }

    /// The type, also where it is only implied.
    fn kind(&mut self, schema: &Map<String, Value>) -> &'static str {
        const KINDS: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];
        let named = |text: &str| KINDS.into_iter().find(|kind| *kind == text);
        let implied = || match schema {
            schema if schema.contains_key("properties") || schema.contains_key("required") => "object",
            schema if schema.contains_key("items") || schema.contains_key("prefixItems") => "array",
            schema if schema.contains_key("minimum") || schema.contains_key("maximum") => "number",
            _ => "string",
        };
        match schema.get("type") {
            Some(Value::String(kind)) => named(kind),
            Some(Value::Array(kinds)) => self.one_of(kinds).and_then(Value::as_str).and_then(named),
            _ => None,
        }
        .unwrap_or_else(implied)
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: u32) -> Value {
        let mut object = Map::new();
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        for (name, property) in properties {
            let wanted = match self.fill {
                Fill::Least => false,
                Fill::Most => true,
                Fill::Any => self.chance.coin(),
            };
            if wanted && property != &Value::Bool(false) || required.contains(&name.as_str()) {
                object.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        let other = schema.get("additionalProperties").cloned().unwrap_or(Value::Bool(true));
        for name in required {
            if !object.contains_key(name) {
                object.insert(name.to_owned(), self.value(&other, depth + 1));
            }
        }
        let least = size(schema, "minProperties").unwrap_or(0);
        for index in 0..least.min(64) {
            if object.len() < least {
                object.insert(format!("member{index}"), self.value(&other, depth + 1));
            }
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &Map<String, Value>, depth: u32) -> Value {
        let least = size(schema, "minItems").unwrap_or(0);
        if least > MAX_ITEMS {
            return Value::Array(Vec::new());
        }
        let most = size(schema, "maxItems").unwrap_or(usize::MAX);
        let length = match self.fill {
            Fill::Least => least,
            Fill::Most => least.saturating_add(MORE_ITEMS).min(most),
            Fill::Any => least.saturating_add(self.chance.below(MORE_ITEMS + 1)).min(most),
        };
        let first = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let rest = schema.get("items").cloned().unwrap_or(Value::Bool(true));
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let mut list: Vec<Value> = Vec::new();
        for index in 0..length {
            let item = self.value(first.get(index).unwrap_or(&rest), depth + 1);
            if !unique || !list.contains(&item) {
                list.push(item);
            }
        }
        Value::Array(list)
    }

    fn string(&mut self, schema: &Map<String, Value>) -> String {
        /// What trips up programs that think of texts as bytes, as ASCII or as lines.
        const TEXTS: &[&str] = &[
            "hello",
            "The quick brown fox jumps over the lazy dog.",
            "Grüße aus 世界 👋🏽",
            "two\nlines\tand \"quotes\" \\ / </tag>",
            "\u{0}\u{7f}\u{202e}",
            " ",
            "",
            "0",
            "-1e3",
            "null",
            "{}",
        ];
        let text = match schema.get("format").and_then(Value::as_str) {
            Some("date") => "2026-03-14",
            Some("time") => "14:09:26Z",
            Some("date-time") => "2026-03-14T14:09:26Z",
            Some("duration") => "PT1H",
            Some("email" | "idn-email") => "ada@example.com",
            Some("hostname" | "idn-hostname") => "example.com",
            Some("ipv4") => "192.0.2.1",
            Some("ipv6") => "2001:db8::1",
            Some("uri" | "iri" | "uri-reference" | "iri-reference") => "https://example.com/a?b=c",
            Some("uuid") => "123e4567-e89b-42d3-a456-426614174000",
            _ => match self.fill {
                Fill::Least | Fill::Most => "hello",
                Fill::Any => self.chance.pick(TEXTS).copied().unwrap_or("hello"),
            },
        };
        // JSON Schema counts characters (2020-12 validation, section 6.3).
        let least = size(schema, "minLength").unwrap_or(0).min(MAX_ARGUMENTS);
        let most = size(schema, "maxLength").unwrap_or(usize::MAX);
        let mut letters: Vec<char> = text.chars().take(most).collect();
        while letters.len() < least {
            letters.push('x');
        }
        letters.into_iter().collect()
    }

    fn number(&mut self, schema: &Map<String, Value>, whole: bool) -> Value {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let step = bound("multipleOf").unwrap_or(1.0);
        let above = bound("exclusiveMinimum").map(|bound| bound + step.min(if whole { 1.0 } else { 0.5 }));
        let below = bound("exclusiveMaximum").map(|bound| bound - step.min(if whole { 1.0 } else { 0.5 }));
        let least = bound("minimum").or(above);
        let most = bound("maximum").or(below);
        let (low, high) = match (least, most) {
            (Some(low), Some(high)) => (low, high),
            (Some(low), None) => (low, low + 1_000.0),
            (None, Some(high)) => (high - 1_000.0, high),
            (None, None) => (-1_000.0, 1_000.0),
        };
        let value = match self.fill {
            Fill::Least => low,
            Fill::Most => high,
            Fill::Any => match self.chance.below(4) {
                0 => low,
                1 => high,
                2 if low <= 0.0 && high >= 0.0 => 0.0,
                _ => low + (high - low) * (self.chance.below(1_000) as f64 / 1_000.0),
            },
        };
        let value = if schema.contains_key("multipleOf") { (value / step).ceil() * step } else { value };
        let rounded = if whole { value.round() } else { value };
        if rounded.fract() == 0.0 && rounded.abs() < 9e15 {
            return Value::from(rounded as i64);
        }
        Number::from_f64(rounded).map_or(Value::Null, Value::Number)
    }
}

/// Puts a part into a schema: members of both are required and described by both.
fn merge(schema: &mut Map<String, Value>, part: Map<String, Value>) {
    for (name, value) in part {
        match (schema.get_mut(&name), value) {
            (Some(Value::Object(mine)), Value::Object(its)) if name == "properties" => mine.extend(its),
            (Some(Value::Array(mine)), Value::Array(its)) if name == "required" => mine.extend(its),
            (Some(_), _) => {}
            (None, value) => {
                schema.insert(name, value);
            }
        }
    }
}

fn size(schema: &Map<String, Value>, name: &str) -> Option<usize> {
    schema.get(name).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(schema: &Value) -> Vec<Value> {
        let schema = schema.to_string();
        let made = arguments(&schema, 1, 8);
        assert_eq!(made, arguments(&schema, 1, 8), "the same seed gives the same");
        let checked = Schema::compile(&schema).unwrap();
        for text in &made {
            checked.check_text(text).unwrap_or_else(|violations| panic!("{text}: {violations}"));
        }
        made.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    #[test]
    fn the_first_has_the_least_and_the_second_the_most() {
        let values = made(&json!({
            "type": "object",
            "properties": {
                "a": { "type": "integer", "minimum": 3, "maximum": 9 },
                "b": { "type": "array", "items": { "type": "string", "minLength": 2 }, "maxItems": 2 },
                "c": { "enum": ["x", "y"] },
            },
            "required": ["a"],
            "additionalProperties": false,
        }));
        assert_eq!(values[0], json!({ "a": 3 }));
        assert_eq!(values[1], json!({ "a": 9, "b": ["hello", "hello"], "c": "y" }));
        assert!(values.len() > 4, "{values:?}");
    }

    #[test]
    fn references_parts_and_alternatives_are_followed() {
        let values = made(&json!({
            "type": "object",
            "$defs": { "point": {
                "type": "object",
                "properties": { "x": { "type": "number", "exclusiveMinimum": 0 }, "y": { "const": 1 } },
                "required": ["x", "y"],
            } },
            "properties": {
                "at": { "allOf": [{ "$ref": "#/$defs/point" }, { "properties": { "z": { "type": "null" } }, "required": ["z"] }] },
                "how": { "oneOf": [{ "type": "boolean" }, { "type": "integer", "multipleOf": 7 }] },
                "when": { "type": "string", "format": "date" },
            },
            "required": ["at", "how", "when"],
        }));
        assert_eq!(values[0]["at"]["y"], 1);
        assert_eq!(values[0]["at"]["z"], Value::Null);
        assert_eq!(values[0]["when"], "2026-03-14");
        assert!(
            values.iter().any(|value| value["how"].is_i64()) && values.iter().any(|value| value["how"].is_boolean())
        );
    }

    #[test]
    fn what_the_author_gives_is_used() {
        let schema = json!({
            "type": "object",
            "properties": { "zone": { "type": "string", "pattern": "^[A-Z][a-z]+/[A-Z]", "examples": ["Europe/Berlin"] } },
            "required": ["zone"],
        });
        assert_eq!(made(&schema)[0], json!({ "zone": "Europe/Berlin" }));
        let hopeless = json!({ "type": "object", "properties": { "a": { "pattern": "^q{17}$" } }, "required": ["a"] });
        assert!(made(&hopeless).is_empty());
    }

    #[test]
    fn schemas_that_ask_for_too_much_end() {
        let deep = json!({ "type": "object", "properties": { "a": { "type": "array", "minItems": 1_000_000_000 } }, "required": ["a"] });
        assert!(made(&deep).is_empty());
        assert!(arguments("{", 1, 8).is_empty());
        assert_eq!(made(&json!({ "type": "object" })), [json!({})]);
    }
}
