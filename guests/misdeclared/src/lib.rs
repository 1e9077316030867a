//! A plugin that declares its tools wrongly, in the way that its setting `mode` names.

use serde::Deserialize;

use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest, Hints};

wit_bindgen::generate!({ world: "tool-plugin", path: "../../wit" });

const SETTINGS_SCHEMA: &str = r#"{
    "type": "object",
    "properties": {"mode": {"type": "string", "description": "What is wrong."}},
    "required": ["mode"],
    "additionalProperties": false
}"#;

#[derive(Deserialize)]
struct Settings {
    mode: String,
}

struct Misdeclared;

impl Guest for Misdeclared {
    fn describe() -> Description {
        Description { settings_schema: SETTINGS_SCHEMA.into(), hosts: vec![], secrets: vec![] }
    }

    fn definitions(settings: String) -> Result<Vec<Definition>, Error> {
        let Settings { mode } =
            serde_json::from_str(&settings).map_err(|error| Error::InvalidInput(error.to_string()))?;
        let right = Definition {
            name: "right".into(),
            title: None,
            description: "Does nothing.".into(),
            input_schema: r#"{"type":"object"}"#.into(),
            output_schema: None,
            hints: Hints::empty(),
        };
        let named = |name: &str| Definition { name: name.into(), ..right.clone() };
        let taking = |schema: String| Definition { input_schema: schema, ..right.clone() };
        Ok(match mode.as_str() {
            "nothing" => vec![right],
            "trap" => core::arch::wasm32::unreachable(),
            "spin" => loop {
                std::hint::black_box(());
            },
            "error" => return Err(Error::Failed("out of order".into())),
            "none" => vec![],
            "collide" => vec![named("echo")],
            "duplicate" => vec![right.clone(), right],
            "name" => vec![named("no such name!")],
            "description" => vec![Definition { description: "d".repeat(100_000), ..right }],
            "count" => (0..1_000).map(|index| named(&format!("tool_{index}"))).collect(),
            "schema-json" => vec![taking("{".into())],
            "schema-type" => vec![taking(r#"{"type":"string"}"#.into())],
            "schema-remote" => vec![taking(r#"{"type":"object","$ref":"https://example.com/schema"}"#.into())],
            "schema-keyword" => vec![taking(r#"{"type":"object","required":"text"}"#.into())],
            "schema-regex" => {
                vec![taking(r#"{"type":"object","properties":{"a":{"pattern":"(?=back)\\1"}}}"#.into())]
            }
            "schema-size" => vec![taking(format!(r#"{{"type":"object","description":"{}"}}"#, "s".repeat(70_000)))],
            other => return Err(Error::InvalidInput(format!("there is no mode `{other}`"))),
        })
    }

    fn call(_context: Context, _name: String, _arguments: String) -> Result<Vec<Content>, Error> {
        Ok(vec![])
    }
}

export!(Misdeclared);
