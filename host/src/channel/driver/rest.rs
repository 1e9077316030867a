//! When a channel that keeps failing is left alone, and for how long.

use std::time::Duration;

/// Events set aside in a row, without one that was heard between them, that begin a rest.
const ROW: u32 = 3;

/// The first rest. Each that follows without an event that was heard is twice as long.
const SHORTEST: Duration = Duration::from_secs(10);

/// The longest.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// How often a channel failed in a row.
#[derive(Debug, Default)]
pub(super) struct Rests {
    row: u32,
    rests: u32,
}

impl Rests {
    /// An event was heard.
    pub(super) fn heard(&mut self) {
        *self = Self::default();
    }

    /// An event was set aside. Says how long the channel rests, where it does.
    pub(super) fn set_aside(&mut self) -> Option<Duration> {
        self.row += 1;
        (self.row >= ROW).then(|| self.next())
    }

    /// The channel did not start: it rests in any case.
    pub(super) fn failed_to_start(&mut self) -> Duration {
        self.next()
    }

    fn next(&mut self) -> Duration {
        let rest = SHORTEST.saturating_mul(1 << self.rests.min(16)).min(LONGEST);
        self.rests = self.rests.saturating_add(1);
        self.row = 0;
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_event_set_aside_in_a_row_begins_a_rest_and_rests_grow() {
        let mut rests = Rests::default();
        let lengths: Vec<_> = (0..9).map(|_| rests.set_aside().map(|rest| rest.as_secs())).collect();
        assert_eq!(lengths, [None, None, Some(10), None, None, Some(20), None, None, Some(40)]);
        rests.heard();
        assert_eq!(rests.set_aside(), None);
        assert_eq!(rests.failed_to_start(), SHORTEST);
        let longest = (0..20).map(|_| rests.failed_to_start()).max();
        assert_eq!(longest, Some(LONGEST));
    }
}
