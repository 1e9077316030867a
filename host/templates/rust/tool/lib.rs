//! The tool `{{tool}}`.

use exoclaw_guest::tool::{Context, Hints, Tool};
use exoclaw_guest::{Error, Settings, invalid};
use serde::Deserialize;

/// What the owner sets in the config file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolSettings {
    #[serde(default = "hello")]
    greeting: String,
}

fn hello() -> String {
    "Hello".into()
}

impl Settings for ToolSettings {
    const SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {
            "greeting": {"type": "string", "description": "What to say before the name; `Hello` by default."}
        },
        "additionalProperties": false
    }"#;
}

/// What the model calls it with; INPUT_SCHEMA says the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    name: String,
}

struct Greeter;

impl Tool for Greeter {
    type Settings = ToolSettings;
    type Arguments = Arguments;
    // Or `Json<T>`, with an OUTPUT_SCHEMA.
    type Output = String;

    const NAME: &'static str = "{{tool}}";
    const TITLE: &'static str = "Greet";
    const DESCRIPTION: &'static str = "Greets somebody by name. Use it whenever a greeting is asked for.";
    const INPUT_SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 200, "description": "Whom to greet."}
        },
        "required": ["name"],
        "additionalProperties": false
    }"#;
    // What is promised here and kept may run beside other calls, and again after a crash.
    const HINTS: Hints = Hints::READ_ONLY.union(Hints::IDEMPOTENT).union(Hints::CLOSED_WORLD);

    fn call(_context: &Context, settings: ToolSettings, arguments: Arguments) -> Result<String, Error> {
        let name = arguments.name.trim();
        if name.is_empty() {
            // The model reads this: say what would be right.
            return Err(invalid("`name` is empty; give the name of whom to greet"));
        }
        Ok(format!("{}, {name}!", settings.greeting))
    }
}

exoclaw_guest::tools!(Greeter);
