//! How often a plugin may be called: so many calls a minute, and so many at a stroke.
//!
//! This is the generic cell rate algorithm (ITU-T I.371, annex A): instead of a bucket that
//! somebody fills, one number says when the bucket would be full again, and the time does the rest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// A bucket of calls.
#[derive(Debug)]
pub(super) struct Rate {
    origin: Instant,
    /// When the bucket is full again, in nanoseconds since the origin.
    full: AtomicU64,
    /// In which one call comes back, in nanoseconds.
    interval: u64,
    /// In which the whole bucket does.
    depth: u64,
}

impl Rate {
    /// So many calls a minute, and at most `burst` at once, which is also what a bucket holds that
    /// was not touched for a while.
    pub(super) fn new(per_minute: u32, burst: usize, origin: Instant) -> Self {
        let minute = u64::try_from(MINUTE.as_nanos()).unwrap_or(u64::MAX);
        let interval = minute / u64::from(per_minute.max(1));
        let depth = interval.saturating_mul(u64::try_from(burst.max(1)).unwrap_or(u64::MAX));
        Self { origin, full: AtomicU64::new(0), interval, depth }
    }

    /// Takes a call out of the bucket, or says when there will be one in it.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let now = u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX);
        let latest = now.saturating_add(self.depth);
        let taken = self.full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full| {
            let full = full.max(now).saturating_add(self.interval);
            (full <= latest).then_some(full)
        });
        taken.map(drop).map_err(|full| Duration::from_nanos(full.saturating_add(self.interval).saturating_sub(latest)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let start = Instant::now();
        let rate = Rate::new(60, 3, start);
        let at = |ms| rate.take(start + Duration::from_millis(ms));
        assert_eq!([at(0), at(0), at(0)], [Ok(()); 3]);
        assert_eq!(at(0), Err(Duration::from_secs(1)));
        assert_eq!(at(400), Err(Duration::from_millis(600)), "a call that is refused takes nothing");
        assert_eq!(at(1_000), Ok(()));
        assert_eq!(at(1_000), Err(Duration::from_secs(1)));
        assert_eq!([at(600_000), at(600_000), at(600_000)], [Ok(()); 3], "it holds no more than a burst");
        assert!(at(600_000).is_err());
    }

    #[test]
    fn one_call_a_minute_and_no_limit_to_speak_of_are_both_rates() {
        let start = Instant::now();
        let rare = Rate::new(1, 1, start);
        assert_eq!(rare.take(start), Ok(()));
        assert_eq!(rare.take(start + Duration::from_secs(59)), Err(Duration::from_secs(1)));
        let often = Rate::new(u32::MAX, 32, start);
        for n in 0..100_000_u64 {
            assert_eq!(often.take(start + Duration::from_nanos(n * 100)), Ok(()));
        }
    }

    #[test]
    fn threads_share_one_bucket() {
        let start = Instant::now();
        let rate = Rate::new(60, 1_000, start);
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1_000).filter(|_| rate.take(start).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }

    proptest! {
        #[test]
        fn no_window_of_time_holds_more_than_a_burst_and_its_rate(
            per_minute in 1_u32..100_000,
            burst in 1_usize..100,
            gaps in prop::collection::vec(0_u64..2_000_000_000, 1..300),
        ) {
            let start = Instant::now();
            let rate = Rate::new(per_minute, burst, start);
            let mut now = start;
            let mut taken = Vec::new();
            for gap in gaps {
                now += Duration::from_nanos(gap);
                match rate.take(now) {
                    Ok(()) => taken.push(now),
                    // What it says is neither too early nor too late by more than its unit.
                    Err(wait) => {
                        prop_assert!(!wait.is_zero());
                        now += wait;
                        prop_assert_eq!(rate.take(now), Ok(()));
                        taken.push(now);
                    }
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let earned = (*to - *from).as_nanos() / u128::from(rate.interval);
                    prop_assert!((last - first + 1) as u128 <= earned + burst as u128);
                }
            }
        }
    }
}
