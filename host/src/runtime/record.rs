//! The accounts of one call: what it took and how it ended, however it ended.

use std::time::Instant;

use tokio::sync::SemaphorePermit;
use tracing::{Span, record_all};
use wasmtime::Store;

use crate::config::PluginName;
use crate::store::Timestamp;

use super::counts::{Counts, Ending, FailureClass, LastFailure};
use super::error::CallError;
use super::invoke::CallStats;
use super::state::State;
use super::supervisor::{Change, Pass, Supervisor, Verdict};

/// A place among the plugin's calls, and one among all.
pub(super) type Slot<'a> = (SemaphorePermit<'a>, SemaphorePermit<'a>);

/// Which call it is, for the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) plugin: &'a PluginName,
    pub(super) function: &'static str,
    /// The caller's id of it.
    pub(super) call: &'a str,
}

/// One call, from when it came. Its end is entered when this is dropped, so that a call which is
/// given up is not forgotten.
pub(super) struct Record<'a> {
    pub(super) counts: &'a Counts,
    pub(super) supervisor: &'a Supervisor,
    whose: Whose<'a>,
    pub(super) span: Span,
    pub(super) came: Instant,
    pub(super) pass: Option<Pass>,
    running: Option<Running<'a>>,
    stats: CallStats,
    ending: Ending,
    /// What the plugin did wrong, if it did.
    failure: Option<CallError>,
}

/// What a call holds while it runs. The instance goes before its slot is free: fields are dropped
/// in their order.
pub(super) struct Running<'a> {
    pub(super) store: Store<State>,
    pub(super) _slot: Slot<'a>,
}

impl<'a> Record<'a> {
    pub(super) fn new(counts: &'a Counts, supervisor: &'a Supervisor, whose: Whose<'a>, span: Span) -> Self {
        Self {
            counts,
            supervisor,
            whose,
            span,
            came: Instant::now(),
            pass: None,
            running: None,
            stats: CallStats::default(),
            ending: Ending::Failed(FailureClass::Dropped),
            failure: None,
        }
    }

    /// Keeps what the call holds until it is settled.
    pub(super) fn run(&mut self, running: Running<'a>) -> &mut Running<'a> {
        self.running.insert(running)
    }

    /// Reads what the call took, and takes down what it held.
    pub(super) fn settle(&mut self) {
        let Some(running) = self.running.take() else { return };
        let state = running.store.data();
        self.stats = CallStats {
            wall: state.cpu.wall(),
            cpu: state.cpu.spent(),
            peak_memory: state.meter.peak(),
            host_calls: state.host_calls,
            egress: state.egress_bytes(),
        };
    }

    /// The call is over, with this for its result.
    pub(super) fn close<T>(mut self, result: &Result<T, CallError>) -> CallStats {
        self.ending = Ending::of(result);
        if let (Ending::Failed(class), Err(error)) = (self.ending, result)
            && class.is_own_fault()
        {
            self.failure = Some(error.clone());
        }
        self.stats
    }

    fn supervise(&mut self) {
        let Some(pass) = self.pass.take() else { return };
        // Other calls, of other sessions, are told of it.
        let cause = self.failure.as_ref().map(CallError::cause);
        let verdict = match (self.ending, &cause) {
            (Ending::Ok | Ending::Refused, _) => Verdict::Answered,
            (Ending::Failed(_), Some(cause)) => Verdict::Failed(cause),
            (Ending::Failed(_), None) => Verdict::Silent,
        };
        match self.supervisor.close(pass, verdict, Instant::now) {
            None => {}
            Some(Change::Entered { length, row }) => {
                self.counts.quarantined();
                tracing::warn!(
                    parent: &self.span, plugin = %self.whose.plugin, failures = row, seconds = length.as_secs(), last = cause.unwrap_or_default(),
                    "the plugin keeps failing: it is in quarantine"
                );
            }
            Some(Change::Left) => {
                tracing::info!(
                    parent: &self.span, plugin = %self.whose.plugin,
                    "the plugin answers again: it is out of quarantine"
                );
            }
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.settle();
        self.counts.add(self.ending, &self.stats);
        if !self.span.is_disabled() {
            record_all!(
                self.span,
                outcome = self.ending.name(),
                ms = self.came.elapsed().as_secs_f64() * 1e3,
                cpu_ms = self.stats.cpu.as_secs_f64() * 1e3,
                peak_bytes = self.stats.peak_memory
            );
        }
        match self.ending {
            Ending::Ok | Ending::Refused => tracing::debug!(parent: &self.span, "the plugin answered"),
            // Whoever asks too often would fill the log with it.
            Ending::Failed(FailureClass::Rate | FailureClass::Quarantined) => {
                tracing::debug!(parent: &self.span, "the plugin was not called");
            }
            Ending::Failed(class) => {
                let Whose { plugin, function, call } = self.whose;
                let (outcome, ms) = (class.name(), self.came.elapsed().as_secs_f64() * 1e3);
                tracing::info!(parent: &self.span, %plugin, function, call, outcome, ms, "the plugin did not answer");
            }
        }
        self.supervise();
        if let (Ending::Failed(class), Some(error)) = (self.ending, self.failure.take()) {
            self.counts.keep(LastFailure { class, text: error.to_string(), at: Timestamp::now() });
        }
    }
}
