//! What one call's store holds: its world, and what it has used of its limits.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::store::{SessionKey, Timestamp};

use super::bindings::logging;
use super::capability::{Made, Reporter};
use super::cpu::CpuTime;
use super::egress::Http;
use super::grants::Reach;
use super::meter::Meter;
use super::output::{Lines, Output, Quota};

/// The most resources that a call may hold of the host: streams, pollables, errors.
pub(super) const MAX_RESOURCES: usize = 256;

/// Which time and chance a call is given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Conditions {
    /// The machine's.
    Live,
    /// Always the same: both clocks stand, chance follows from the seed, sleeps end at once. So a
    /// call is a function of its arguments, and can be repeated.
    Standing {
        /// What the wall clock shows.
        now: Timestamp,
        /// Where chance begins.
        seed: u64,
    },
}

/// On whose behalf a plugin is called.
#[derive(Clone)]
pub(super) struct Caller {
    /// The agent.
    pub(super) agent: String,
    /// The session.
    pub(super) session: SessionKey,
    /// Who is shown how far the call is.
    pub(super) progress: Option<Box<Reporter>>,
    /// The files that the call has made.
    pub(super) files: Made,
}

/// A store's data.
pub(super) struct State {
    /// What the plugin may reach.
    pub(super) reach: Arc<Reach>,
    /// Absent where the host asks on its own account: what the plugin is, what it defines.
    pub(super) caller: Option<Caller>,
    /// Made when a guest first asks for it. Before `table`, so that it goes first: see `egress`.
    pub(super) http: Option<Box<Http>>,
    pub(super) conditions: Conditions,
    pub(super) started: Instant,
    pub(super) cpu: Arc<CpuTime>,
    pub(super) meter: Meter,
    pub(super) host_calls: u32,
    pub(super) table: ResourceTable,
    /// What is left of all that the call may write. Made with the first line, as most write none.
    quota: Option<Quota>,
    /// Made when a guest first asks for it: few do, and seeding its generators alone would cost a
    /// call of a small guest several percent.
    wasi: Option<Box<WasiCtx>>,
}

impl State {
    pub(super) fn new(reach: Arc<Reach>, caller: Option<Caller>, conditions: Conditions, started: Instant) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self {
            conditions,
            started,
            cpu: Arc::new(CpuTime::new(started)),
            meter: Meter::new(reach.limits.memory),
            reach,
            caller,
            http: None,
            host_calls: 0,
            table,
            quota: None,
            wasi: None,
        }
    }
}

/// No arguments, no environment, no socket, no look-up: the builder's defaults; and no folder but
/// those that are granted.
fn wasi(reach: &Reach, quota: &Quota) -> Box<WasiCtx> {
    let output = |source| Output::new(source, quota.clone());
    let mut wasi = WasiCtx::builder().stdout(output("stdout")).stderr(output("stderr")).build();
    reach.dirs.lend(&mut wasi);
    Box::new(wasi)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let quota = self.quota.get_or_insert_with(|| Quota::new(self.reach.limits.log));
        WasiCtxView { ctx: self.wasi.get_or_insert_with(|| wasi(&self.reach, quota)), table: &mut self.table }
    }
}

impl logging::Host for State {
    fn log(&mut self, level: logging::Level, message: String) {
        let quota = self.quota.get_or_insert_with(|| Quota::new(self.reach.limits.log));
        Lines::of("log", quota.clone()).write(level, &message);
    }
}
