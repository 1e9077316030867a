//! The smallest tool: it says back what it is told.

use serde::Deserialize;

use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest, Hints};

wit_bindgen::generate!({ world: "tool-plugin", path: "../../wit" });

const SETTINGS_SCHEMA: &str = r#"{"type":"object","additionalProperties":false}"#;

const INPUT_SCHEMA: &str = r#"{
    "type": "object",
    "properties": {"text": {"type": "string", "description": "What to say back, unchanged."}},
    "required": ["text"],
    "additionalProperties": false
}"#;

#[derive(Deserialize)]
struct Arguments {
    text: String,
}

struct Echo;

impl Guest for Echo {
    fn describe() -> Description {
        Description { settings_schema: SETTINGS_SCHEMA.into(), hosts: vec![], secrets: vec![] }
    }

    fn definitions(_settings: String) -> Result<Vec<Definition>, Error> {
        Ok(vec![Definition {
            name: "echo".into(),
            title: Some("Echo".into()),
            description: "Returns the given text unchanged. Use it only when asked to test that tools work.".into(),
            input_schema: INPUT_SCHEMA.into(),
            output_schema: None,
            hints: Hints::READ_ONLY | Hints::IDEMPOTENT | Hints::CLOSED_WORLD,
        }])
    }

    fn call(_context: Context, name: String, arguments: String) -> Result<Vec<Content>, Error> {
        if name != "echo" {
            return Err(Error::InvalidInput(format!("there is no tool `{name}` here; there is `echo`")));
        }
        let Arguments { text } =
            serde_json::from_str(&arguments).map_err(|error| Error::InvalidInput(error.to_string()))?;
        Ok(vec![Content::Text(text)])
    }
}

export!(Echo);
