//! The connections that read, beside the one that writes and beside each other.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection;
use super::error::{SqlResult, failing};
use super::writer::PATIENCE;
use crate::store::StoreError;

/// Connections. A read takes tens of microseconds, so these serve more than a gateway asks for.
const READERS: usize = 4;

/// Connections that are free.
type Free = Arc<Mutex<Vec<Connection>>>;

/// The connections that read.
#[derive(Debug)]
pub(super) struct Readers {
    path: Arc<Path>,
    /// As many permits as connections: who has one finds one.
    turns: Arc<Semaphore>,
    free: Free,
}

/// A connection in use. It is free again in any case.
struct Borrowed {
    connection: Option<Connection>,
    free: Free,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Readers {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connections = (0..READERS).map(|_| connection::reader(path)).collect::<Result<Vec<_>, _>>()?;
        let turns = Arc::new(Semaphore::new(connections.len()));
        Ok(Self { path: path.into(), turns, free: Arc::new(Mutex::new(connections)) })
    }

    /// Runs `work` on what was committed last, as it is at one moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| {
            let reason = format!("a read waited {} s for its turn; the disk hangs, or is too slow", PATIENCE.as_secs());
            failing(&self.path, reason)
        })?;
        let turn = turn.map_err(|_| StoreError::Closed)?;
        let (free, path) = (Arc::clone(&self.free), Arc::clone(&self.path));
        let reading = tokio::task::spawn_blocking(move || {
            let connection = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let borrowed = Borrowed { connection, free };
            let read = borrowed.connection.as_ref().ok_or(StoreError::Closed).and_then(|connection| {
                // One moment for all statements of the work. It ends with the scope, also in a panic.
                let moment = connection.unchecked_transaction().map_err(Into::into);
                let read = moment.and_then(|moment| work(&moment));
                read.map_err(|error| error.into_store(&path))
            });
            drop(borrowed);
            // Last: whoever is next finds the connection.
            drop(turn);
            read
        });
        match reading.await {
            Ok(read) => read,
            Err(broken) if broken.is_panic() => {
                Err(failing(&self.path, "a fault in exoclaw ended the read; please report it").into())
            }
            Err(_) => Err(StoreError::Closed),
        }
    }
}
