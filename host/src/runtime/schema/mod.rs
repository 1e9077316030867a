//! JSON Schemas of tools and settings: what may be one, and whether a value fits.
//!
//! A schema comes from a plugin and a value from a model; either may be hostile. So the dialect is
//! fixed (2020-12), nothing is fetched, patterns take linear time, and what a check may cost is
//! known before it is made.

mod cost;

use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json;
use super::output::cut;

/// The largest schema, in bytes.
pub const MAX_SCHEMA: usize = 64 << 10;
/// The largest arguments of a call, in bytes.
pub const MAX_ARGUMENTS: usize = 64 << 10;

/// The largest compiled pattern, in bytes; a schema may have hundreds.
const MAX_PATTERN: usize = 256 << 10;

/// Subschemas that a value meets, times values: some tenths of a second at the very worst.
const MAX_WORK: u64 = 10_000_000;

/// How many violations are told at once.
const MAX_VIOLATIONS: usize = 8;
/// The longest text of one violation, in bytes: it may quote the value.
const MAX_VIOLATION: usize = 300;

/// The only dialect; a schema may name it or name none.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A schema that values can be checked against.
#[derive(Debug)]
pub struct Schema {
    text: Arc<RawValue>,
    cost: u64,
    validator: Validator,
}

/// Why a text is no schema for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Too long.
    #[error("it has {0} bytes, and {MAX_SCHEMA} are allowed")]
    Size(usize),
    /// Not JSON.
    #[error("it is not JSON: {0}")]
    Json(String),
    /// Another dialect.
    #[error("its `$schema` is {0}; leave it out or give `{DIALECT}`")]
    Dialect(String),
    /// Not about objects.
    #[error("its top must say `\"type\": \"object\"`")]
    NotObject,
    /// It refers to something that is not inside it.
    #[error("it refers to `{0}`; a `$ref` must point inside the schema, as `#/$defs/NAME` does")]
    Reference(String),
    /// It refers to itself.
    #[error("`{0}` leads back to itself; recursive schemas are not allowed, since checking them has no bound")]
    Recursion(String),
    /// A keyword that would make references ambiguous.
    #[error("`{0}` is not allowed; use `$ref` with `#/$defs/NAME`")]
    Keyword(&'static str),
    /// It multiplies.
    #[error("checking it takes more than {limit} steps for one value, once its references are followed", limit = cost::MAX_COST)]
    Cost,
    /// Not valid by the dialect's own schema, or a pattern is none.
    #[error("{0}")]
    Invalid(String),
}

/// How a value does not fit, for whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(Vec<String>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl Schema {
    /// Takes a schema in.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        if text.len() > MAX_SCHEMA {
            return Err(SchemaError::Size(text.len()));
        }
        let (value, _) = json::parse(text).map_err(|error| SchemaError::Json(error.to_string()))?;
        match value.get("$schema") {
            None => {}
            Some(Value::String(dialect)) if dialect.trim_end_matches('#') == DIALECT => {}
            Some(other) => return Err(SchemaError::Dialect(cut(&other.to_string(), MAX_VIOLATION).to_owned())),
        }
        if value.get("type") != Some(&Value::String("object".into())) {
            return Err(SchemaError::NotObject);
        }
        let cost = cost::of(&value)?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN))
            .build(&value)
            .map_err(|error| SchemaError::Invalid(violation(&error)))?;
        let text = RawValue::from_string(json::compact(text)).map_err(|error| SchemaError::Json(error.to_string()))?;
        Ok(Self { text: text.into(), cost, validator })
    }

    /// The schema's text, without the spaces around its tokens.
    #[must_use]
    pub fn text(&self) -> &Arc<RawValue> {
        &self.text
    }

    /// Whether a JSON text fits.
    ///
    /// # Errors
    /// How it does not.
    pub fn check_text(&self, text: &str) -> Result<(), Violations> {
        let (value, values) = json::parse(text).map_err(|error| Violations(vec![error.to_string()]))?;
        if self.cost.saturating_mul(values) > MAX_WORK {
            return Err(Violations(vec![format!("{values} values are too many for this schema")]));
        }
        self.check(&value)
    }

    fn check(&self, value: &Value) -> Result<(), Violations> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let mut errors = self.validator.iter_errors(value);
        let mut violations: Vec<String> = errors.by_ref().take(MAX_VIOLATIONS).map(|error| violation(&error)).collect();
        if errors.next().is_some() {
            violations.push("and more".into());
        }
        Err(Violations(violations))
    }
}

/// `at /a/b: "x" is not of type "integer"`.
fn violation(error: &jsonschema::ValidationError<'_>) -> String {
    let message = error.to_string();
    let message = match cut(&message, MAX_VIOLATION) {
        whole if whole.len() == message.len() => message,
        part => format!("{part}…"),
    };
    match error.instance_path().as_str() {
        "" => message,
        path => format!("at {}: {message}", cut(path, MAX_VIOLATION)),
    }
}

#[cfg(test)]
mod tests;
