//! What running calls say of how far they are, on its way to those who watch the turn.

use std::pin::Pin;

use tokio::sync::mpsc;

use crate::runtime::{Progress, ProgressReport};
use crate::store::EventBody;

/// Reports that may wait to be told. Each call makes at most ten a second.
const QUEUE: usize = 64;

/// What a step waits for.
pub(super) enum Next<T> {
    /// A call says how far it is.
    Report(EventBody),
    /// The end.
    End(T),
}

/// The reports of a step's calls.
pub(super) struct Reports {
    sender: mpsc::Sender<EventBody>,
    receiver: mpsc::Receiver<EventBody>,
}

impl Reports {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { sender, receiver }
    }

    /// Through which one call reports.
    pub(super) fn of(&self, tool_use_id: &str) -> CallProgress {
        CallProgress { tool_use_id: tool_use_id.to_owned(), to: self.sender.clone() }
    }

    /// What comes first: the end that is waited for, or another report.
    pub(super) async fn next<T>(&mut self, mut end: Pin<&mut impl Future<Output = T>>) -> Next<T> {
        tokio::select! {
            // No call reports often enough to hold up an end.
            biased;
            Some(report) = self.receiver.recv() => Next::Report(report),
            result = &mut end => Next::End(result),
        }
    }

    /// A report that is there already.
    pub(super) fn try_next(&mut self) -> Option<EventBody> {
        self.receiver.try_recv().ok()
    }
}

/// The reports of one call.
#[derive(Debug, Clone)]
pub(super) struct CallProgress {
    tool_use_id: String,
    to: mpsc::Sender<EventBody>,
}

impl Progress for CallProgress {
    fn report(&self, report: ProgressReport) {
        let ProgressReport { message, done, total } = report;
        let report = EventBody::Progress { tool_use_id: self.tool_use_id.clone(), message, done, total };
        // Past the queue it is not shown; the call does not wait for it.
        let _ = self.to.try_send(report);
    }
}
