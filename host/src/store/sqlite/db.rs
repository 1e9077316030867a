//! The connections: one thread that writes, and threads that read.

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::error::{OpenError, SqlError, SqlResult};
use super::{Durability, SqliteOptions};
use crate::store::{Health, StoreError};

/// Transactions that may wait for the writer.
const QUEUE: usize = 1_024;

/// Transactions of one commit.
const GROUP: usize = 256;

/// How long a connection waits for another process that holds the file, such as a backup.
const BUSY: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 128;

type Job = Box<dyn FnOnce(&Connection) -> Box<dyn FnOnce(Result<(), StoreError>) + Send> + Send>;

/// A database: its writer and its readers.
pub(super) struct Db {
    path: PathBuf,
    jobs: mpsc::SyncSender<Job>,
    readers: Arc<Mutex<Vec<Connection>>>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("path", &self.path).finish_non_exhaustive()
    }
}

fn connect(options: &SqliteOptions) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&options.path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match options.durability {
        Durability::Power => "FULL",
        Durability::Process => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

impl Db {
    pub(super) fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        let bad = |reason: String| OpenError::File { path: options.path.clone(), reason };
        let writer = connect(options).map_err(|error| bad(error.to_string()))?;
        for schema in [include_str!("schema/sessions.sql"), include_str!("schema/rest.sql")] {
            writer.execute_batch(schema).map_err(|error| bad(error.to_string()))?;
        }
        let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
        let path = options.path.clone();
        thread::Builder::new()
            .name("exoclaw-store".to_owned())
            .spawn(move || write(&writer, &queue, &path))
            .map_err(|error| bad(error.to_string()))?;
        let readers = connect(options).map_err(|error| bad(error.to_string()))?;
        Ok(Self { path: options.path.clone(), jobs, readers: Arc::new(Mutex::new(vec![readers])) })
    }

    /// Runs `work` in a transaction of its own. It is on the disk when this returns; an error of `work`
    /// leaves nothing of it. A caller that is dropped changes nothing: the work is done or not.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let path = self.path.clone();
        let job: Job = Box::new(move |connection| {
            let done = savepoint(connection, work);
            Box::new(move |committed| {
                let _ = answer.send(match (done, committed) {
                    (Err(error), _) => Err(error.into_store(&path)),
                    (Ok(_), Err(error)) => Err(error),
                    (Ok(done), Ok(())) => Ok(done),
                });
            })
        });
        self.jobs.try_send(job).map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `work`, which writes nothing, on what was committed last.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (readers, path) = (Arc::clone(&self.readers), self.path.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(connection) = readers.first() else { return Err(StoreError::Closed) };
            work(connection).map_err(|error| error.into_store(&path))
        });
        reading.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) fn health(&self) -> Health {
        Health::Well
    }
}

/// Runs a piece of work so that an error of it leaves nothing behind.
fn savepoint<T>(connection: &Connection, work: impl FnOnce(&Connection) -> SqlResult<T>) -> SqlResult<T> {
    connection.prepare_cached("SAVEPOINT work")?.execute([])?;
    let done = work(connection);
    if done.is_err() {
        connection.prepare_cached("ROLLBACK TO work")?.execute([])?;
    }
    connection.prepare_cached("RELEASE work")?.execute([])?;
    done
}

/// Until all senders are gone: takes what waits, and commits it together.
fn write(connection: &Connection, queue: &mpsc::Receiver<Job>, path: &std::path::Path) {
    while let Ok(first) = queue.recv() {
        let mut answers = Vec::new();
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        if begun.is_ok() {
            answers.push(first(connection));
            answers.extend(queue.try_iter().take(GROUP - 1).map(|job| job(connection)));
        }
        let committed = begun.and_then(|()| connection.execute_batch("COMMIT"));
        if committed.is_err() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        let committed = committed.map_err(|error| SqlError::from(error).into_store(path));
        for answer in answers {
            answer(committed.clone());
        }
    }
}
