//! The queue of the one thread that writes.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::commit::Committer;
use super::error::{SqlResult, failing};
use super::health::Monitor;
use super::lock::Lock;
use super::task::{Task, Work};
use crate::store::StoreError;

/// Transactions that may wait for the writer. More wait in their callers.
const QUEUE: usize = 1_024;

/// How long a transaction may wait for its turn: a disk that hangs for so long is told of.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A transaction in the queue, and the room that it takes up there.
pub(super) struct Queued {
    pub(super) work: Box<dyn Work>,
    pub(super) room: OwnedSemaphorePermit,
}

/// The queue of the thread that writes. When it is dropped, all that waits is done first.
#[derive(Debug)]
pub(super) struct Writer {
    path: Arc<Path>,
    room: Arc<Semaphore>,
    queue: Option<mpsc::Sender<Queued>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. It keeps the lock for as long as it may write.
    pub(super) fn start(
        connection: Connection,
        path: &Path,
        health: Arc<Monitor>,
        lock: Lock,
    ) -> std::io::Result<Self> {
        // Bounded by the room, for which callers wait without a thread.
        let (queue, waiting) = mpsc::channel::<Queued>();
        let mut committer = Committer::new(connection, path, health);
        let thread = thread::Builder::new().name("exoclaw-store".to_owned()).spawn(move || {
            committer.run(&waiting);
            drop(committer);
            drop(lock);
        })?;
        let room = Arc::new(Semaphore::new(QUEUE));
        Ok(Self { path: path.into(), room, queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `work` in a transaction of its own, and returns when it is on the disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let hung = || {
            let reason =
                format!("a write waited {} s for its turn; the disk hangs, or is too slow", PATIENCE.as_secs());
            StoreError::from(failing(&self.path, reason))
        };
        let end = tokio::time::Instant::now() + PATIENCE;
        let room = tokio::time::timeout_at(end, Arc::clone(&self.room).acquire_owned()).await;
        let room = room.map_err(|_| hung())?.map_err(|_| StoreError::Closed)?;
        let (answer, mut answered) = oneshot::channel();
        let (task, claim) = Task::new(&self.path, work, answer);
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(Queued { work: Box::new(task), room }).map_err(|_| StoreError::Closed)?;
        let answer = match tokio::time::timeout_at(end, &mut answered).await {
            Ok(answer) => answer,
            // It is not begun, and will not be.
            Err(_) if claim.take() => return Err(hung()),
            // It is begun: only its end says what became of it, and to say anything sooner could be untrue.
            Err(_) => answered.await,
        };
        answer.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        let Some(thread) = self.thread.take() else { return };
        // The thread needs no runtime to come to its end.
        let join = move || {
            if thread.join().is_err() {
                tracing::error!("the store's writer broke off");
            }
        };
        match tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            // So that other tasks of this worker go on meanwhile.
            Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(join),
            _ => join(),
        }
    }
}
