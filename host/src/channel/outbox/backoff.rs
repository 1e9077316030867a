//! How long a delivery waits before it is tried again.

use std::time::Duration;

/// The first wait, doubled after each step that got nowhere, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(500);

/// The longest: how late a delivery is after the platform is back.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The longest wait for a connection that is not there, since it may be any moment.
const LONGEST_FOR_FRAMES: Duration = Duration::from_secs(5);

/// The longest wait for a storage that is sick.
const LONGEST_FOR_STORAGE: Duration = Duration::from_secs(5);

/// Of a delivery whose last `attempts` steps got nowhere. `random` takes up to a quarter of it away, so
/// that those which failed together do not come again together.
pub(super) fn of(attempts: u32, random: u64) -> Duration {
    let wait = doubled(SHORTEST, attempts, LONGEST);
    let share = u32::try_from(random >> 48).unwrap_or(0);
    wait - wait * share / (4 << 16)
}

/// Of one that needs a connection which is not there.
pub(super) fn of_frame(attempts: u32, random: u64) -> Duration {
    of(attempts, random).min(LONGEST_FOR_FRAMES)
}

/// Of a storage that failed so often in a row.
pub(super) fn of_storage(failures: u32) -> Duration {
    doubled(SHORTEST / 5, failures, LONGEST_FOR_STORAGE)
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.saturating_sub(1).min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_chance_only_shortens_them() {
        assert_eq!(of(1, 0), SHORTEST);
        assert_eq!(of(3, 0), SHORTEST * 4);
        assert_eq!(of(u32::MAX, 0), LONGEST);
        for attempts in 0..40 {
            let shortest = of(attempts, u64::MAX);
            assert!(shortest <= of(attempts, 0) && shortest > of(attempts, 0) / 2, "{attempts}");
        }
    }
}
