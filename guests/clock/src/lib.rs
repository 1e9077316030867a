//! A tool that tells the time in any time zone. It reads no clock: `context.now` is the time.

mod zone;

use serde::Deserialize;

use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest, Hints};

wit_bindgen::generate!({ world: "tool-plugin", path: "../../wit" });

const SETTINGS_SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "timezone": {"type": "string", "maxLength": 64, "description": "The zone where none is asked for; UTC by default."}
    },
    "additionalProperties": false
}"#;

const INPUT_SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "timezone": {
            "type": "string",
            "maxLength": 64,
            "description": "IANA time zone, such as Europe/Berlin or America/New_York. Leave out for the user's own."
        }
    },
    "additionalProperties": false
}"#;

/// Of the settings and of the arguments alike.
#[derive(Deserialize)]
struct Zone {
    timezone: Option<String>,
}

impl Zone {
    fn parse(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(|error| Error::InvalidInput(error.to_string()))
    }
}

struct Clock;

impl Guest for Clock {
    fn describe() -> Description {
        Description { settings_schema: SETTINGS_SCHEMA.into(), hosts: vec![], secrets: vec![] }
    }

    fn definitions(settings: String) -> Result<Vec<Definition>, Error> {
        if let Some(name) = Zone::parse(&settings)?.timezone {
            zone::find(&name).map_err(Error::InvalidInput)?;
        }
        Ok(vec![Definition {
            name: "current_time".into(),
            title: Some("Current time".into()),
            description: "Tells the current date, time and weekday in a time zone. Use it whenever an answer depends \
                          on what time or day it is now; you do not know that by yourself."
                .into(),
            input_schema: INPUT_SCHEMA.into(),
            output_schema: None,
            hints: Hints::READ_ONLY | Hints::CLOSED_WORLD,
        }])
    }

    fn call(context: Context, name: String, arguments: String) -> Result<Vec<Content>, Error> {
        if name != "current_time" {
            return Err(Error::InvalidInput(format!("there is no tool `{name}` here; there is `current_time`")));
        }
        let asked = Zone::parse(&arguments)?.timezone;
        let name = match asked {
            Some(name) => name,
            None => Zone::parse(&context.settings)?.timezone.unwrap_or_else(|| "UTC".into()),
        };
        let zone = zone::find(&name).map_err(Error::InvalidInput)?;
        let text = zone::describe(&zone, context.now).map_err(Error::Failed)?;
        Ok(vec![Content::Text(text)])
    }
}

export!(Clock);
