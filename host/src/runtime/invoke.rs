//! One call: a slot, a fresh store, the plugin's limits around it, and its end in words.
//!
//! Everything that a call holds is owned by its future, so dropping the future ends the call and
//! frees its slot, wherever it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::{Instrument, Span, field};
use wasmtime::{CallHook, PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::config::{ByteSize, PluginLimits, PluginName};
use crate::store::Timestamp;

use super::engine::Machine;
use super::error::{CallError, TrapClass};
use super::grants::Reach;
use super::output::cut;
use super::state::{Caller, Conditions, State};

/// The most calls of the host in one invocation. Wasmtime has no limit of its own, and the work of
/// each is the host's.
const MAX_HOST_CALLS: u32 = 100_000;

/// The most resource handles in the tables of one call's components.
const MAX_HANDLES: usize = 1_000;

/// What lifting a result takes besides its bytes: the records and lists around them.
const RESULT_OVERHEAD: usize = 64 << 10;

/// The longest part of an error's text from a guest or from Wasmtime, in bytes.
pub(super) const MAX_MESSAGE: usize = 4 << 10;

/// One call, as it begins.
pub(super) struct Invocation<'a> {
    /// The function, for logs.
    pub(super) function: &'static str,
    /// The caller's id of the call, for logs.
    pub(super) call: &'a str,
    pub(super) conditions: Conditions,
    pub(super) caller: Option<Caller>,
}

impl Invocation<'_> {
    /// What a plugin is asked at load is pure, so it is asked outside of time, by nobody.
    pub(super) fn at_load(function: &'static str) -> Self {
        let conditions = Conditions::Standing { now: Timestamp(0), seed: 0 };
        Self { function, call: "", conditions, caller: None }
    }
}

/// What a call took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallStats {
    /// From when it had a slot to its end.
    pub wall: Duration,
    /// In the plugin's code.
    pub cpu: Duration,
    /// All its memories and tables at their largest, in bytes.
    pub peak_memory: usize,
    /// Times that it called the host.
    pub host_calls: u32,
    /// Bytes that it sent and received by HTTP.
    pub egress: u64,
}

/// What runs a plugin's calls.
pub(super) struct Invoker {
    machine: Arc<Machine>,
    reach: Arc<Reach>,
    /// Slots of the machine that one call takes.
    weight: u32,
    /// Calls of this plugin at once.
    own: Semaphore,
    calls: AtomicU64,
    failures: AtomicU64,
}

impl Invoker {
    pub(super) fn new(machine: Arc<Machine>, reach: Arc<Reach>, weight: u32) -> Self {
        let own = Semaphore::new(reach.limits.concurrency.clamp(1, Semaphore::MAX_PERMITS));
        Self { machine, reach, weight, own, calls: AtomicU64::new(0), failures: AtomicU64::new(0) }
    }

    pub(super) fn plugin(&self) -> &PluginName {
        &self.reach.plugin
    }

    pub(super) fn limits(&self) -> &PluginLimits {
        &self.reach.limits
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Calls so far, and those of them that ended without an answer of the plugin's.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// Runs `work` in a store of its own.
    ///
    /// It waits for a slot for as long as a call may take, and then runs for as long.
    pub(super) async fn run<R>(
        &self,
        invocation: Invocation<'_>,
        work: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        self.measured(invocation, work).await.0
    }

    /// The same, with what it took.
    pub(super) async fn measured<R>(
        &self,
        invocation: Invocation<'_>,
        work: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
    ) -> (Result<R, CallError>, CallStats) {
        let Invocation { function, call, conditions, caller } = invocation;
        let span = tracing::info_span!(
            "invoke",
            plugin = %self.reach.plugin,
            function,
            call,
            outcome = field::Empty,
            ms = field::Empty,
            peak_bytes = field::Empty,
        );
        let record = Record { invoker: self, span: span.clone(), started: Instant::now(), outcome: "dropped" };
        self.recorded(record, conditions, caller, work).instrument(span).await
    }

    async fn recorded<R>(
        &self,
        mut record: Record<'_>,
        conditions: Conditions,
        caller: Option<Caller>,
        work: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
    ) -> (Result<R, CallError>, CallStats) {
        let limit = self.reach.limits.time;
        let Ok(Ok(slot)) = timeout(limit, self.slot()).await else {
            record.outcome = "busy";
            return (Err(CallError::Busy), CallStats::default());
        };
        let started = Instant::now();
        let mut store = self.store(conditions, caller);
        let result = match timeout(limit, work(&mut store)).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(self.classify(&error, store.data())),
            Err(_) => Err(CallError::Timeout(limit)),
        };
        record.outcome = result.as_ref().map_or_else(outcome, |_| "ok");
        record.span.record("peak_bytes", store.data().meter.peak());
        let stats = CallStats {
            wall: started.elapsed(),
            cpu: Duration::ZERO,
            peak_memory: store.data().meter.peak(),
            host_calls: store.data().host_calls,
            egress: store.data().egress_bytes(),
        };
        drop(store);
        // The instance is gone before its slot is free.
        drop(slot);
        (result, stats)
    }

    async fn slot(&self) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), CallError> {
        // Neither is ever closed.
        let own = self.own.acquire().await.map_err(|_| CallError::Busy)?;
        let machine = self.machine.slots.acquire_many(self.weight).await.map_err(|_| CallError::Busy)?;
        Ok((own, machine))
    }

    fn store(&self, conditions: Conditions, caller: Option<Caller>) -> Store<State> {
        let mut store = Store::new(&self.machine.engine, State::new(self.reach.clone(), caller, conditions));
        store.limiter(|state| &mut state.meter);
        // Not `epoch_deadline_async_yield_and_update`, whose yield wakes the task at once: workers that
        // always have such a task at hand look for I/O only every 61 polls of 10 ms.
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(self.reach.limits.result.bytes().saturating_add(RESULT_OVERHEAD));
        store.set_max_component_handles(MAX_HANDLES);
        store.call_hook(|mut context, hook| {
            if let CallHook::CallingHost = hook {
                let calls = &mut context.data_mut().host_calls;
                *calls += 1;
                if *calls > MAX_HOST_CALLS {
                    return Err(TooManyHostCalls.into());
                }
            }
            Ok(())
        });
        store
    }

    fn classify(&self, error: &wasmtime::Error, state: &State) -> CallError {
        if state.meter.refused() {
            CallError::Memory(self.reach.limits.memory)
        } else if error.is::<TooManyHostCalls>() {
            CallError::HostCalls(MAX_HOST_CALLS)
        } else if let Some(I32Exit(status)) = error.downcast_ref() {
            CallError::Exit(*status)
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            tracing::debug!(error = format!("{error:#}"), "the guest trapped");
            CallError::Trap(TrapClass::from(*trap))
        } else if is_fuel_exhausted(error) {
            CallError::ResultTooLarge(self.reach.limits.result)
        } else if error.is::<PoolConcurrencyLimitError>() {
            // The slots are there to make this impossible.
            tracing::error!(error = format!("{error:#}"), "the pool is smaller than its slots");
            CallError::Busy
        } else {
            CallError::Host(cut(&error.root_cause().to_string(), MAX_MESSAGE).to_owned())
        }
    }

    /// An error for a result of so many bytes, if that is too many.
    pub(super) fn check_size(&self, bytes: usize) -> Result<(), CallError> {
        let limit: ByteSize = self.reach.limits.result;
        if bytes > limit.bytes() { Err(CallError::ResultTooLarge(limit)) } else { Ok(()) }
    }
}

/// Wasmtime's error for this has a private type. A test holds the text.
fn is_fuel_exhausted(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().ends_with("fuel allocated for hostcalls has been exhausted")
}

#[derive(Debug, thiserror::Error)]
#[error("too many calls of the host")]
struct TooManyHostCalls;

/// Writes the end of a call, however it comes, into its span and the plugin's counts.
struct Record<'a> {
    invoker: &'a Invoker,
    span: Span,
    started: Instant,
    outcome: &'static str,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.invoker.calls.fetch_add(1, Ordering::Relaxed);
        self.span.record("outcome", self.outcome);
        self.span.record("ms", self.started.elapsed().as_secs_f64() * 1e3);
        if self.outcome == "ok" {
            tracing::debug!(parent: &self.span, "the plugin answered");
        } else {
            self.invoker.failures.fetch_add(1, Ordering::Relaxed);
            tracing::info!(parent: &self.span, "the plugin did not answer");
        }
    }
}

fn outcome(error: &CallError) -> &'static str {
    match error {
        CallError::Trap(_) => "trap",
        CallError::Exit(_) => "exit",
        CallError::Timeout(_) => "timeout",
        CallError::Memory(_) => "memory",
        CallError::HostCalls(_) => "host calls",
        CallError::ResultTooLarge(_) => "too large",
        CallError::Busy => "busy",
        _ => "failed",
    }
}
