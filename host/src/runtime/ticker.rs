//! The thread that advances an engine's epoch, so that a busy guest yields.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// How long a guest may hold a worker thread before it yields. Shorter would cost switches;
/// longer would show in the latency of everything else on that thread.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Ends, and joins, its thread when dropped.
pub(super) struct Ticker {
    // Never sent to: dropping it wakes the thread at once.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts ticking for as long as the engine lives.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let engine = engine.weak();
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = thread::Builder::new().name("exoclaw-epoch".into()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked, and nothing could be done about it here.
            let _ = thread.join();
        }
    }
}
