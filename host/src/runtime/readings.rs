//! The sandbox in numbers, as of now: for whoever watches it.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::store::Timestamp;

use super::counts::PluginCounts;
use super::engine::Machine;
use super::plugin::Plugin;
use super::supervisor::Quarantine;

/// Everything that is counted.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// Of each plugin.
    pub plugins: Vec<PluginReading>,
    /// Of the pool of instances; none where there is no pool, or no plugin.
    pub pool: Option<PoolReading>,
}

impl Readings {
    /// Those of these plugins, and of the pool that they share.
    #[must_use]
    pub fn of(plugins: &[Arc<Plugin>]) -> Self {
        let pool = plugins.first().and_then(|plugin| PoolReading::of(plugin.invoker.machine()));
        Self { plugins: plugins.iter().map(|plugin| PluginReading::of(plugin)).collect(), pool }
    }
}

/// One plugin in numbers.
#[derive(Debug, Clone)]
pub struct PluginReading {
    /// Its name in the config.
    pub name: String,
    /// What became of its calls.
    pub counts: PluginCounts,
    /// Calls that run now, or have a place of the plugin's and wait for one of all.
    pub running: usize,
    /// Present while it is in quarantine.
    pub quarantine: Option<QuarantineInfo>,
}

impl PluginReading {
    fn of(plugin: &Plugin) -> Self {
        Self {
            name: plugin.name().to_string(),
            counts: plugin.invoker.counts(),
            running: plugin.invoker.running(),
            quarantine: plugin.quarantine(),
        }
    }
}

/// Why a plugin is not called, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantineInfo {
    /// Its last failure, in words.
    pub reason: String,
    /// When it began.
    pub since: Timestamp,
    /// When a call is let through to try the plugin; in the past while none came, or one runs.
    pub until: Timestamp,
}

impl QuarantineInfo {
    /// A quarantine by the clock of the wall.
    pub(super) fn at(quarantine: Quarantine, now: Instant, wall: Timestamp) -> Self {
        let millis = |from: Instant, to: Instant| {
            u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
        };
        let since = wall.0.saturating_sub(millis(quarantine.since, now));
        let until = since.saturating_add(millis(quarantine.since, quarantine.until));
        Self { reason: quarantine.reason, since: Timestamp(since), until: Timestamp(until) }
    }
}

/// The pool that instances come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolReading {
    /// Places for calls.
    pub slots: usize,
    /// Those of them that are free.
    pub slots_free: usize,
    /// Instances of components.
    pub component_instances: u64,
    /// Instances of the modules in them.
    pub core_instances: u64,
    /// Linear memories in use.
    pub memories: usize,
    /// Tables in use.
    pub tables: usize,
    /// Stacks in use.
    pub stacks: usize,
    /// Memories that were used before and wait to be used again.
    pub warm_memories: u32,
    /// Tables that do.
    pub warm_tables: u32,
    /// Stacks that do.
    pub warm_stacks: u32,
    /// Bytes that they all keep in memory meanwhile.
    pub warm_bytes: usize,
}

impl PoolReading {
    fn of(machine: &Machine) -> Option<Self> {
        let pool = machine.engine.pooling_allocator_metrics()?;
        let stack_bytes = pool.unused_stack_bytes_resident().unwrap_or(0);
        Some(Self {
            slots: machine.size,
            slots_free: machine.slots.available_permits(),
            component_instances: pool.component_instances(),
            core_instances: pool.core_instances(),
            memories: pool.memories(),
            tables: pool.tables(),
            stacks: pool.stacks(),
            warm_memories: pool.unused_warm_memories(),
            warm_tables: pool.unused_warm_tables(),
            warm_stacks: pool.unused_warm_stacks(),
            warm_bytes: pool.unused_memory_bytes_resident() + pool.unused_table_bytes_resident() + stack_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_quarantine_is_told_by_the_clock_of_the_wall() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let at = |since, until| {
            let quarantine = Quarantine { since, until, reason: "it trapped".into() };
            let info = QuarantineInfo::at(quarantine, now, Timestamp(1_000_000));
            (info.since.0, info.until.0)
        };
        assert_eq!(at(now - second, now + second * 9), (999_000, 1_009_000));
        assert_eq!(at(now - second * 30, now - second * 20), (970_000, 980_000), "a trial may be made");
    }
}
