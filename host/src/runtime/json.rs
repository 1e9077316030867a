//! JSON texts from outside, read so that nobody can read them otherwise.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The value of a text, and how many values it consists of.
///
/// A name that an object has twice is an error: the check would see one member and the plugin,
/// which is given the text, might take the other.
///
/// # Errors
/// It is not JSON, nests deeper than 128, or repeats a name.
pub(super) fn parse(text: &str) -> Result<(Value, u64), serde_json::Error> {
    let mut values = 0;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { values: &mut values }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, values))
}

/// The text of a valid JSON document without the spaces between its tokens.
pub(super) fn compact(text: &str) -> String {
    let mut compact = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for character in text.chars() {
        if quoted || !matches!(character, ' ' | '\t' | '\r' | '\n') {
            compact.push(character);
        }
        if character == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && character == '\\' && !escaped;
    }
    compact
}

struct Strict<'a> {
    values: &'a mut u64,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        *self.values += 1;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(Strict { values: &mut *self.values })? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(Strict { values: &mut *self.values })?;
            match object.entry(name) {
                serde_json::map::Entry::Vacant(entry) => entry.insert(value),
                serde_json::map::Entry::Occupied(entry) => {
                    return Err(A::Error::custom(format_args!(
                        "the name {:?} stands twice in one object",
                        entry.key()
                    )));
                }
            };
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_an_error() {
        let error = parse(r#"{"a": {"b": 1, "c": 2, "b": 3}}"#).unwrap_err().to_string();
        assert!(error.contains("\"b\" stands twice"), "{error}");
    }

    #[test]
    fn depth_is_bounded_and_values_are_counted() {
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert_eq!(parse(r#"{"a": [1, -2, 2.5, null, "x"], "b": {}}"#).unwrap().1, 8);
        assert!(parse("1 2").is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ \\\\\"\\PC\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ \\\\\"\\PC]{0,4}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_compact_means_the_same(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value)?;
            prop_assert_eq!(compact(&pretty), serde_json::to_string(&value)?);
            prop_assert_eq!(parse(&pretty)?.0, value);
        }
    }
}
