//! A plugin that traps when it is asked what it is.

use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest};

wit_bindgen::generate!({ world: "tool-plugin", path: "../../wit" });

struct Undescribed;

impl Guest for Undescribed {
    fn describe() -> Description {
        panic!("nobody knows")
    }

    fn definitions(_settings: String) -> Result<Vec<Definition>, Error> {
        Ok(vec![])
    }

    fn call(_context: Context, _name: String, _arguments: String) -> Result<Vec<Content>, Error> {
        Ok(vec![])
    }
}

export!(Undescribed);
