//! What takes the place of the hostile plugin in tests: its `answer` is another, and of its other
//! tools it has none.

use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest, Hints};

wit_bindgen::generate!({ world: "tool-plugin", path: "../../wit" });

struct Successor;

impl Guest for Successor {
    fn describe() -> Description {
        Description { settings_schema: r#"{"type":"object"}"#.into(), hosts: vec![], secrets: vec![] }
    }

    fn definitions(_settings: String) -> Result<Vec<Definition>, Error> {
        Ok(vec![Definition {
            name: "answer".into(),
            title: None,
            description: "Answers.".into(),
            input_schema: r#"{"type":"object"}"#.into(),
            output_schema: None,
            hints: Hints::empty(),
        }])
    }

    fn call(_context: Context, _name: String, _arguments: String) -> Result<Vec<Content>, Error> {
        Ok(vec![Content::Text("43".into())])
    }
}

export!(Successor);
