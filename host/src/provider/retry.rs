//! How long to wait before the next attempt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ProviderError;

/// The first wait, doubled after each attempt up to [`LONGEST`]: the figures of Anthropic's and
/// OpenAI's own clients.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(8);

/// The longest wait that a service can ask for. Beyond it the call goes to the next model, or
/// fails: whoever waits for the answer has gone by then.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Chance that spreads retries, so that calls which failed together do not return together.
#[derive(Debug)]
pub struct Jitter(AtomicU64);

impl Jitter {
    /// The same chances for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Chances from the system's randomness; from the process's id where that fails.
    #[must_use]
    pub fn from_system() -> Self {
        Self::seeded(getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())))
    }

    /// Up to a quarter of `wait`.
    fn quarter(&self, wait: Duration) -> Duration {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        let mut bits = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let share = u32::try_from(bits >> 48).unwrap_or(0);
        wait * share / (4 << 16)
    }
}

/// How long to wait after the attempt with number `attempt`, counted from 0, before the same
/// model is asked again. `None` where it is not to be asked again.
pub(super) fn backoff(attempt: u32, error: &ProviderError, jitter: &Jitter) -> Option<Duration> {
    if !error.retryable() {
        return None;
    }
    if let Some(asked) = error.retry_after() {
        // Never earlier than asked.
        return (asked <= MAX_RETRY_AFTER).then(|| asked + jitter.quarter(SHORTEST.min(asked)));
    }
    let wait = SHORTEST.saturating_mul(1 << attempt.min(16)).min(LONGEST);
    Some(wait - jitter.quarter(wait))
}
