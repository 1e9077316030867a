//! `progress`: what the user sees while a call runs.

use crate::runtime::bindings::progress::Host;
use crate::runtime::state::State;

/// How far a call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressReport {
    /// For the user.
    pub message: String,
    /// How much is done, in whatever the plugin counts.
    pub done: u64,
    /// Of how much, where that is known.
    pub total: Option<u64>,
}

/// Who is told how far a call is. Must return at once.
pub trait Progress: Send + Sync {
    /// A report, at most ten a second of one call.
    fn report(&self, report: ProgressReport);
}

impl Host for State {
    fn report(&mut self, message: String, done: u64, total: Option<u64>) {
        if let Some(progress) = self.caller.as_ref().and_then(|caller| caller.progress.as_ref()) {
            progress.report(ProgressReport { message, done, total });
        }
    }
}
