//! A function as OpenAI's models are told of it, as far as its cookbook says.
//!
//! The API turns a function and its JSON Schema into text by a way that is not documented. The cookbook ("How to count
//! tokens with tiktoken", section 7) counts it by lines of `name:type:description` and some tokens around them, and
//! stops at the first level; here the same is done for what is nested. What it has no rule for counts as its JSON.

use serde_json::{Map, Value};

use crate::provider::ToolSpec;

/// Around the properties of an object.
const PROPERTIES: u64 = 3;
/// For each of them.
const PROPERTY: u64 = 3;
/// For each of the values that a property may have, but the first.
const CHOICE: u64 = 3;

/// The deepest schema that is looked into; deeper ones count as their JSON.
const DEPTH: usize = 16;

/// The texts that are counted, and the tokens around them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) texts: Vec<String>,
    pub(super) fixed: u64,
}

/// The lines of a function.
pub(super) fn lines(tool: &ToolSpec) -> Lines {
    let mut lines = Lines::default();
    lines.texts.push(format!("{}:{}", tool.name, without_point(&tool.description)));
    match serde_json::from_str::<Value>(tool.input_schema.get()) {
        Ok(Value::Object(schema)) => lines.object(&schema, DEPTH),
        _ => lines.texts.push(tool.input_schema.get().to_owned()),
    }
    lines
}

impl Lines {
    fn object(&mut self, schema: &Map<String, Value>, depth: usize) {
        if let Some(Value::Object(properties)) = schema.get("properties")
            && !properties.is_empty()
        {
            self.fixed += PROPERTIES;
            for (name, property) in properties {
                self.fixed += PROPERTY;
                self.property(name, property, depth);
            }
        }
        for key in ["$defs", "definitions", "anyOf", "oneOf", "allOf"] {
            self.texts.extend(schema.get(key).map(Value::to_string));
        }
    }

    fn property(&mut self, name: &str, property: &Value, depth: usize) {
        let (Value::Object(schema), Some(depth)) = (property, depth.checked_sub(1)) else {
            return self.texts.push(format!("{name}:{property}"));
        };
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        self.texts.push(format!("{name}:{kind}:{}", without_point(description)));
        if let Some(Value::Array(choices)) = schema.get("enum") {
            self.fixed += CHOICE * (choices.len() as u64).saturating_sub(1);
            self.texts.extend(choices.iter().map(|choice| match choice {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }));
        }
        match schema.get("items") {
            Some(Value::Object(items)) if items.contains_key("properties") => self.object(items, depth),
            Some(items) => self.property("", items, depth),
            None => {}
        }
        self.object(schema, depth);
    }
}

/// The cookbook leaves out the point at the end of a description.
fn without_point(description: &str) -> &str {
    description.strip_suffix('.').unwrap_or(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(schema: &Value) -> ToolSpec {
        let input_schema = serde_json::value::to_raw_value(schema).unwrap().into();
        ToolSpec { name: "t".into(), description: "Does it.".into(), input_schema }
    }

    #[test]
    fn what_is_nested_counts_as_what_is_not() {
        let schema = serde_json::json!({"type": "object", "properties": {
            "a": {"type": "string", "description": "One.", "enum": ["x", "y", "z"]},
            "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}}},
        }});
        let lines = lines(&tool(&schema));
        assert_eq!(
            lines.texts,
            ["t:Does it", "a:string:One", "x", "y", "z", "list:array:", "n:[\"integer\",\"null\"]:"]
        );
        assert_eq!(lines.fixed, 3 + 3 * 3 + 3 + 6);
    }

    #[test]
    fn what_no_rule_is_for_counts_as_its_json() {
        let any = serde_json::json!({"anyOf": [{"type": "string"}, {"type": "null"}]});
        let schema = serde_json::json!({"type": "object", "properties": {"a": any, "b": true}});
        let texts = lines(&tool(&schema)).texts;
        assert_eq!(texts, ["t:Does it", "a::", r#"[{"type":"string"},{"type":"null"}]"#, "b:true"]);
        let deep = (0..40).fold(serde_json::json!({}), |inner, _| serde_json::json!({"properties": {"p": inner}}));
        assert_eq!(lines(&tool(&deep)).texts.len(), DEPTH + 2);
        assert_eq!(lines(&tool(&serde_json::json!(true))).texts, ["t:Does it", "true"]);
    }
}
