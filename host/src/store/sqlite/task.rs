//! A transaction that waits for the writer: its work, and who waits for its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::{SqlError, SqlResult};
use crate::store::{Sickness, StoreError};

/// What became of a piece of work, before its commit.
#[derive(Debug)]
pub(super) enum Ran {
    /// It is done; `wrote` says whether anything changed.
    Done {
        /// Whether its commit proves that the storage can be written.
        wrote: bool,
    },
    /// The product's rules refused it. Nothing of it is there.
    Refused,
    /// The storage failed it. Nothing of it is there.
    Failed(Sickness),
    /// Its caller gave up before it was begun.
    Withdrawn,
}

/// A piece of work, of whichever type.
pub(super) trait Work: Send {
    /// Does it, in a savepoint of the transaction that is open.
    fn run(&mut self, connection: &Connection) -> Ran;

    /// Tells its caller how it ended, with the end of its group.
    fn answer(self: Box<Self>, ended: Result<(), StoreError>);
}

/// Who decides over a piece of work: the writer that begins it, or the caller that gives up. The first one does.
#[derive(Debug, Clone, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Says whether this was the first.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// A piece of work that ends with a `T`.
pub(super) struct Task<F, T> {
    path: Arc<Path>,
    claim: Claim,
    work: Option<F>,
    done: Option<SqlResult<T>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Task<F, T>
where
    F: FnOnce(&Connection) -> SqlResult<T> + Send,
    T: Send,
{
    /// A task on the store at `path`, and the claim by which its caller can give up.
    pub(super) fn new(path: &Arc<Path>, work: F, answer: oneshot::Sender<Result<T, StoreError>>) -> (Self, Claim) {
        let claim = Claim::default();
        (Self { path: Arc::clone(path), claim: claim.clone(), work: Some(work), done: None, answer }, claim)
    }
}

impl<F, T> Work for Task<F, T>
where
    F: FnOnce(&Connection) -> SqlResult<T> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection) -> Ran {
        let Some(work) = self.work.take() else { return Ran::Withdrawn };
        if !self.claim.take() {
            return Ran::Withdrawn;
        }
        let before = connection.total_changes();
        let done = savepoint(connection, work);
        let ran = match &done {
            Ok(_) => Ran::Done { wrote: connection.total_changes() > before },
            Err(error) => error.sickness(&self.path).map_or(Ran::Refused, Ran::Failed),
        };
        self.done = Some(done);
        ran
    }

    fn answer(self: Box<Self>, ended: Result<(), StoreError>) {
        let answer = match (self.done, ended) {
            (Some(Err(error)), _) => Err(error.into_store(&self.path)),
            (_, Err(error)) => Err(error),
            (Some(Ok(done)), Ok(())) => Ok(done),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // A caller that went away does not undo what was done.
        let _ = self.answer.send(answer);
    }
}

/// Runs a piece of work so that an error of it, or a panic, leaves nothing behind.
fn savepoint<T>(connection: &Connection, work: impl FnOnce(&Connection) -> SqlResult<T>) -> SqlResult<T> {
    connection.prepare_cached("SAVEPOINT work")?.execute([])?;
    // What the work leaves half done is in the database, and taken back there; nothing else is shared.
    let done = catch_unwind(AssertUnwindSafe(|| work(connection))).unwrap_or(Err(SqlError::Panicked));
    let released = done.and_then(|done| {
        connection.prepare_cached("RELEASE work")?.execute([])?;
        Ok(done)
    });
    if released.is_err() && !connection.is_autocommit() && take_back(connection).is_err() {
        // Then its group goes with it, rather than any part of it into the commit.
        let _ = connection.execute_batch("ROLLBACK");
    }
    released
}

fn take_back(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("ROLLBACK TO work")?.execute([])?;
    connection.prepare_cached("RELEASE work")?.execute([])?;
    Ok(())
}
