//! Keeps a plugin that keeps failing from being called for a while.
//!
//! After [`ROW`] failures of its own in a row it is in quarantine: its calls end at once. When the
//! time is over, one call is let through as a trial. Its answer heals the plugin; its failure
//! begins a quarantine twice as long. Whether that is so is the plugin's alone: no other notices.
//!
//! [`Health`] is the state machine, which is told the time; [`Supervisor`] puts it behind a lock
//! that calls of a healthy plugin do not take.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row, without an answer between them, that begin a quarantine.
const ROW: u32 = 5;
/// A failure that comes later than this after the last one begins a row of its own.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// The first quarantine. Each that follows a failed trial, or a short recovery, is twice as long.
const SHORTEST: Duration = Duration::from_secs(10);
/// The longest.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// A plugin that stayed out of quarantine for so long begins with the shortest again.
const CALM: Duration = Duration::from_secs(10 * 60);
/// When to come again while a trial runs, which may end at any moment.
const DURING_TRIAL: Duration = Duration::from_secs(1);

/// Leave to make a call. It goes back with what became of the call: [`Supervisor::close`].
#[derive(Debug)]
#[must_use = "a trial that is never closed would be the last"]
pub(super) struct Pass {
    trial: Option<u64>,
}

/// What a call says of its plugin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict<'a> {
    /// It answered, be it with an error.
    Answered,
    /// It failed by its own fault, as these words say.
    Failed(&'a str),
    /// Nothing: the call was given up, or did not get to the plugin.
    Silent,
}

/// Why a call is not made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// When a call may be let through.
    pub(super) retry_in: Duration,
    /// The failure that began the quarantine.
    pub(super) reason: String,
}

/// What a call's end changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The plugin is in quarantine, from now on or again.
    Entered { length: Duration, row: u32 },
    /// It is as good as any.
    Left,
}

/// A quarantine, as seen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quarantine {
    /// When the plugin was last well.
    pub(super) since: Instant,
    /// When a trial may be made; in the past where it may be made now, or is being made.
    pub(super) until: Instant,
    /// The failure that began it.
    pub(super) reason: String,
}

/// The health of one plugin.
#[derive(Debug, Default)]
struct Health {
    phase: Phase,
    /// Failures in a row.
    row: u32,
    failed: Option<Instant>,
    healed: Option<Instant>,
    /// Quarantines, one upon the other.
    level: u32,
    /// Of trials, to tell them apart.
    last_trial: u64,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Ready,
    Quarantined {
        quarantine: Quarantine,
        /// The trial that runs.
        trial: Option<u64>,
    },
}

impl Health {
    fn admit(&mut self, now: Instant) -> Result<Pass, Refusal> {
        let Phase::Quarantined { quarantine, trial } = &mut self.phase else { return Ok(Pass { trial: None }) };
        let wait = quarantine.until.saturating_duration_since(now);
        if trial.is_some() || !wait.is_zero() {
            let retry_in = if trial.is_some() { DURING_TRIAL } else { wait };
            return Err(Refusal { retry_in, reason: quarantine.reason.clone() });
        }
        self.last_trial += 1;
        *trial = Some(self.last_trial);
        Ok(Pass { trial: *trial })
    }

    // Calls that were let through before the quarantine end during it, and say nothing about it.
    fn close(&mut self, pass: &Pass, verdict: Verdict<'_>, now: Instant) -> Option<Change> {
        match &mut self.phase {
            Phase::Ready => match verdict {
                Verdict::Failed(reason) => self.failed(reason, now),
                Verdict::Answered => {
                    self.row = 0;
                    None
                }
                Verdict::Silent => None,
            },
            Phase::Quarantined { trial, .. } if pass.trial.is_some() && *trial == pass.trial => {
                *trial = None;
                match verdict {
                    Verdict::Failed(reason) => Some(self.enter(reason, now)),
                    Verdict::Answered => {
                        self.phase = Phase::Ready;
                        self.row = 0;
                        self.healed = Some(now);
                        Some(Change::Left)
                    }
                    // The next call is the trial.
                    Verdict::Silent => None,
                }
            }
            Phase::Quarantined { .. } => None,
        }
    }

    fn failed(&mut self, reason: &str, now: Instant) -> Option<Change> {
        let stale = self.failed.is_some_and(|last| now.saturating_duration_since(last) > WINDOW);
        self.row = if stale { 1 } else { self.row + 1 };
        self.failed = Some(now);
        if self.row < ROW {
            return None;
        }
        if self.healed.is_some_and(|healed| now.saturating_duration_since(healed) > CALM) {
            self.level = 0;
        }
        Some(self.enter(reason, now))
    }

    fn enter(&mut self, reason: &str, now: Instant) -> Change {
        let since = match &self.phase {
            Phase::Ready => now,
            Phase::Quarantined { quarantine, .. } => quarantine.since,
        };
        // 2^6 times the shortest is more than the longest.
        let length = LONGEST.min(SHORTEST * (1 << self.level.min(6)));
        self.level = self.level.saturating_add(1);
        let quarantine = Quarantine { since, until: now + length, reason: reason.to_owned() };
        self.phase = Phase::Quarantined { quarantine, trial: None };
        Change::Entered { length, row: self.row }
    }

    fn quarantine(&self) -> Option<&Quarantine> {
        match &self.phase {
            Phase::Ready => None,
            Phase::Quarantined { quarantine, .. } => Some(quarantine),
        }
    }

    /// Whether there is nothing that an answer would change.
    fn is_calm(&self) -> bool {
        matches!(self.phase, Phase::Ready) && self.row == 0
    }
}

/// The health of one plugin, for all of its calls.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// As [`Health::is_calm`] says. A call that reads it a moment late is one that came a moment
    /// earlier.
    calm: AtomicBool,
    health: Mutex<Health>,
}

impl Supervisor {
    pub(super) fn new() -> Self {
        Self { calm: AtomicBool::new(true), health: Mutex::default() }
    }

    /// Leave to make a call, or when to ask again.
    pub(super) fn admit(&self, now: Instant) -> Result<Pass, Refusal> {
        if self.calm.load(Ordering::Relaxed) {
            return Ok(Pass { trial: None });
        }
        self.lock().admit(now)
    }

    /// Learns from a call that ended. The time is asked for where there is something to learn.
    #[expect(clippy::needless_pass_by_value, reason = "a pass is used once")]
    pub(super) fn close(&self, pass: Pass, verdict: Verdict<'_>, now: impl FnOnce() -> Instant) -> Option<Change> {
        let learns = match verdict {
            Verdict::Answered => !self.calm.load(Ordering::Relaxed),
            Verdict::Failed(_) => true,
            Verdict::Silent => pass.trial.is_some(),
        };
        if !learns {
            return None;
        }
        let mut health = self.lock();
        let change = health.close(&pass, verdict, now());
        self.calm.store(health.is_calm(), Ordering::Relaxed);
        change
    }

    /// Ends a quarantine, and forgets what led to it.
    pub(super) fn reset(&self) -> Option<Change> {
        let mut health = self.lock();
        let change = health.quarantine().map(|_| Change::Left);
        // Trials that run are none any more, and new ones have other numbers.
        *health = Health { last_trial: health.last_trial, ..Health::default() };
        self.calm.store(true, Ordering::Relaxed);
        change
    }

    /// The quarantine, where there is one.
    pub(super) fn quarantine(&self) -> Option<Quarantine> {
        if self.calm.load(Ordering::Relaxed) { None } else { self.lock().quarantine().cloned() }
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
