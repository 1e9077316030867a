//! The one engine: what a guest may be, and where its instances live.

use std::ops::RangeInclusive;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourcesRequired};

use super::RuntimeError;
use super::ticker::Ticker;

/// The fewest and the most slots. A thousand reserve 8 TiB of address space for memories (of 128 on
/// x86-64) and 3 GiB for tables; of real memory, only what calls touch.
const SLOTS: RangeInclusive<usize> = 16..=1_000;

/// The most slots that one call may take.
const MAX_WEIGHT: u32 = 16;

/// Memories that a slot has on average. Components from one compiler have one; composed ones more,
/// and those take several slots.
const MEMORIES_PER_SLOT: u32 = 2;

/// Tables that a slot has on average: a compiler's own, and one of an adapter.
const TABLES_PER_SLOT: u32 = 4;

/// The most core instances of one component. Rust has 3 or 4, Python about 20, one for each
/// shared library. They are counted, not reserved.
const MAX_CORE_INSTANCES: u32 = 64;

/// JavaScript and Python guests have tables of up to 100,000 entries; Wasmtime's default of 20,000
/// refuses them. At 8 bytes an entry it is address space only.
const TABLE_ELEMENTS: usize = 100_000;

/// JavaScript and Python guests need more than the default of 1 MiB of metadata an instance.
const INSTANCE_BYTES: usize = 10 << 20;

/// What a slot keeps in memory between calls and clears by hand, instead of giving it back and
/// taking a page fault for each page of the next call. Holds what a call of a JavaScript guest
/// writes, the most of the four languages; small guests need a tenth, and keep no more than they
/// touch (bench `knobs`).
const KEEP_RESIDENT: usize = 512 << 10;

/// The same for its tables: a small guest's function table has a few hundred entries.
const KEEP_TABLE_RESIDENT: usize = 8 << 10;

/// Slots that keep what is said above while nobody uses them: at most 16 MiB in all.
const WARM_SLOTS: u32 = 32;

/// Where instances come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// Slots that are reserved once and used again.
    Pool,
    /// Each instance maps memory of its own: slower, for machines that limit address space
    /// (`ulimit -v`, RLIMIT_AS).
    OnDemand,
}

/// An engine with its clock and its slots.
pub(super) struct Machine {
    pub(super) engine: Engine,
    pub(super) allocation: Allocation,
    /// One permit a slot; a call takes as many as its component weighs.
    pub(super) slots: Semaphore,
    /// How many slots there are.
    pub(super) size: usize,
    _ticker: Ticker,
}

impl Machine {
    /// With about so many slots in a pool, or on demand where there is no room for one.
    pub(super) fn new(slots: usize) -> Result<Self, RuntimeError> {
        let slots = slots.clamp(*SLOTS.start(), *SLOTS.end());
        match Self::with(Allocation::Pool, slots) {
            Ok(machine) => Ok(machine),
            Err(pool) => {
                let machine = Self::with(Allocation::OnDemand, slots)?;
                tracing::warn!(
                    error = %pool,
                    "no address space for a pool of instances (see `ulimit -v`): each call maps its own, which is slower"
                );
                Ok(machine)
            }
        }
    }

    /// With instances from there, and exactly so many slots.
    pub(super) fn with(allocation: Allocation, slots: usize) -> Result<Self, RuntimeError> {
        let count = u32::try_from(slots).unwrap_or(u32::MAX);
        let engine =
            Engine::new(&config(allocation, count)).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(&engine).map_err(RuntimeError::Thread)?;
        Ok(Self { engine, allocation, slots: Semaphore::new(slots), size: slots, _ticker: ticker })
    }
}

/// How many slots a call of a component takes, so that what is in use never exceeds the pool.
/// None: it is larger than a component may be.
pub(super) fn weight(required: &ResourcesRequired) -> Option<u32> {
    let memories = required.num_memories.div_ceil(MEMORIES_PER_SLOT);
    let tables = required.num_tables.div_ceil(TABLES_PER_SLOT);
    Some(memories.max(tables).max(1)).filter(|weight| *weight <= MAX_WEIGHT)
}

fn config(allocation: Allocation, slots: u32) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Saves the bookkeeping of component-model async, which the contract does not use; an
        // async component is refused when it is compiled.
        .concurrency_support(false)
        // A guest that does not return yields every tick instead of holding its thread.
        .epoch_interruption(true)
        // Images of initial memory are mapped, not copied.
        .memory_init_cow(true)
        // Off: each widens what a hostile guest can reach for, and no toolchain of a plugin needs
        // it. SIMD, bulk memory, tail calls and reference types stay.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    match allocation {
        Allocation::Pool => config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots))),
        // Bounds are checked by code instead of by 4 GiB of guarded addresses for each memory,
        // which moves when it grows past what is reserved.
        Allocation::OnDemand => config
            .allocation_strategy(InstanceAllocationStrategy::OnDemand)
            .memory_reservation(0)
            .memory_reservation_for_growth(1 << 20)
            .memory_guard_size(64 << 10),
    };
    config
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots)
        .total_core_instances(slots * MAX_CORE_INSTANCES)
        .total_memories(slots * MEMORIES_PER_SLOT)
        .total_tables(slots * TABLES_PER_SLOT)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        // Rust and C have one table a module, and adapters that a compiler merged in bring theirs.
        .max_tables_per_module(TABLES_PER_SLOT)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(WARM_SLOTS)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_TABLE_RESIDENT)
        // Clears only the pages that were written, where the kernel can tell (Linux 6.7).
        .pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_weighs_what_it_takes_from_the_pool() {
        let required = |num_memories, num_tables| ResourcesRequired {
            num_memories,
            max_initial_memory_size: None,
            num_tables,
            max_initial_table_size: None,
        };
        assert_eq!(weight(&required(0, 0)), Some(1));
        assert_eq!(weight(&required(1, 2)), Some(1));
        assert_eq!(weight(&required(3, 1)), Some(2));
        assert_eq!(weight(&required(1, 9)), Some(3));
        assert_eq!(weight(&required(1_000, 1)), None);
    }

    #[test]
    fn both_ways_of_allocating_make_an_engine() {
        for allocation in [Allocation::Pool, Allocation::OnDemand] {
            assert_eq!(Machine::with(allocation, 16).unwrap().allocation, allocation);
        }
    }
}
