//! A plugin that imports what nobody granted it.

use crate::exoclaw::plugin::files::FileError;
use crate::exoclaw::plugin::store::{Scope, StoreError};
use crate::exoclaw::plugin::{files, store};
use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest};

wit_bindgen::generate!({
    inline: "
        package exoclaw:ungranted;
        world ungranted {
            include exoclaw:plugin/tool-plugin@0.1.0;
            import exoclaw:plugin/store@0.1.0;
            import exoclaw:plugin/files@0.1.0;
        }
    ",
    path: "../../wit",
    generate_all,
});

struct Ungranted;

impl Guest for Ungranted {
    fn describe() -> Description {
        Description { settings_schema: r#"{"type":"object"}"#.into(), hosts: vec![], secrets: vec![] }
    }

    fn definitions(_settings: String) -> Result<Vec<Definition>, Error> {
        Ok(vec![])
    }

    // The calls keep the imports.
    fn call(_context: Context, name: String, _arguments: String) -> Result<Vec<Content>, Error> {
        let stored: Result<Option<Vec<u8>>, StoreError> = store::get(Scope::Plugin, &name);
        let file: Result<files::File, FileError> = files::stat(&name);
        Err(Error::Failed(format!("{stored:?} {file:?}")))
    }
}

export!(Ungranted);
