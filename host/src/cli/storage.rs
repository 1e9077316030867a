//! The store that the config names: opened, told of, and closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CliError;
use crate::config::{Config, ShownUrl};
use crate::home::Home;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{DynStore, MemoryLimits, MemoryStore};

/// A store that is open.
pub(super) struct Storage {
    /// The store.
    pub(super) store: DynStore,
    /// Its address: as `status` shows it.
    pub(super) url: String,
}

impl Storage {
    /// Opens the store that the config names; a file that is not there is made. Blocks for as long as bringing
    /// an older store up to date takes.
    ///
    /// # Errors
    /// What is in the way, and what to do.
    pub(super) fn open(config: &Config, home: &Home) -> Result<Self, CliError> {
        let file = file(config, home)?;
        let url = ShownUrl(file.as_deref()).to_string();
        let Some(path) = file else {
            return Ok(Self { store: Arc::new(MemoryStore::new(memory(config))), url });
        };
        Ok(Self { store: Arc::new(SqliteStore::open(options(config, &path))?), url })
    }

    /// [`Storage::open`], off the thread that must not wait.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn open_aside(config: &Config, home: &Home) -> Result<Self, CliError> {
        let (config, home) = (config.clone(), home.clone());
        tokio::task::spawn_blocking(move || Self::open(&config, &home)).await.map_err(CliError::failed)?
    }
}

/// The store's file, where it is one.
pub(super) fn file(config: &Config, home: &Home) -> Result<Option<PathBuf>, CliError> {
    let path = config.storage.url.file(home).map_err(|error| CliError::Usage(error.to_string()))?;
    // A config file that is named without a folder leaves paths as they are.
    Ok(path.map(std::path::absolute).transpose()?)
}

/// How the file is opened.
pub(super) fn options(config: &Config, path: &Path) -> SqliteOptions {
    SqliteOptions {
        path: path.to_owned(),
        durability: config.storage.durability,
        files: config.limits.files,
        session_files: config.limits.session_files,
    }
}

fn memory(config: &Config) -> MemoryLimits {
    MemoryLimits {
        sessions: config.limits.sessions,
        messages: config.limits.messages,
        files: config.limits.files,
        session_files: config.limits.session_files,
        ..MemoryLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::{Holder, OpenError};
    use crate::store::{Epoch, Sickness, StoreError};

    /// What an owner finds by searching for what was printed.
    const OPERATIONS: &str = include_str!("../../../docs/operations.md");

    #[test]
    fn the_documentation_has_each_failure_as_it_is_printed() {
        let path = PathBuf::from("/home/ann/.exoclaw/exoclaw.db");
        let holder =
            Holder { pid: Some(4242), host: Some("nas".to_owned()), since: Some("2026-11-22T11:56:32Z".to_owned()) };
        let reason = || "database or disk is full".to_owned();
        for error in [
            OpenError::InUse { path: path.clone(), holder },
            OpenError::Missing { path: path.clone() },
            OpenError::NotADatabase { path: path.clone() },
            OpenError::Foreign { path: path.clone() },
            OpenError::Damaged { path: path.clone(), reason: "database disk image is malformed".to_owned() },
            OpenError::ReadOnly { path: path.clone() },
            OpenError::Newer { path: path.clone(), found: 2, known: 1 },
            OpenError::Migration { path: path.clone(), from: 1, to: 2, reason: reason() },
        ] {
            assert!(OPERATIONS.contains(&format!("    error: {error}\n")), "{error}");
        }
        let place: Arc<str> = path.display().to_string().into();
        for error in [
            StoreError::Sick(Sickness::DiskFull { place: Arc::clone(&place) }),
            StoreError::Sick(Sickness::ReadOnly { place: Arc::clone(&place) }),
            StoreError::Sick(Sickness::Failing { place, reason: "disk I/O error".into() }),
            StoreError::Superseded { epoch: Epoch(7), by: Epoch(8) },
        ] {
            assert!(OPERATIONS.contains(&format!("    {error}\n")), "{error}");
        }
    }

    #[test]
    fn the_store_is_the_one_that_the_config_names() {
        let home = Home::find(&|name| (name == "EXOCLAW_HOME").then(|| "/srv/claw".into()));
        let mut config = Config::default();
        assert_eq!(file(&config, &home).ok().flatten(), Some("/srv/claw/exoclaw.db".into()));
        let nowhere = file(&config, &Home::find(&|_| None)).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(nowhere.contains("HOME") && nowhere.contains("[storage] url"), "{nowhere}");
        config.storage.url = crate::config::StorageUrl::Memory;
        assert_eq!(file(&config, &home).ok(), Some(None));
        assert_eq!(Storage::open(&config, &home).ok().map(|storage| storage.url), Some("memory".to_owned()));
    }
}
