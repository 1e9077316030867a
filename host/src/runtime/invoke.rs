//! One call: leave to make it, a slot, a fresh store, the plugin's limits around it, and its end in
//! words.
//!
//! Everything that a call holds is owned by its future, so dropping the future ends the call and
//! frees its slot, wherever it is.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{Instrument, field};
use wasmtime::component::ResourceTableError;
use wasmtime::{CallHook, PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::config::{ByteSize, PluginLimits, PluginName};
use crate::store::Timestamp;

use super::counts::{Counts, PluginCounts};
use super::engine::Machine;
use super::error::{CallError, TrapClass};
use super::grants::Reach;
use super::output::cut;
use super::rate::Rate;
use super::record::{Record, Running, Slot, Whose};
use super::state::{Caller, Conditions, MAX_RESOURCES, State};
use super::supervisor::{Change, Quarantine, Supervisor};

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
    pub(super) purpose: Purpose,
    pub(super) conditions: Conditions,
    pub(super) caller: Option<Caller>,
}

/// Why a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To find out what it is. Neither its rate nor its health is touched.
    Load,
    /// To do its work.
    Work,
}

impl Invocation<'_> {
    /// What a plugin is asked at load is pure, so it is asked outside of time, by nobody.
    pub(super) fn at_load(function: &'static str) -> Self {
        let conditions = Conditions::Standing { now: Timestamp(0), seed: 0 };
        Self { function, call: "", purpose: Purpose::Load, conditions, caller: None }
    }
}

/// What a call took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallStats {
    /// From when it had a slot to its end.
    pub wall: Duration,
    /// That a processor spent on it: its code, making its instance, what the host did for it on
    /// the spot. Waiting is not in it.
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
    rate: Rate,
    supervisor: Supervisor,
    counts: Counts,
}

impl Invoker {
    pub(super) fn new(machine: Arc<Machine>, reach: Arc<Reach>, weight: u32) -> Self {
        let limits = &reach.limits;
        let own = Semaphore::new(limits.concurrency.clamp(1, Semaphore::MAX_PERMITS));
        // As many at a stroke as may run at once, or as a second brings.
        let burst = limits.concurrency.max(usize::try_from(limits.rate / 60).unwrap_or(usize::MAX));
        let rate = Rate::new(limits.rate, burst, Instant::now());
        Self { machine, reach, weight, own, rate, supervisor: Supervisor::new(), counts: Counts::default() }
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

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What became of its calls so far.
    pub(super) fn counts(&self) -> PluginCounts {
        self.counts.read()
    }

    /// Calls that run now.
    pub(super) fn running(&self) -> usize {
        self.reach.limits.concurrency.saturating_sub(self.own.available_permits())
    }

    /// Whether the plugin failed so often that it is not called.
    pub(super) fn quarantine(&self) -> Option<Quarantine> {
        self.supervisor.quarantine()
    }

    /// Lets the plugin be called again at once.
    pub(super) fn reset_quarantine(&self) {
        if let Some(Change::Left) = self.supervisor.reset() {
            tracing::info!(plugin = %self.reach.plugin, "the plugin is let out of quarantine");
        }
    }

    /// Runs `work` in a store of its own, and makes of its answer what `read` makes of it.
    ///
    /// It waits for a slot for as long as a call may take, and then runs for as long.
    pub(super) async fn run<R, T>(
        &self,
        invocation: Invocation<'_>,
        work: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
        read: impl FnOnce(R) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        self.measured(invocation, work, read).await.0
    }

    /// The same, with what it took.
    pub(super) async fn measured<R, T>(
        &self,
        invocation: Invocation<'_>,
        work: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
        read: impl FnOnce(R) -> Result<T, CallError>,
    ) -> (Result<T, CallError>, CallStats) {
        // At `debug`, as is what the guest writes, and with its target: a subscriber that formats a span
        // for each call would cost a small guest half as much again. What is logged above that level
        // says itself whose call it was.
        let span = tracing::debug_span!(
            target: "exoclaw::guest",
            "invoke",
            plugin = %self.reach.plugin,
            function = invocation.function,
            call = invocation.call,
            outcome = field::Empty,
            ms = field::Empty,
            cpu_ms = field::Empty,
            peak_bytes = field::Empty,
        );
        let whose = Whose { plugin: &self.reach.plugin, function: invocation.function, call: invocation.call };
        let mut record = Record::new(&self.counts, &self.supervisor, whose, span.clone());
        let recorded = async {
            let result = self.attempt(&mut record, invocation, work, read).await;
            let stats = record.close(&result);
            (result, stats)
        };
        recorded.instrument(span).await
    }

    async fn attempt<'a, R, T>(
        &'a self,
        record: &mut Record<'a>,
        invocation: Invocation<'_>,
        work: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
        read: impl FnOnce(R) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        if invocation.purpose == Purpose::Work {
            self.admit(record)?;
        }
        let limit = self.reach.limits.time;
        // A free slot costs neither a timer nor another look at the clock.
        let (slot, started) = match self.free_slot() {
            Some(slot) => (slot, record.came),
            None => (timeout(limit, self.slot()).await.map_err(|_| CallError::Busy)??, Instant::now()),
        };
        let running = record.run(Running { store: self.store(invocation, started), _slot: slot });
        let cpu = running.store.data().cpu.clone();
        let worked = {
            let mut work = pin!(cpu.of(work(&mut running.store)));
            // Most calls end within a poll, which a tick ends at the latest: those need no timer.
            match poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
                Poll::Ready(worked) => Ok(worked),
                Poll::Pending => timeout(limit.saturating_sub(started.elapsed()), work).await,
            }
        };
        let answer = match worked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.classify(&error, running.store.data())),
            Err(_) => Err(CallError::Timeout(limit)),
        };
        record.settle();
        answer.and_then(read)
    }

    /// Leave to make a call: the plugin is well, and was not called too often.
    fn admit(&self, record: &mut Record<'_>) -> Result<(), CallError> {
        let pass = self.supervisor.admit(record.came).map_err(|refusal| CallError::Quarantined {
            retry_in: round_up(refusal.retry_in, Duration::from_secs(1)),
            last: refusal.reason,
        })?;
        record.pass = Some(pass);
        self.rate.take(record.came).map_err(|wait| CallError::Rate {
            limit: self.reach.limits.rate,
            retry_in: round_up(wait, Duration::from_millis(1)),
        })
    }

    /// A slot, where nobody else waits for one.
    fn free_slot(&self) -> Option<Slot<'_>> {
        let own = self.own.try_acquire().ok()?;
        let machine = self.machine.slots.try_acquire_many(self.weight).ok()?;
        Some((own, machine))
    }

    async fn slot(&self) -> Result<Slot<'_>, CallError> {
        // Neither is ever closed.
        let own = self.own.acquire().await.map_err(|_| CallError::Busy)?;
        let machine = self.machine.slots.acquire_many(self.weight).await.map_err(|_| CallError::Busy)?;
        Ok((own, machine))
    }

    fn store(&self, invocation: Invocation<'_>, started: Instant) -> Store<State> {
        let state = State::new(self.reach.clone(), invocation.caller, invocation.conditions, started);
        let mut store = Store::new(&self.machine.engine, state);
        store.limiter(|state| &mut state.meter);
        // Not `epoch_deadline_async_yield_and_update`, whose yield wakes the task at once: workers that
        // always have such a task at hand look for I/O only every 61 polls of 10 ms.
        store.epoch_deadline_callback(|context| {
            let state = context.data();
            if state.cpu.at_tick() > state.reach.limits.cpu {
                return Err(TooMuchCpu.into());
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(self.reach.limits.result.bytes().saturating_add(RESULT_OVERHEAD));
        store.set_max_component_handles(MAX_HANDLES);
        store.call_hook(|mut context, hook| {
            if let CallHook::CallingHost = hook {
                let state = context.data_mut();
                state.host_calls += 1;
                if state.host_calls > state.reach.limits.host_calls {
                    return Err(TooManyHostCalls.into());
                }
            }
            Ok(())
        });
        store
    }

    fn classify(&self, error: &wasmtime::Error, state: &State) -> CallError {
        let limits = &self.reach.limits;
        // What ended the call comes before what a guest made of a refusal earlier on.
        if error.is::<TooManyHostCalls>() {
            CallError::HostCalls(limits.host_calls)
        } else if error.is::<TooMuchCpu>() {
            CallError::Cpu(limits.cpu)
        } else if is_fuel_exhausted(error) {
            CallError::ResultTooLarge(limits.result)
        } else if error.is::<PoolConcurrencyLimitError>() {
            // The slots are there to make this impossible.
            tracing::error!(error = format!("{error:#}"), "the pool is smaller than its slots");
            CallError::Busy
        } else if state.meter.refused() {
            CallError::Memory(limits.memory)
        } else if let Some(I32Exit(status)) = error.downcast_ref() {
            CallError::Exit(*status)
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            tracing::debug!(plugin = %self.reach.plugin, error = format!("{error:#}"), "the guest trapped");
            CallError::Trap(TrapClass::from(*trap))
        } else if let Some(ResourceTableError::Full) = error.downcast_ref() {
            CallError::Handles(MAX_RESOURCES)
        } else if is_out_of_handles(error) {
            CallError::Handles(MAX_HANDLES)
        } else if error.is::<std::io::Error>() || error.is::<getrandom::Error>() {
            CallError::Host(cut(&error.root_cause().to_string(), MAX_MESSAGE).to_owned())
        } else {
            // What is left are the checks of the component model: a pointer out of bounds, a text that
            // is no UTF-8, a handle that is none. Wasmtime gives them no type.
            CallError::Abi(cut(&error.root_cause().to_string(), MAX_MESSAGE).to_owned())
        }
    }

    /// An error for a result of so many bytes, if that is too many.
    pub(super) fn check_size(&self, bytes: usize) -> Result<(), CallError> {
        let limit: ByteSize = self.reach.limits.result;
        if bytes > limit.bytes() { Err(CallError::ResultTooLarge(limit)) } else { Ok(()) }
    }
}

/// Wasmtime's error for this has no type. A test holds the text.
fn is_out_of_handles(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().ends_with("store handle limit exceeded")
}

/// Wasmtime's error for this has a private type. A test holds the text.
fn is_fuel_exhausted(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().ends_with("fuel allocated for hostcalls has been exhausted")
}

#[derive(Debug, thiserror::Error)]
#[error("too many calls of the host")]
struct TooManyHostCalls;

#[derive(Debug, thiserror::Error)]
#[error("too much time of a processor")]
struct TooMuchCpu;

/// To whole units, so that a text is short and whoever waits for so long has waited long enough.
fn round_up(duration: Duration, unit: Duration) -> Duration {
    let units = duration.as_nanos().div_ceil(unit.as_nanos().max(1));
    unit.saturating_mul(u32::try_from(units).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_whole_units_and_never_too_short() {
        let second = Duration::from_secs(1);
        assert_eq!(round_up(Duration::from_nanos(1), second), second);
        assert_eq!(round_up(second, second), second);
        assert_eq!(round_up(Duration::from_millis(9_001), second), Duration::from_secs(10));
    }
}
