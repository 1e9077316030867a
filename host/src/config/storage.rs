//! `[storage]`: which engine keeps what must stay, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use super::suggest;
use crate::home::Home;

/// The default, as a file writes it.
const DEFAULT: &str = "sqlite:~/.exoclaw/exoclaw.db";

/// Engines that others might look for here.
const ABSENT: &[&str] = &["surrealkv", "surrealdb", "ws", "wss", "http", "https", "rocksdb", "postgres", "mysql"];

/// `[storage]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageConfig {
    /// Which engine, where.
    pub url: StorageUrl,
    /// What is stored once it was said to be.
    pub durability: Durability,
}

/// A store's address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StorageUrl {
    /// `sqlite:~/.exoclaw/exoclaw.db`: a file in the owner's folder, wherever that is (`EXOCLAW_HOME`).
    #[default]
    Home,
    /// `sqlite:PATH`: this file.
    Sqlite(PathBuf),
    /// `memory`: forgotten at exit.
    Memory,
}

/// What a commit outlives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The loss of power: every commit is on the disk before it is told of.
    #[default]
    Power,
    /// The end of the process. A loss of power may take the last commits, whole, the newest first.
    Process,
}

/// Why a text is no store's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageUrlError {
    /// An engine that is not in this build.
    #[error("this build has no engine for `{scheme}:` addresses")]
    NoEngine {
        /// What stands before the colon.
        scheme: &'static str,
    },
    /// `sqlite:` without a file's path.
    #[error("expected a file's path after `sqlite:`")]
    NoFile,
    /// Nothing that is known.
    #[error("expected a store's address, such as \"{DEFAULT}\" or \"memory\"")]
    Unknown {
        /// What may be meant.
        near: Option<&'static str>,
    },
}

impl StorageUrlError {
    /// What to write instead.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoEngine { .. } => "write \"sqlite:PATH\" or \"memory\"".to_owned(),
            Self::NoFile => format!("write \"{DEFAULT}\", or \"memory\" for a store that is forgotten at exit"),
            Self::Unknown { near: Some(near) } => format!("did you mean \"{near}\"?"),
            Self::Unknown { near: None } => "write \"sqlite:PATH\" or \"memory\"".to_owned(),
        }
    }
}

impl StorageUrl {
    /// Reads an address. `resolve` makes a path of what a person writes for one.
    ///
    /// # Errors
    /// It is none, or of an engine that is not here.
    pub fn parse(text: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Self, StorageUrlError> {
        if text == DEFAULT {
            return Ok(Self::Home);
        }
        if text == "memory" {
            return Ok(Self::Memory);
        }
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        if let Some(scheme) = ABSENT.iter().find(|absent| absent.eq_ignore_ascii_case(scheme)) {
            return Err(StorageUrlError::NoEngine { scheme });
        }
        if scheme != "sqlite" {
            let near = suggest::nearest(scheme, ["sqlite", "memory"]);
            let near = near.map(|near| if near == "memory" { near } else { "sqlite:PATH" });
            return Err(StorageUrlError::Unknown { near });
        }
        // What others write before a path: `sqlite:///var/lib/x.db` has an empty host.
        let path = rest.strip_prefix("//").map_or(Some(rest), |path| path.starts_with('/').then_some(path));
        let file = |path: &&str| !path.trim().is_empty() && !path.ends_with(['/', '\\']) && !path.starts_with(':');
        path.filter(file).map(|path| Self::Sqlite(resolve(path))).ok_or(StorageUrlError::NoFile)
    }

    /// The file, where the store is one.
    ///
    /// # Errors
    /// It lies in the owner's folder, and there is none.
    pub fn file(&self, home: &Home) -> Result<Option<PathBuf>, NoHome> {
        match self {
            Self::Home => home.store().map(Some).ok_or(NoHome),
            Self::Sqlite(path) => Ok(Some(path.clone())),
            Self::Memory => Ok(None),
        }
    }
}

/// There is no folder for the store to lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no home folder to keep the store in: set HOME or EXOCLAW_HOME, or name a file with `[storage] url = \
     \"sqlite:PATH\"`"
)]
pub struct NoHome;

/// The address of a store that is in this file, or in memory: as people are told.
#[derive(Debug, Clone, Copy)]
pub struct ShownUrl<'a>(pub Option<&'a Path>);

impl fmt::Display for ShownUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(f, "sqlite:{}", path.display()),
            None => f.write_str("memory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StorageUrl, StorageUrlError> {
        let home = Home::find(&|name| Some(if name == "HOME" { "/home/ann" } else { "/srv/claw" }.into()));
        StorageUrl::parse(text, |path| home.resolve(path, Path::new("/etc/exoclaw")))
    }

    #[test]
    fn paths_start_where_the_other_paths_of_the_file_start() {
        let file = |path: &str| Ok(StorageUrl::Sqlite(path.into()));
        assert_eq!(parse("sqlite:claw.db"), file("/etc/exoclaw/claw.db"));
        assert_eq!(parse("sqlite:~/claw.db"), file("/home/ann/claw.db"));
        assert_eq!(parse("sqlite:/var/lib/claw.db"), file("/var/lib/claw.db"));
        assert_eq!(parse("sqlite:///var/lib/claw.db"), file("/var/lib/claw.db"));
        assert_eq!(parse("memory"), Ok(StorageUrl::Memory));
    }

    #[test]
    fn the_default_lies_in_the_owners_folder_wherever_that_is() {
        let home = Home::find(&|name| (name == "EXOCLAW_HOME").then(|| "/srv/claw".into()));
        assert_eq!(parse(DEFAULT), Ok(StorageUrl::default()));
        assert_eq!(StorageUrl::default().file(&home), Ok(Some("/srv/claw/exoclaw.db".into())));
        assert_eq!(StorageUrl::default().file(&Home::find(&|_| None)), Err(NoHome));
        assert_eq!(StorageUrl::Memory.file(&home), Ok(None));
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_remedy() {
        for (text, what) in [("surrealkv:data", "surrealkv"), ("ws://db.lan:8000", "ws"), ("WSS://db.lan", "wss")] {
            assert_eq!(parse(text), Err(StorageUrlError::NoEngine { scheme: what }), "{text}");
        }
        for text in ["sqlite:", "sqlite: ", "sqlite::memory:", "sqlite:data/", "sqlite://host/x.db", "sqlite"] {
            assert_eq!(parse(text), Err(StorageUrlError::NoFile), "{text}");
        }
        let help = |text| parse(text).err().map(|error| error.help()).unwrap_or_default();
        assert_eq!(help("sqllite:x"), "did you mean \"sqlite:PATH\"?");
        assert_eq!(help("Memory"), "did you mean \"memory\"?");
        assert_eq!(help("/var/lib/claw.db"), "write \"sqlite:PATH\" or \"memory\"");
    }
}
