//! The one thread that writes: it takes the transactions of all sessions that wait, and commits them together,
//! with one sync. Each of them stands alone all the same: what fails leaves nothing, and fails no other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::connection::{BUSY, Identity};
use super::error::{SqlError, failing};
use super::health::Monitor;
use super::task::{Ran, Work};
use super::writer::Queued;
use crate::store::{Sickness, StoreError};

/// Transactions of one commit.
const GROUP: usize = 256;

/// How long a group goes on taking what waits: the first of it waits that much longer, which is about the time
/// of a sync.
const GATHER: Duration = Duration::from_millis(10);

/// How often a storage that failed is tried, when no other write does it.
const PROBE: Duration = Duration::from_secs(1);

/// After how long without a write the log is moved into the file and cut. Then what was deleted is gone from
/// the log, too.
const IDLE: Duration = Duration::from_secs(2);

/// What the thread owns.
pub(super) struct Committer {
    connection: Connection,
    path: PathBuf,
    identity: Identity,
    health: Arc<Monitor>,
    /// Whether the log may hold something.
    dirty: bool,
    /// When a commit was tried last.
    tried: Instant,
}

/// Why a group came to nothing: what its callers are told, and what it says of the storage.
struct Lost {
    error: StoreError,
    sickness: Option<Sickness>,
}

impl From<Sickness> for Lost {
    fn from(sickness: Sickness) -> Self {
        Self { error: sickness.clone().into(), sickness: Some(sickness) }
    }
}

impl Committer {
    pub(super) fn new(connection: Connection, path: &Path, health: Arc<Monitor>) -> Self {
        let (path, identity) = (path.to_owned(), Identity::of(path));
        Self { connection, path, identity, health, dirty: true, tried: Instant::now() }
    }

    /// Until all senders are gone and the queue is empty.
    pub(super) fn run(&mut self, waiting: &mpsc::Receiver<Queued>) {
        loop {
            let sick = self.health.is_sick();
            let next = match (sick, self.dirty) {
                (true, _) => waiting.recv_timeout(PROBE.saturating_sub(self.tried.elapsed())),
                (false, true) => waiting.recv_timeout(IDLE),
                (false, false) => waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(first) => self.group(first, waiting),
                Err(RecvTimeoutError::Timeout) if sick => self.probe(),
                Err(RecvTimeoutError::Timeout) => self.checkpoint(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.checkpoint();
    }

    /// Takes what waits, and commits it together.
    fn group(&mut self, first: Queued, waiting: &mpsc::Receiver<Queued>) {
        let began = Instant::now();
        let mut tasks: Vec<Box<dyn Work>> = Vec::new();
        let (mut wrote, mut failed) = (false, None);
        let mut ended = self.begin();
        // What waits behind a storage that cannot even begin would wait for the same end, one by one.
        let refused = ended.is_err();
        let mut next = Some(first);
        while let Some(Queued { mut work, room }) = next.take() {
            drop(room);
            if !refused {
                match work.run(&self.connection) {
                    Ran::Done { wrote: did } => wrote |= did,
                    Ran::Failed(sickness) => failed = Some(sickness),
                    Ran::Refused | Ran::Withdrawn => {}
                }
            }
            tasks.push(work);
            // After some errors SQLite takes everything back, the work of the others too.
            if !refused && self.connection.is_autocommit() {
                let taken_back = || failing(&self.path, "the system failed a write that was grouped with this one");
                ended = Err(failed.clone().unwrap_or_else(taken_back).into());
                break;
            }
            if tasks.len() < GROUP && (refused || began.elapsed() < GATHER) {
                next = waiting.try_recv().ok();
            }
        }
        let ended = ended.and_then(|()| self.commit());
        self.settle(wrote, ended.as_ref().err().and_then(|lost| lost.sickness.clone()).or(failed), ended.is_ok());
        let told = ended.map_err(|lost| lost.error);
        for task in tasks {
            task.answer(told.clone());
        }
    }

    /// Writes something small, to see whether it can be done.
    fn probe(&mut self) {
        let ended = self.begin().and_then(|()| {
            // The version is written as it is: that changes a page, and no row.
            let version: rusqlite::Result<u32> =
                self.connection.pragma_query_value(None, "user_version", |row| row.get(0));
            let written = version.and_then(|version| self.connection.pragma_update(None, "user_version", version));
            written.map_err(|error| self.lost(error)).and_then(|()| self.commit())
        });
        if ended.is_err() {
            self.take_back();
        }
        self.settle(true, ended.as_ref().err().and_then(|lost| lost.sickness.clone()), ended.is_ok());
    }

    /// Notes how the storage is, after a commit was tried. One without a change proves nothing.
    fn settle(&mut self, wrote: bool, sickness: Option<Sickness>, committed: bool) {
        self.tried = Instant::now();
        self.dirty |= committed;
        match sickness {
            Some(sickness) => self.health.sick(sickness),
            None if committed && wrote => self.health.well(&self.path),
            None => {}
        }
    }

    fn begin(&self) -> Result<(), Lost> {
        // Of a group whose end failed, if even that could not be taken back then.
        self.take_back();
        let mut begin = self.connection.prepare_cached("BEGIN IMMEDIATE").map_err(|error| self.lost(error))?;
        begin.execute([]).map(drop).map_err(|error| self.lost(error))
    }

    fn commit(&self) -> Result<(), Lost> {
        let committed = match self.identity.missing() {
            Some(missing) => {
                let reason = "it was moved, removed or replaced while it was in use; put it back as it was, or stop the \
                              gateway and restore a backup";
                Err(failing(missing, reason).into())
            }
            None => {
                let commit = self.connection.prepare_cached("COMMIT");
                commit.and_then(|mut commit| commit.execute([])).map(drop).map_err(|error| self.lost(error))
            }
        };
        if committed.is_err() {
            self.take_back();
        }
        committed
    }

    fn take_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction of the store could not be taken back; that is tried again");
        }
    }

    fn lost(&self, error: rusqlite::Error) -> Lost {
        let error = SqlError::from(error);
        let sickness = error.sickness(&self.path);
        Lost { error: error.into_store(&self.path), sickness }
    }

    /// Moves the log into the file and cuts it, unless a reader still needs it.
    fn checkpoint(&mut self) {
        let connection = &self.connection;
        let cut = connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i32>(0)));
        let waits = connection.busy_timeout(BUSY);
        match cut.and_then(|busy| waits.map(|()| busy)) {
            Ok(busy) => self.dirty = busy != 0,
            Err(error) => {
                // All is in the log. The next write says more, if there is something to say.
                self.dirty = false;
                tracing::debug!(%error, "the store's log stays as it is for now");
            }
        }
    }
}
