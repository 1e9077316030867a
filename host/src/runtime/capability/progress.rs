//! `progress`: what the user sees while a call runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::runtime::bindings::progress::Host;
use crate::runtime::output::cut;
use crate::runtime::state::State;
use crate::text;

/// The most reports of one call that are shown within [`WINDOW`].
const MAX_REPORTS: usize = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// The longest message that is shown, in bytes; the rest is cut.
const MAX_MESSAGE: usize = 1 << 10;

/// How far a call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressReport {
    /// For the user: one line, at most 1 KiB.
    pub message: String,
    /// How much is done, in whatever the plugin counts.
    pub done: u64,
    /// Of how much, where that is known.
    pub total: Option<u64>,
}

/// Who is told how far a call is. Must return at once.
pub trait Progress: Send + Sync {
    /// A report, at most ten a second of one call.
    fn report(&self, report: ProgressReport);
}

/// What stands between one call and those who watch it.
#[derive(Clone)]
pub(in crate::runtime) struct Reporter {
    to: Arc<dyn Progress>,
    pace: Pace,
}

impl Reporter {
    pub(in crate::runtime) fn new(to: Arc<dyn Progress>) -> Self {
        Self { to, pace: Pace::default() }
    }

    fn report(&mut self, now: Instant, message: &str, done: u64, total: Option<u64>) {
        if self.pace.allows(now) {
            self.to.report(ProgressReport { message: shown(message), done, total });
        }
    }
}

/// When the last ones were shown: a ring, of which the slot that is next holds the oldest.
#[derive(Debug, Clone, Default)]
struct Pace {
    shown: [Option<Instant>; MAX_REPORTS],
    next: usize,
}

impl Pace {
    fn allows(&mut self, now: Instant) -> bool {
        let oldest = self.shown[self.next];
        let allowed = oldest.is_none_or(|oldest| now.saturating_duration_since(oldest) >= WINDOW);
        if allowed {
            self.shown[self.next] = Some(now);
            self.next = (self.next + 1) % MAX_REPORTS;
        }
        allowed
    }
}

/// One line, of characters that do nothing but show.
fn shown(message: &str) -> String {
    let shown = |character: char| match character {
        _ if character.is_whitespace() => Some(' '),
        _ if text::is_deceptive(character) => None,
        _ => Some(character),
    };
    cut(message, MAX_MESSAGE).chars().filter_map(shown).collect()
}

impl Host for State {
    fn report(&mut self, message: String, done: u64, total: Option<u64>) {
        if !self.reach.grants.progress {
            return;
        }
        if let Some(reporter) = self.caller.as_mut().and_then(|caller| caller.progress.as_mut()) {
            reporter.report(Instant::now(), &message, done, total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_second_shows_more_than_ten(gaps in prop::collection::vec(0_u64..300, 1..200)) {
            let (mut pace, mut now) = (Pace::default(), Instant::now());
            let mut shown = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                if pace.allows(now) {
                    shown.push(now);
                }
            }
            for first in &shown {
                let within = shown.iter().filter(|at| *at >= first && **at - *first < WINDOW);
                prop_assert!(within.count() <= MAX_REPORTS);
            }
        }
    }

    #[test]
    fn ten_at_once_are_shown_and_later_ones_when_there_is_room() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!((0..1_000).filter(|_| pace.allows(start)).count(), MAX_REPORTS);
        assert!(!pace.allows(start + Duration::from_millis(999)));
        assert!(pace.allows(start + WINDOW));
    }

    #[test]
    fn a_message_is_one_short_line_that_hides_nothing() {
        assert_eq!(shown("a\n\tb\u{1b}[2J\u{202e}c"), "a  b[2Jc");
        assert_eq!(shown(&"é".repeat(1_000)).len(), MAX_MESSAGE);
    }
}
