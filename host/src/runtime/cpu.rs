//! The processor's time of one call.
//!
//! What counts is the time that a thread spends within the call's future: the guest's code, making
//! its instance, and what the host does for it on the spot. Waiting does not count: for its thread
//! after a tick, for a timer, for the network.
//!
//! To ask a thread's own clock is a system call, too much for a call that takes ten microseconds.
//! So a call is measured by the monotonic clock until it has lasted for a tick, and by the
//! thread's from then on: a machine that is busy with other things does not use up its limit.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::ticker::TICK;

/// Of one call. Its future's polls follow one another, so the order of what they store is theirs.
#[derive(Debug)]
pub(super) struct CpuTime {
    origin: Instant,
    /// Nanoseconds of the polls that are over.
    spent: AtomicU64,
    /// What the clock showed when this poll began, in nanoseconds.
    began: AtomicU64,
    /// Whether that is the thread's clock.
    by_thread: AtomicBool,
    /// Whether all of it was one poll, measured by the monotonic clock.
    polls_once: AtomicBool,
}

impl CpuTime {
    pub(super) fn new(origin: Instant) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            origin,
            spent: zero(),
            began: zero(),
            by_thread: AtomicBool::new(false),
            polls_once: AtomicBool::new(true),
        }
    }

    /// Runs a call's work, and counts its time.
    pub(super) async fn of<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut first = true;
        poll_fn(|context| {
            // The first poll begins where the call does, which saves a look at the clock.
            if !std::mem::take(&mut first) {
                self.began.store(self.clock(), Ordering::Relaxed);
            }
            let polled = work.as_mut().poll(context);
            self.spent.store(nanos(self.within()), Ordering::Relaxed);
            if polled.is_pending() || self.by_thread.load(Ordering::Relaxed) {
                self.polls_once.store(false, Ordering::Relaxed);
            }
            polled
        })
        .await
    }

    /// What has been spent in polls that are over.
    pub(super) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// From the call's beginning to now; where it was a single short poll, to the end of that.
    pub(super) fn wall(&self) -> Duration {
        if self.polls_once.load(Ordering::Relaxed) { self.spent() } else { self.origin.elapsed() }
    }

    /// What has been spent so far, asked from within a poll at a tick of the epoch.
    pub(super) fn at_tick(&self) -> Duration {
        if !self.by_thread.load(Ordering::Relaxed) {
            // A guest is here a tick after its call began at the latest; what the clock shows
            // beyond that, its thread spent elsewhere.
            let spent = self.spent() + (self.within() - self.spent()).min(TICK);
            self.spent.store(nanos(spent), Ordering::Relaxed);
            self.by_thread.store(true, Ordering::Relaxed);
            self.began.store(self.clock(), Ordering::Relaxed);
        }
        self.within()
    }

    /// With the poll that runs.
    fn within(&self) -> Duration {
        let poll = self.clock().saturating_sub(self.began.load(Ordering::Relaxed));
        self.spent() + Duration::from_nanos(poll)
    }

    fn clock(&self) -> u64 {
        let by_thread = self.by_thread.load(Ordering::Relaxed);
        nanos(if by_thread { thread_time(self.origin) } else { self.origin.elapsed() })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The processor's time of this thread.
#[cfg(unix)]
fn thread_time(_origin: Instant) -> Duration {
    // POSIX has the clock optional; a system without it shows no time.
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).map(Duration::from).unwrap_or_default()
}

/// There is no such clock: the time that passes is the nearest that there is.
#[cfg(not(unix))]
fn thread_time(origin: Instant) -> Duration {
    origin.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(time: Duration) {
        let from = thread_time(Instant::now());
        while thread_time(Instant::now()) - from < time {
            std::hint::black_box(());
        }
    }

    #[tokio::test]
    async fn waiting_does_not_count() {
        const WORK: Duration = Duration::from_millis(2);
        let cpu = CpuTime::new(Instant::now());
        let wait = Duration::from_millis(300);
        cpu.of(async {
            work(WORK);
            cpu.at_tick();
            tokio::time::sleep(wait).await;
            work(WORK);
        })
        .await;
        assert!(cpu.spent() >= WORK, "{:?}", cpu.spent());
        assert!(cpu.spent() < wait, "{:?}", cpu.spent());
    }

    #[tokio::test]
    async fn a_long_first_poll_counts_as_a_tick_at_most() {
        let cpu = CpuTime::new(Instant::now());
        cpu.of(async {
            std::thread::sleep(TICK * 20);
            assert!(cpu.at_tick() < TICK * 10, "the thread slept");
        })
        .await;
    }

    #[tokio::test]
    async fn the_threads_clock_goes_on_where_the_other_stopped() {
        let cpu = CpuTime::new(Instant::now());
        let mut last = Duration::ZERO;
        cpu.of(async {
            for _ in 0..5 {
                work(Duration::from_millis(1));
                let now = cpu.at_tick();
                assert!(now > last, "{now:?} after {last:?}");
                last = now;
            }
        })
        .await;
        assert!(cpu.spent() >= last);
        assert!(last >= Duration::from_millis(4), "{last:?}");
    }
}
