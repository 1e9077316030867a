//! What became of a plugin's calls, in numbers: for `plugin.list`, `plugin.inspect` and `/metrics`.
//!
//! They begin when the plugin is loaded. A reload makes a new plugin with numbers of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::store::Timestamp;

use super::error::{CallError, TrapClass};
use super::invoke::CallStats;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With what was asked for.
    Ok,
    /// With an error that the plugin returned.
    Refused,
    /// Without an answer.
    Failed(FailureClass),
}

impl Ending {
    pub(super) fn of<T>(result: &Result<T, CallError>) -> Self {
        let error = match result {
            Ok(_) => return Self::Ok,
            Err(error) => error,
        };
        Self::Failed(match error {
            CallError::Plugin(_) | CallError::InvalidArguments(_) | CallError::ArgumentsTooLarge { .. } => {
                return Self::Refused;
            }
            CallError::Trap(TrapClass::Unreachable) => FailureClass::TrapUnreachable,
            CallError::Trap(TrapClass::Stack) => FailureClass::TrapStack,
            CallError::Trap(TrapClass::Bounds) => FailureClass::TrapBounds,
            CallError::Trap(TrapClass::Arithmetic) => FailureClass::TrapArithmetic,
            CallError::Trap(TrapClass::Other) => FailureClass::TrapOther,
            CallError::Exit(_) => FailureClass::Exit,
            CallError::Timeout(_) => FailureClass::Timeout,
            CallError::Cpu(_) => FailureClass::Cpu,
            CallError::Memory(_) => FailureClass::Memory,
            CallError::HostCalls(_) => FailureClass::HostCalls,
            CallError::Handles(_) => FailureClass::Handles,
            CallError::Abi(_) => FailureClass::Interface,
            CallError::ResultTooLarge(_) => FailureClass::Result,
            CallError::InvalidResult(_) => FailureClass::InvalidResult,
            CallError::Host(_) => FailureClass::Host,
            CallError::Busy => FailureClass::Busy,
            CallError::Rate { .. } => FailureClass::Rate,
            CallError::Quarantined { .. } => FailureClass::Quarantined,
        })
    }

    /// For logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "error",
            Self::Failed(class) => class.name(),
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// [`TrapClass::Unreachable`].
    TrapUnreachable,
    /// [`TrapClass::Stack`].
    TrapStack,
    /// [`TrapClass::Bounds`].
    TrapBounds,
    /// [`TrapClass::Arithmetic`].
    TrapArithmetic,
    /// [`TrapClass::Other`].
    TrapOther,
    /// [`CallError::Exit`].
    Exit,
    /// [`CallError::Timeout`].
    Timeout,
    /// [`CallError::Cpu`].
    Cpu,
    /// [`CallError::Memory`].
    Memory,
    /// [`CallError::HostCalls`].
    HostCalls,
    /// [`CallError::Handles`].
    Handles,
    /// [`CallError::Abi`].
    Interface,
    /// [`CallError::ResultTooLarge`].
    Result,
    /// [`CallError::InvalidResult`].
    InvalidResult,
    /// [`CallError::Host`].
    Host,
    /// [`CallError::Busy`].
    Busy,
    /// [`CallError::Rate`].
    Rate,
    /// [`CallError::Quarantined`].
    Quarantined,
    /// Whoever waited for the call gave it up.
    Dropped,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 19] = [
        Self::TrapUnreachable,
        Self::TrapStack,
        Self::TrapBounds,
        Self::TrapArithmetic,
        Self::TrapOther,
        Self::Exit,
        Self::Timeout,
        Self::Cpu,
        Self::Memory,
        Self::HostCalls,
        Self::Handles,
        Self::Interface,
        Self::Result,
        Self::InvalidResult,
        Self::Host,
        Self::Busy,
        Self::Rate,
        Self::Quarantined,
        Self::Dropped,
    ];

    /// As the log, the protocol and the metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TrapUnreachable => "trap_unreachable",
            Self::TrapStack => "trap_stack",
            Self::TrapBounds => "trap_bounds",
            Self::TrapArithmetic => "trap_arithmetic",
            Self::TrapOther => "trap_other",
            Self::Exit => "exit",
            Self::Timeout => "timeout",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::HostCalls => "host_calls",
            Self::Handles => "handles",
            Self::Interface => "interface",
            Self::Result => "result",
            Self::InvalidResult => "invalid_result",
            Self::Host => "host",
            Self::Busy => "busy",
            Self::Rate => "rate",
            Self::Quarantined => "quarantined",
            Self::Dropped => "dropped",
        }
    }

    /// Whether the plugin is to blame, and not what surrounds it.
    #[must_use]
    pub fn is_own_fault(self) -> bool {
        !matches!(self, Self::Host | Self::Busy | Self::Rate | Self::Quarantined | Self::Dropped)
    }
}

/// The numbers of one plugin. Each is right by itself; one may be ahead of another by a call that
/// just ends.
#[derive(Debug, Default)]
pub(super) struct Counts {
    ok: AtomicU64,
    errors: AtomicU64,
    failures: [AtomicU64; FailureClass::ALL.len()],
    cpu_ns: AtomicU64,
    wall_ns: AtomicU64,
    peak_memory: AtomicUsize,
    egress: AtomicU64,
    quarantines: AtomicU64,
    last: Mutex<Option<LastFailure>>,
}

impl Counts {
    /// Counts a call that ended.
    pub(super) fn add(&self, ending: Ending, stats: &CallStats) {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let counter = match ending {
            Ending::Ok => &self.ok,
            Ending::Refused => &self.errors,
            Ending::Failed(class) => &self.failures[class as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.cpu_ns.fetch_add(nanos(stats.cpu), Ordering::Relaxed);
        self.wall_ns.fetch_add(nanos(stats.wall), Ordering::Relaxed);
        if stats.peak_memory > self.peak_memory.load(Ordering::Relaxed) {
            self.peak_memory.fetch_max(stats.peak_memory, Ordering::Relaxed);
        }
        if stats.egress > 0 {
            self.egress.fetch_add(stats.egress, Ordering::Relaxed);
        }
    }

    /// Keeps the last failure that was the plugin's own.
    pub(super) fn keep(&self, failure: LastFailure) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    pub(super) fn quarantined(&self) {
        self.quarantines.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> PluginCounts {
        let failures = FailureClass::ALL.map(|class| (class, self.failures[class as usize].load(Ordering::Relaxed)));
        PluginCounts {
            ok: self.ok.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            failures: failures.into(),
            cpu: Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed)),
            wall: Duration::from_nanos(self.wall_ns.load(Ordering::Relaxed)),
            peak_memory: self.peak_memory.load(Ordering::Relaxed),
            egress: self.egress.load(Ordering::Relaxed),
            quarantines: self.quarantines.load(Ordering::Relaxed),
            last_failure: self.last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// What became of a plugin's calls since it was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginCounts {
    /// Calls that were answered with what was asked for.
    pub ok: u64,
    /// Calls that the plugin answered with an error of its own.
    pub errors: u64,
    /// Calls without an answer, by class: all classes, of which those with none are not written.
    #[serde(serialize_with = "some")]
    pub failures: BTreeMap<FailureClass, u64>,
    /// Time that processors spent on its calls.
    #[serde(rename = "cpu_ms", serialize_with = "millis")]
    pub cpu: Duration,
    /// Time from when each call had a slot to its end.
    #[serde(rename = "wall_ms", serialize_with = "millis")]
    pub wall: Duration,
    /// The most memory that a single call held, in bytes.
    pub peak_memory: usize,
    /// Bytes that its calls sent and received by HTTP.
    pub egress: u64,
    /// Times that it was put into quarantine.
    pub quarantines: u64,
    /// The last failure that was its own fault.
    pub last_failure: Option<LastFailure>,
}

impl PluginCounts {
    /// Calls that ended.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.ok + self.errors + self.failed()
    }

    /// Calls without an answer.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// A failure of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastFailure {
    /// Of which kind.
    pub class: FailureClass,
    /// In words.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

fn some<S: serde::Serializer>(failures: &BTreeMap<FailureClass, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(failures.iter().filter(|(_, count)| **count > 0))
}

fn millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_counter_and_name() {
        let counts = Counts::default();
        for (times, class) in FailureClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, times);
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
            (0..times).for_each(|_| counts.add(Ending::Failed(class), &CallStats::default()));
        }
        for (times, class) in FailureClass::ALL.into_iter().enumerate() {
            assert_eq!(counts.read().failures[&class], times as u64, "{class:?}");
        }
    }

    #[test]
    fn times_and_bytes_add_up_and_memory_is_the_most() {
        let counts = Counts::default();
        let call = |peak_memory| CallStats {
            wall: Duration::from_millis(5),
            cpu: Duration::from_millis(2),
            peak_memory,
            host_calls: 1,
            egress: 100,
        };
        counts.add(Ending::Ok, &call(10));
        counts.add(Ending::Refused, &call(30));
        counts.add(Ending::Failed(FailureClass::Exit), &call(20));
        let read = counts.read();
        assert_eq!((read.calls(), read.ok, read.errors, read.failed()), (3, 1, 1, 1));
        assert_eq!((read.wall, read.cpu), (Duration::from_millis(15), Duration::from_millis(6)));
        assert_eq!((read.peak_memory, read.egress), (30, 300));
        let json = serde_json::to_value(&read).unwrap();
        assert_eq!((&json["cpu_ms"], &json["failures"]), (&6.into(), &serde_json::json!({ "exit": 1 })));
    }
}
