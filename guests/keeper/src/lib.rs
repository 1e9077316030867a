//! A plugin with a tool for every use of every capability, to hold the host to its word.

use std::fs;
use std::io::Write;

use serde::Deserialize;

use crate::exoclaw::plugin::files::{self, FileError};
use crate::exoclaw::plugin::memory::{self, MemoryError};
use crate::exoclaw::plugin::progress;
use crate::exoclaw::plugin::store::{self, Scope, StoreError};
use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest, Hints};

wit_bindgen::generate!({
    inline: "
        package exoclaw:keeper;
        world keeper {
            include exoclaw:plugin/tool-plugin@0.1.0;
            import exoclaw:plugin/store@0.1.0;
            import exoclaw:plugin/files@0.1.0;
            import exoclaw:plugin/progress@0.1.0;
            import exoclaw:plugin/memory@0.1.0;
        }
    ",
    path: "../../wit",
    generate_all,
});

const SCHEMA: &str = r#"{"type":"object","properties":{
    "scope":{"enum":["plugin","agent","session"]},
    "key":{"type":"string"},"value":{"type":"string"},"expected":{"type":"string"},
    "prefix":{"type":"string"},"after":{"type":"string"},
    "id":{"type":"string"},"name":{"type":"string"},"mime":{"type":"string"},
    "offset":{"type":"integer","minimum":0},"n":{"type":"integer","minimum":0},"total":{"type":"integer","minimum":0},
    "path":{"type":"string"},"to":{"type":"string"}
},"additionalProperties":false}"#;

const TOOLS: &[&str] = &[
    "get",
    "set",
    "fill",
    "delete",
    "compare_and_set",
    "increment",
    "keys",
    "make_file",
    "make_file_and_fail",
    "name_file",
    "append",
    "stat",
    "read",
    "report",
    "search",
    "remember",
    "forget",
    "read_path",
    "write_path",
    "append_path",
    "remove_path",
    "rename_path",
    "make_folder",
    "list_path",
];

/// The arguments of every tool, of which each takes its own.
#[derive(Deserialize)]
#[serde(default)]
struct Arguments {
    scope: String,
    key: String,
    value: String,
    expected: Option<String>,
    prefix: String,
    after: Option<String>,
    id: String,
    name: String,
    mime: String,
    offset: u64,
    n: u32,
    total: Option<u64>,
    path: String,
    to: String,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            scope: "plugin".into(),
            key: String::new(),
            value: String::new(),
            expected: None,
            prefix: String::new(),
            after: None,
            id: String::new(),
            name: "notes.txt".into(),
            mime: "text/plain".into(),
            offset: 0,
            n: 0,
            total: None,
            path: String::new(),
            to: String::new(),
        }
    }
}

struct Keeper;

impl Guest for Keeper {
    fn describe() -> Description {
        Description { settings_schema: r#"{"type":"object"}"#.into(), hosts: vec![], secrets: vec![] }
    }

    fn definitions(_settings: String) -> Result<Vec<Definition>, Error> {
        let define = |name: &&str| Definition {
            name: (*name).into(),
            title: None,
            description: format!("Uses what the host grants: {name}."),
            input_schema: SCHEMA.into(),
            output_schema: None,
            hints: Hints::empty(),
        };
        Ok(TOOLS.iter().map(define).collect())
    }

    fn call(_context: Context, name: String, arguments: String) -> Result<Vec<Content>, Error> {
        let given: Arguments =
            serde_json::from_str(&arguments).map_err(|error| Error::InvalidInput(error.to_string()))?;
        let text = match name.as_str() {
            "make_file" => return make_file(&given).map(|id| vec![Content::Text(id.clone()), Content::File(id)]),
            "make_file_and_fail" => return make_file(&given).and_then(|id| Err(Error::Failed(id))),
            "name_file" => return Ok(vec![Content::File(given.id)]),
            "append" => files::append(&given.id, given.value.as_bytes()).map(|()| "appended".into()).map_err(file)?,
            "stat" => files::stat(&given.id).map(|file| format!("{file:?}")).map_err(file)?,
            "read" => files::read(&given.id, given.offset, given.n).map(lossy).map_err(file)?,
            "report" => {
                for done in 1..=given.n {
                    progress::report(&given.value, done.into(), given.total);
                }
                "reported".into()
            }
            "search" => memory::search(&given.value, 10).map(|facts| format!("{facts:?}")).map_err(remembered)?,
            "remember" => memory::remember("a", "b", "c").map(|fact| format!("{fact:?}")).map_err(remembered)?,
            "forget" => memory::forget("f").map(|()| "forgotten".into()).map_err(remembered)?,
            _ if name.ends_with("_path") || name == "make_folder" => {
                on_disk(&name, &given).map_err(|error| Error::Failed(format!("{:?}: {error}", error.kind())))?
            }
            _ => keep(&name, &given)?,
        };
        Ok(vec![Content::Text(text)])
    }
}

fn keep(name: &str, given: &Arguments) -> Result<String, Error> {
    let scope = match given.scope.as_str() {
        "agent" => Scope::Agent,
        "session" => Scope::Session,
        _ => Scope::Plugin,
    };
    let (key, value) = (given.key.as_str(), given.value.as_bytes());
    let failed = |error| match error {
        StoreError::QuotaExceeded => Error::Failed("quota exceeded".into()),
        StoreError::Unavailable(why) => Error::Failed(why),
    };
    Ok(match name {
        "get" => store::get(scope, key).map_err(failed)?.map_or("nothing".into(), lossy),
        "set" => store::set(scope, key, value).map(|()| "set".into()).map_err(failed)?,
        "fill" => store::set(scope, key, &vec![b'x'; given.n as usize]).map(|()| "set".into()).map_err(failed)?,
        "delete" => store::delete(scope, key).map(|()| "deleted".into()).map_err(failed)?,
        "compare_and_set" => {
            let expected = given.expected.as_deref().map(str::as_bytes);
            store::compare_and_set(scope, key, expected, value).map_err(failed)?.to_string()
        }
        // As authors will write it: read, change, and try again where another was quicker.
        "increment" => loop {
            let found = store::get(scope, key).map_err(failed)?;
            let number: u64 = found.as_ref().map_or(0, |found| lossy(found.clone()).parse().unwrap_or(0)) + 1;
            let number = number.to_string();
            if store::compare_and_set(scope, key, found.as_deref(), number.as_bytes()).map_err(failed)? {
                break number;
            }
        },
        "keys" => store::keys(scope, &given.prefix, given.after.as_deref(), given.n).map_err(failed)?.join(" "),
        other => return Err(Error::InvalidInput(format!("there is no tool `{other}`"))),
    })
}

/// A file that holds `value`, `n` times.
fn make_file(given: &Arguments) -> Result<String, Error> {
    let id = files::create(&given.name, &given.mime).map_err(file)?;
    for _ in 0..given.n {
        files::append(&id, given.value.as_bytes()).map_err(file)?;
    }
    Ok(id)
}

fn on_disk(name: &str, given: &Arguments) -> std::io::Result<String> {
    Ok(match name {
        "read_path" => fs::read_to_string(&given.path)?,
        "write_path" => fs::write(&given.path, &given.value).map(|()| "written".into())?,
        "append_path" => {
            fs::OpenOptions::new().append(true).open(&given.path)?.write_all(given.value.as_bytes())?;
            "appended".into()
        }
        "remove_path" => fs::remove_file(&given.path).map(|()| "removed".into())?,
        "rename_path" => fs::rename(&given.path, &given.to).map(|()| "renamed".into())?,
        "make_folder" => fs::create_dir(&given.path).map(|()| "made".into())?,
        _ => {
            let names = fs::read_dir(&given.path)?.map(|entry| entry.map(|entry| entry.file_name()));
            let mut names: Vec<_> = names.collect::<Result<_, _>>()?;
            names.sort();
            names.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(" ")
        }
    })
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn file(error: FileError) -> Error {
    Error::Failed(match error {
        FileError::NotFound => "not found".into(),
        FileError::TooLarge => "too large".into(),
        FileError::Unavailable(why) => why,
    })
}

fn remembered(error: MemoryError) -> Error {
    Error::Failed(match error {
        MemoryError::ReadOnly => "read-only".into(),
        MemoryError::Unavailable(why) => why,
    })
}

export!(Keeper);
