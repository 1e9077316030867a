//! What one call may hold of memory: all its memories and tables together.

use wasmtime::ResourceLimiter;

use crate::config::ByteSize;

/// The most core and component instances of one call. Python's have about 20.
const MAX_INSTANCES: usize = 128;
/// The most memories of one call.
const MAX_MEMORIES: usize = 32;
/// The most tables of one call.
const MAX_TABLES: usize = 64;

/// A table's element is a pointer (Wasmtime's `ResourceLimiter::table_growing`).
const ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts linear memory and tables against one limit. Wasmtime's own limiter has one for each
/// memory, which a component with many memories multiplies.
#[derive(Debug)]
pub(super) struct Meter {
    limit: usize,
    used: usize,
    peak: usize,
    /// What the last growth added, until the next: taken back when the growth itself fails.
    pending: usize,
    refused: bool,
}

impl Meter {
    pub(super) fn new(limit: ByteSize) -> Self {
        Self { limit: limit.bytes(), used: 0, peak: 0, pending: 0, refused: false }
    }

    /// The most that was held at once, in bytes.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    /// Whether the guest asked for more than it may have.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, unit: usize) -> bool {
        self.pending = 0;
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let more = desired.saturating_sub(current).saturating_mul(unit);
        let used = self.used.saturating_add(more);
        if used > self.limit {
            self.refused = true;
            return false;
        }
        self.used = used;
        self.peak = self.peak.max(used);
        self.pending = more;
        true
    }

    fn take_back(&mut self) {
        self.used -= std::mem::take(&mut self.pending);
    }
}

// Refusals are answers, not traps: a guest that handles them goes on.
impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, 1))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, ELEMENT_BYTES))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() -> wasmtime::Result<()> {
        let mut meter = Meter::new(ByteSize::mib(1));
        assert!(meter.memory_growing(0, 512 << 10, None)?);
        assert!(meter.memory_growing(0, 256 << 10, None)?, "a second memory");
        assert!(meter.table_growing(0, (128 << 10) / ELEMENT_BYTES, None)?);
        assert!(!meter.refused());
        assert!(!meter.memory_growing(512 << 10, 768 << 10, None)?);
        assert!(meter.refused());
        assert!(!meter.table_growing(0, usize::MAX, None)?);
        assert_eq!(meter.peak(), 896 << 10);
        Ok(())
    }

    #[test]
    fn a_growth_that_fails_is_not_counted() -> wasmtime::Result<()> {
        let mut meter = Meter::new(ByteSize::mib(1));
        assert!(meter.memory_growing(0, 1 << 20, None)?);
        meter.memory_grow_failed(wasmtime::Error::msg("no memory"))?;
        assert!(meter.memory_growing(0, 1 << 20, None)?);
        meter.memory_growing(1 << 20, 2 << 20, Some(1 << 20))?;
        meter.memory_grow_failed(wasmtime::Error::msg("past its own maximum"))?;
        assert!(!meter.memory_growing(0, 1, None)?, "the first growth still counts");
        Ok(())
    }
}
