//! Timers: few, so a list.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::ActionError;

/// The shortest: a channel that is woken more often is a busy loop.
const SHORTEST: Duration = Duration::from_millis(10);

pub(super) struct Timers {
    limit: usize,
    /// In the order in which they were set.
    set: Vec<Timer>,
}

struct Timer {
    tag: String,
    due: Instant,
}

impl Timers {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, set: Vec::new() }
    }

    pub(super) fn set(&mut self, tag: String, after_ms: u32) -> Result<(), ActionError> {
        self.cancel(&tag);
        if self.set.len() >= self.limit {
            return Err(ActionError::TooMany { what: "timers", limit: self.limit });
        }
        let due = Instant::now() + Duration::from_millis(after_ms.into()).max(SHORTEST);
        self.set.push(Timer { tag, due });
        Ok(())
    }

    pub(super) fn cancel(&mut self, tag: &str) {
        self.set.retain(|timer| timer.tag != tag);
    }

    pub(super) fn clear(&mut self) {
        self.set.clear();
    }

    /// The tag of the timer that is due first; of several, of the one that was set first.
    pub(super) async fn next(&mut self) -> String {
        let first = self.set.iter().enumerate().min_by_key(|(_, timer)| timer.due);
        let Some((first, timer)) = first else { return std::future::pending().await };
        sleep_until(timer.due).await;
        self.set.remove(first).tag
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn timers_come_in_the_order_in_which_they_are_due() {
        let mut timers = Timers::new(4);
        for (tag, after) in [("late", 200), ("soon", 20), ("same", 20), ("at once", 0)] {
            timers.set(tag.into(), after).unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(timers.next().await);
        }
        assert_eq!(seen, ["at once", "soon", "same", "late"]);
        assert!(timers.next().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_is_replaced_by_its_tag_and_a_cancelled_one_is_not_heard() {
        let mut timers = Timers::new(2);
        timers.set("a".into(), 20).unwrap();
        timers.set("a".into(), 1_000).unwrap();
        timers.set("b".into(), 500).unwrap();
        assert!(matches!(timers.set("c".into(), 1), Err(ActionError::TooMany { limit: 2, .. })));
        assert_eq!(timers.next().await, "b");
        timers.cancel("a");
        assert!(timers.next().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_loses_no_timer() {
        let mut timers = Timers::new(2);
        timers.set("a".into(), 1_000).unwrap();
        for _ in 0..5 {
            assert!(tokio::time::timeout(Duration::from_millis(150), timers.next()).await.is_err());
        }
        assert_eq!(timers.next().await, "a");
    }
}
