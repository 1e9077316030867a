//! What checking one value against a schema can cost: the subschemas that it meets once every
//! reference is followed.
//!
//! References make a schema a graph: sixty definitions, each of which asks for the next one
//! twice, fit into a few KiB and ask for 2^60 checks. The graph is unrolled by arithmetic, each
//! definition once; a cycle has no sum and is refused.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::SchemaError;

/// The largest cost. Schemas of real tools cost tens or hundreds.
pub(super) const MAX_COST: u64 = 10_000;

/// Keywords that hold a schema.
const ONE: &[&str] = &[
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords that hold schemas in a list.
const LIST: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that hold schemas by name.
const NAMED: &[&str] = &["dependentSchemas", "patternProperties", "properties"];
/// Keywords by which a reference would depend on more than its text.
const AMBIGUOUS: &[&str] = &["$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$anchor"];

/// The cost of a whole schema.
pub(super) fn of(schema: &Value) -> Result<u64, SchemaError> {
    let mut count = Count { root: schema, known: HashMap::new(), depth: 0 };
    // The top counts as known while it is counted, so that `#` is seen to be a cycle.
    count.known.insert("#", None);
    let cost = count.schema(schema)?;
    for definitions in ["$defs", "definitions"] {
        if let Some(Value::Object(definitions)) = schema.get(definitions) {
            // Not met by a value unless referred to, but compiled all the same.
            for definition in definitions.values() {
                count.schema(definition)?;
            }
        }
    }
    if cost > MAX_COST { Err(SchemaError::Cost) } else { Ok(cost) }
}

struct Count<'a> {
    root: &'a Value,
    /// By reference; none while it is being counted.
    known: HashMap<&'a str, Option<u64>>,
    depth: u32,
}

/// The deepest chain of subschemas and references; bounds this recursion and the validator's own.
const MAX_DEPTH: u32 = 256;

impl<'a> Count<'a> {
    fn schema(&mut self, schema: &'a Value) -> Result<u64, SchemaError> {
        let Value::Object(schema) = schema else { return Ok(1) };
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SchemaError::Cost);
        }
        let cost = self.object(schema)?;
        self.depth -= 1;
        // Stops early, before a sum could overflow.
        if cost > MAX_COST { Err(SchemaError::Cost) } else { Ok(cost) }
    }

    fn object(&mut self, schema: &'a Map<String, Value>) -> Result<u64, SchemaError> {
        for keyword in AMBIGUOUS {
            if schema.contains_key(*keyword) {
                return Err(SchemaError::Keyword(keyword));
            }
        }
        if self.depth > 1 && schema.contains_key("$id") {
            return Err(SchemaError::Keyword("$id"));
        }
        // Comparing with each member of a list is work too.
        let members = ["enum", "required"].iter().filter_map(|list| schema.get(*list)?.as_array());
        let mut cost: u64 = 1 + members.map(|list| list.len() as u64).sum::<u64>();
        for keyword in ONE {
            if let Some(inner) = schema.get(*keyword) {
                cost += self.schema(inner)?;
            }
        }
        for keyword in LIST {
            for inner in schema.get(*keyword).and_then(Value::as_array).into_iter().flatten() {
                cost += self.schema(inner)?;
            }
        }
        for keyword in NAMED {
            for inner in schema.get(*keyword).and_then(Value::as_object).into_iter().flat_map(Map::values) {
                cost += self.schema(inner)?;
            }
        }
        if let Some(reference) = schema.get("$ref") {
            cost += self.reference(reference)?;
        }
        // What was evaluated is found out by evaluating it again.
        if schema.contains_key("unevaluatedItems") || schema.contains_key("unevaluatedProperties") {
            cost *= 2;
        }
        Ok(cost)
    }

    fn reference(&mut self, reference: &'a Value) -> Result<u64, SchemaError> {
        let foreign =
            || SchemaError::Reference(reference.as_str().map_or_else(|| reference.to_string(), str::to_owned));
        let text = reference.as_str().ok_or_else(foreign)?;
        match self.known.get(text) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err(SchemaError::Recursion(text.to_owned())),
            None => {}
        }
        let pointer = text.strip_prefix('#').filter(|pointer| pointer.starts_with('/')).ok_or_else(foreign)?;
        let target = self.root.pointer(pointer).ok_or_else(foreign)?;
        self.known.insert(text, None);
        let cost = self.schema(target)?;
        self.known.insert(text, Some(cost));
        Ok(cost)
    }
}
