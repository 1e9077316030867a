//! A tool that calculates exactly: rationals of big integers inside, decimals outside.

mod expression;
mod number;

use serde::Deserialize;

use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest, Hints};

wit_bindgen::generate!({ world: "tool-plugin", path: "../../wit" });

const SETTINGS_SCHEMA: &str = r#"{"type":"object","additionalProperties":false}"#;

/// The same bound as [`expression::MAX_LENGTH`].
const INPUT_SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "expression": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1000,
            "description": "Decimal numbers (12, 0.5, 1.2e-3), + - * / % ^ and parentheses, such as (19.99 * 3) / 4. `%` is the remainder, with the divisor's sign; `^` takes whole exponents. No names, no functions, no thousands separators."
        }
    },
    "required": ["expression"],
    "additionalProperties": false
}"#;

#[derive(Deserialize)]
struct Arguments {
    expression: String,
}

struct Calculator;

impl Guest for Calculator {
    fn describe() -> Description {
        Description { settings_schema: SETTINGS_SCHEMA.into(), hosts: vec![], secrets: vec![] }
    }

    fn definitions(_settings: String) -> Result<Vec<Definition>, Error> {
        Ok(vec![Definition {
            name: "calculate".into(),
            title: Some("Calculator".into()),
            description: "Calculates an arithmetic expression exactly: no binary floating point, no overflow. A \
                          result without a finite decimal form is rounded to 34 significant digits and says so. Use \
                          it for every calculation whose result matters."
                .into(),
            input_schema: INPUT_SCHEMA.into(),
            output_schema: None,
            hints: Hints::READ_ONLY | Hints::IDEMPOTENT | Hints::CLOSED_WORLD,
        }])
    }

    fn call(_context: Context, name: String, arguments: String) -> Result<Vec<Content>, Error> {
        if name != "calculate" {
            return Err(Error::InvalidInput(format!("there is no tool `{name}` here; there is `calculate`")));
        }
        let Arguments { expression } =
            serde_json::from_str(&arguments).map_err(|error| Error::InvalidInput(error.to_string()))?;
        let value = expression::evaluate(&expression).map_err(|error| Error::InvalidInput(error.to_string()))?;
        Ok(vec![Content::Text(number::decimal(&value))])
    }
}

export!(Calculator);
