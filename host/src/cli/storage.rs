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
    config.storage.url.file(home).map_err(|error| CliError::Usage(error.to_string()))
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
