//! What changed between two JSON documents, by path.

use serde::Serialize;
use serde_json::{Map, Value};

/// One change, at a path of names and numbers (`/properties/city/maxLength`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonChange {
    /// Where; empty for the whole document.
    pub path: String,
    /// What was there; absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// What is there; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// Every change, in the order of the paths. Lists of texts and numbers are compared as sets: that
/// is what `required`, `enum` and `type` are.
pub(super) fn diff(old: &Value, new: &Value) -> Vec<JsonChange> {
    let mut changes = Vec::new();
    walk(String::new(), Some(old), Some(new), &mut changes);
    changes
}

fn walk(path: String, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<JsonChange>) {
    if old == new {
        return;
    }
    // A schema without `properties` is one with none: each is a change of its own.
    let none = Value::Object(Map::new());
    let (old, new) = match (old, new) {
        (None, Some(Value::Object(_))) if path.ends_with("/properties") => (Some(&none), new),
        (Some(Value::Object(_)), None) if path.ends_with("/properties") => (old, Some(&none)),
        both => both,
    };
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                walk(below(&path, name), old.get(name), new.get(name), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if is_set(old) && is_set(new) => {
            for gone in old.iter().filter(|item| !new.contains(item)) {
                changes.push(JsonChange { path: path.clone(), old: Some(gone.clone()), new: None });
            }
            for added in new.iter().filter(|item| !old.contains(item)) {
                changes.push(JsonChange { path: path.clone(), old: None, new: Some(added.clone()) });
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                walk(below(&path, &index.to_string()), old.get(index), new.get(index), changes);
            }
        }
        (old, new) => changes.push(JsonChange { path, old: old.cloned(), new: new.cloned() }),
    }
}

fn is_set(list: &[Value]) -> bool {
    list.iter().all(|item| !item.is_object() && !item.is_array())
}

/// RFC 6901, section 3.
fn below(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_told_by_path() {
        let old = json!({ "properties": { "a": { "type": "string" }, "b/c": 1 }, "required": ["a", "b"] });
        let new = json!({ "properties": { "a": { "type": "integer" }, "d": {} }, "required": ["b", "a", "d"] });
        let change = |path: &str, old: Option<Value>, new| JsonChange { path: path.into(), old, new };
        assert_eq!(
            diff(&old, &new),
            [
                change("/properties/a/type", Some(json!("string")), Some(json!("integer"))),
                change("/properties/b~1c", Some(json!(1)), None),
                change("/properties/d", None, Some(json!({}))),
                change("/required", None, Some(json!("d"))),
            ]
        );
        let first = diff(&json!({}), &json!({ "properties": { "a": 1 } }));
        assert_eq!(first, [change("/properties/a", None, Some(json!(1)))]);
        assert!(diff(&old, &old).is_empty());
        assert_eq!(diff(&json!([{ "a": 1 }]), &json!([{ "a": 2 }, 3])).len(), 2);
    }
}
