//! What calls took, and whether they stayed within what a plugin may take.

use std::time::Duration;

use crate::runtime::{CallError, CallStats, LimitsInfo};

use super::report::{Case, Trial, hint};

/// How a call ended, as the kit sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With a result or an error of the plugin's own.
    Answer,
    /// With a result that the host does not take.
    Invalid,
    /// The plugin's code failed.
    Crash,
    /// A limit ended it.
    Limit,
}

/// How a call ended.
pub(super) fn ending<R>(result: &Result<R, CallError>) -> Ending {
    match result {
        Ok(_) | Err(CallError::Plugin(_)) => Ending::Answer,
        Err(CallError::InvalidResult(_) | CallError::InvalidArguments(_) | CallError::ArgumentsTooLarge { .. }) => {
            Ending::Invalid
        }
        Err(CallError::Trap(_) | CallError::Exit(_) | CallError::Host(_)) => Ending::Crash,
        Err(_) => Ending::Limit,
    }
}

/// An error, with what the author can do about it.
pub(super) fn advice(error: &CallError) -> String {
    match error {
        CallError::Trap(trap) => format!("{error}{}", hint(*trap)),
        error => error.to_string(),
    }
}

/// The most that calls took.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    pub(super) calls: usize,
    wall: Duration,
    memory: usize,
    over: Vec<String>,
    stuck: bool,
}

impl Bounds {
    /// Counts a call. `what` says which.
    pub(super) fn count<R>(&mut self, what: &dyn Fn() -> String, result: &Result<R, CallError>, stats: CallStats) {
        self.calls += 1;
        self.wall = self.wall.max(stats.wall);
        self.memory = self.memory.max(stats.peak_memory);
        if let (Err(error), Ending::Limit) = (result, ending(result)) {
            self.stuck |= matches!(error, CallError::Timeout(_));
            self.over.push(format!("{}: {error}", what()));
        }
    }

    /// Whether a call ran into its deadline: more of them would take as long again.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// What was found.
    pub(super) fn case(self, id: String, limits: &LimitsInfo) -> Case {
        let mut trial = Trial::begin(id, "stays within its limits of time, memory and size");
        for problem in self.over {
            trial.problem(problem);
        }
        trial.end(format!(
            "{} calls; at most {:.1} ms of {} ms and {:.1} MiB of {}",
            self.calls,
            self.wall.as_secs_f64() * 1e3,
            limits.time_ms,
            self.memory as f64 / f64::from(1 << 20),
            limits.memory
        ))
    }
}
