//! `exoclaw plugin new`: a project that builds as its README says, with the contract in it.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use clap::{Args, ValueEnum};

use super::{CliError, Exit, output};

/// `exoclaw plugin new`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Writes the folder ./NAME, which holds all that the project needs; its README says how to build and try it.

Examples:
  exoclaw plugin new dice --lang rust
  exoclaw plugin new my-platform --kind channel --lang python")]
pub(super) struct NewArgs {
    /// Its name, and the folder's: a-z, 0-9 and `-`, a letter first
    #[arg(value_parser = name)]
    name: String,
    /// What it is to be
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// The language to write it in
    #[arg(long, value_enum)]
    lang: Lang,
}

/// The world that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Kind {
    /// Functions that the agent may call
    #[default]
    Tool,
    /// A messaging platform
    Channel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// Rust, with typed settings and arguments
    Rust,
    /// JavaScript, through componentize-js
    Js,
    /// Python, through componentize-py
    Python,
    /// C, tools only
    C,
}

/// The longest name: of the 64 characters of a tool's.
const MAX_NAME: usize = 40;

/// Names that Cargo, npm and Python all take, that the config file takes for a plugin, and that
/// are a tool's name once `-` is `_`.
fn name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let right = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= MAX_NAME
        && text.bytes().all(allowed)
        && !text.ends_with('-');
    match right {
        true => Ok(text.to_owned()),
        false => Err(format!("it has at most {MAX_NAME} of a-z, 0-9 and `-`, a letter first and no `-` at the end")),
    }
}

pub(super) fn run(args: &NewArgs) -> Result<Exit, CliError> {
    if (args.lang, args.kind) == (Lang::C, Kind::Channel) {
        return Err(CliError::Usage(
            "in C there is a project for tools only; channels are in rust, js and python".into(),
        ));
    }
    let folder = Path::new(&args.name);
    write(folder, args).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            CliError::Usage(format!("{} is there already; take another name, or remove it first", folder.display()))
        }
        _ => CliError::Failed(format!("cannot write the project to {}: {error}", folder.display()).into()),
    })?;
    let read = format!("{0} is written; {0}/README.md says how to build and try it\n", folder.display());
    output::print(read.as_bytes())?;
    Ok(Exit::Done)
}

/// Writes the project, into a folder that is new.
fn write(folder: &Path, args: &NewArgs) -> io::Result<()> {
    fs::create_dir(folder)?;
    for (path, text) in files(args.lang, args.kind) {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::File::create_new(path)?.write_all(fill(text, args).as_bytes())?;
    }
    Ok(())
}

/// A template with the project's names in it.
fn fill(template: &str, args: &NewArgs) -> String {
    let kind = match args.kind {
        Kind::Tool => "tool",
        Kind::Channel => "channel",
    };
    template.replace("{{name}}", &args.name).replace("{{tool}}", &args.name.replace('-', "_")).replace("{{kind}}", kind)
}

/// Where each file of a project goes, and what it holds.
type Files = Vec<(&'static str, &'static str)>;

/// A file of `host/templates/`.
macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

/// Files of the repository, under a folder of the project.
macro_rules! copies {
    ($to:literal from $from:literal: $($file:literal),+) => {
        [$((concat!($to, "/", $file), include_str!(concat!("../../../", $from, "/", $file)))),+]
    };
}

fn files(lang: Lang, kind: Kind) -> Files {
    let mut files = match lang {
        Lang::Rust => rust(kind),
        Lang::Js => js(kind),
        Lang::Python => python(kind),
        Lang::C => c(),
    };
    match lang {
        // The library is a crate of its own, and a crate holds what it is built from.
        Lang::Rust => files.extend(copies!("exoclaw-guest/wit" from "wit":
            "capabilities.wit", "channel.wit", "logging.wit", "tool.wit", "types.wit", "worlds.wit")),
        Lang::Js | Lang::Python | Lang::C => files.extend(copies!("wit" from "wit":
            "capabilities.wit", "channel.wit", "logging.wit", "tool.wit", "types.wit", "worlds.wit")),
    }
    files
}

fn rust(kind: Kind) -> Files {
    let (source, readme) = match kind {
        Kind::Tool => (template!("rust/tool/lib.rs"), template!("rust/tool/README.md")),
        Kind::Channel => (template!("rust/channel/lib.rs"), template!("rust/channel/README.md")),
    };
    let mut files = vec![
        (".cargo/config.toml", template!("rust/cargo-config.toml")),
        (".gitignore", template!("rust/gitignore")),
        ("Cargo.toml", template!("rust/Cargo.toml")),
        ("README.md", readme),
        ("src/lib.rs", source),
        ("exoclaw-guest/Cargo.toml", template!("rust/guest-Cargo.toml")),
    ];
    files.extend(copies!("exoclaw-guest/src" from "guests/sdk/src":
        "bindings.rs", "channel.rs", "error.rs", "lib.rs", "logging.rs", "settings.rs", "tool.rs", "whole.rs"));
    files
}

fn js(kind: Kind) -> Files {
    let (source, readme) = match kind {
        Kind::Tool => (template!("js/tool/plugin.js"), template!("js/tool/README.md")),
        Kind::Channel => (template!("js/channel/plugin.js"), template!("js/channel/README.md")),
    };
    vec![
        (".gitignore", template!("js/gitignore")),
        ("README.md", readme),
        ("build.mjs", template!("js/build.mjs")),
        ("package.json", template!("js/package.json")),
        ("plugin.js", source),
    ]
}

fn python(kind: Kind) -> Files {
    let (source, readme) = match kind {
        Kind::Tool => (template!("python/tool/plugin.py"), template!("python/tool/README.md")),
        Kind::Channel => (template!("python/channel/plugin.py"), template!("python/channel/README.md")),
    };
    vec![
        (".gitignore", template!("python/gitignore")),
        ("README.md", readme),
        ("requirements.txt", template!("python/requirements.txt")),
        ("src/plugin.py", source),
    ]
}

fn c() -> Files {
    vec![
        (".gitignore", template!("c/gitignore")),
        ("README.md", template!("c/tool/README.md")),
        ("json.c", include_str!("../../../guests/wordcount/c/json.c")),
        ("json.h", include_str!("../../../guests/wordcount/c/json.h")),
        ("plugin.c", template!("c/tool/plugin.c")),
        ("requirements.txt", include_str!("../../../guests/wordcount/c/requirements.txt")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANGS: [Lang; 4] = [Lang::Rust, Lang::Js, Lang::Python, Lang::C];
    const KINDS: [Kind; 2] = [Kind::Tool, Kind::Channel];

    #[test]
    fn a_name_is_one_for_cargo_npm_python_and_the_config_file() {
        for right in ["dice", "a", "my-platform-2", &"x".repeat(40)] {
            assert_eq!(name(right).as_deref(), Ok(right));
            right.parse::<crate::config::PluginName>().unwrap();
        }
        let long = "x".repeat(41);
        for wrong in ["", "Dice", "2dice", "-dice", "dice-", "../dice", "a/b", "a b", "a_b", "dïce", ".", &long] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_of_a_template_is_left_open() {
        for (lang, kind) in LANGS.into_iter().flat_map(|lang| KINDS.map(|kind| (lang, kind))) {
            let args = NewArgs { name: "two-words".into(), kind, lang };
            for (path, text) in files(lang, kind) {
                let text = fill(text, &args);
                for open in ["{{name}}", "{{tool}}", "{{kind}}"] {
                    assert!(!text.contains(open), "{open} in {path} of {lang:?} {kind:?}");
                }
            }
        }
    }

    /// The project's library is the repository's, but its manifest cannot inherit from a workspace.
    #[test]
    fn the_library_of_a_project_depends_on_what_the_repository_s_does() {
        let read = |text: &str| text.parse::<toml::Table>().unwrap();
        let workspace = read(include_str!("../../../guests/Cargo.toml"));
        let library = read(include_str!("../../../guests/sdk/Cargo.toml"));
        let project = read(template!("rust/guest-Cargo.toml"));
        let inherited = workspace["workspace"]["dependencies"].as_table().unwrap();
        let names: Vec<_> = library["dependencies"].as_table().unwrap().keys().collect();
        let theirs = project["dependencies"].as_table().unwrap();
        assert_eq!(names, theirs.keys().collect::<Vec<_>>());
        for (name, dependency) in theirs {
            assert_eq!(dependency, &inherited[name], "{name}");
        }
    }
}
