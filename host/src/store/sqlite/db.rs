//! A database in use: one thread that writes, connections that read, the lock that keeps others out.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::SqliteOptions;
use super::connection;
use super::error::{OpenError, SqlResult};
use super::health::Monitor;
use super::lock::Lock;
use super::migrate::{MIGRATIONS, Migration};
use super::readers::Readers;
use super::writer::Writer;
use crate::store::{Health, StoreError};

/// A database: its writer and its readers. When it is dropped, what waits is written first.
#[derive(Debug)]
pub(super) struct Db {
    health: Arc<Monitor>,
    // Before the writer, so that it closes last and clears the log away.
    readers: Readers,
    writer: Writer,
}

impl Db {
    pub(super) fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        Self::open_with(options, MIGRATIONS)
    }

    /// Opens a store whose schema is what `migrations` make of it.
    pub(super) fn open_with(options: &SqliteOptions, migrations: &[Migration]) -> Result<Self, OpenError> {
        connection::make_folder(&options.path)?;
        let path = resolve(&options.path)?;
        let lock = Lock::take(&path)?;
        let writer = connection::writer(&path, options.durability, migrations)?;
        let readers = Readers::open(&path).map_err(|error| OpenError::sqlite(&path, &error))?;
        let health = Arc::new(Monitor::new());
        let writer = Writer::start(writer, &path, Arc::clone(&health), lock)
            .map_err(|error| OpenError::io(&path, "its writer cannot start", &error))?;
        Ok(Self { health, readers, writer })
    }

    /// Runs `work` in a transaction of its own. It is on the disk when this returns; an error of `work`
    /// leaves nothing of it. A caller that is dropped changes nothing: the work is done or not.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(work).await
    }

    /// Runs `work`, which writes nothing, on what was committed last, as it is at one moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(work).await
    }

    pub(super) fn health(&self) -> Health {
        self.health.health()
    }
}

fn resolve(path: &Path) -> Result<std::path::PathBuf, OpenError> {
    connection::resolve(path).map_err(|error| OpenError::io(path, "its folder cannot be read", &error))
}
