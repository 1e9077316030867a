//! The text of an answer so far, put together from its turn's events.

use crate::store::{Delta, EventBody};

/// The longest text that is shown while it grows, in bytes. A longer one is shown at its end.
const LONGEST: usize = 64 << 10;

/// What each step of a turn wrote so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Growing {
    steps: Vec<(u32, String)>,
    bytes: usize,
}

impl Growing {
    /// Takes in an event. Says whether the text may have changed.
    pub(super) fn take(&mut self, body: &EventBody) -> bool {
        match body {
            EventBody::Text(delta) => self.add(delta),
            EventBody::Rewind { step } => self.steps.retain(|(known, _)| known != step),
            _ => return false,
        }
        self.bytes = self.steps.iter().map(|(_, text)| text.len()).sum();
        true
    }

    fn add(&mut self, Delta { delta, step, offset }: &Delta) {
        if self.bytes > LONGEST {
            return;
        }
        let index = self.steps.iter().position(|(known, _)| known == step).unwrap_or_else(|| {
            self.steps.push((*step, String::new()));
            self.steps.len() - 1
        });
        let Some((_, text)) = self.steps.get_mut(index) else { return };
        // Whoever writes at the offset ends right, whatever was seen before.
        let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
        if offset <= text.len() && text.is_char_boundary(offset) {
            text.truncate(offset);
            text.push_str(delta);
        }
    }

    /// The text so far, as the end of the turn will have it. Nothing where there is none, or too much.
    pub(super) fn text(&self) -> Option<String> {
        let texts: Vec<_> = self.steps.iter().map(|(_, text)| text.trim()).filter(|text| !text.is_empty()).collect();
        (!texts.is_empty() && self.bytes <= LONGEST).then(|| texts.join("\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(step: u32, offset: u64, delta: &str) -> EventBody {
        EventBody::Text(Delta { delta: delta.into(), step, offset })
    }

    fn of(events: &[EventBody]) -> Option<String> {
        let mut growing = Growing::default();
        for event in events {
            growing.take(event);
        }
        growing.text()
    }

    #[test]
    fn steps_are_paragraphs_and_what_was_rewound_is_gone() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[text(0, 0, " \n")]), None, "nothing to show");
        let events = [text(0, 0, "Let me "), text(0, 7, "see. "), text(1, 0, "Fo"), EventBody::Rewind { step: 1 }];
        assert_eq!(of(&events).as_deref(), Some("Let me see."));
        let again = text(1, 0, "Done.");
        assert_eq!(of(&[&events[..], &[again]].concat()).as_deref(), Some("Let me see.\n\nDone."));
    }

    #[test]
    fn a_replay_that_merged_deltas_ends_in_the_same_text() {
        assert_eq!(of(&[text(0, 0, "ab"), text(0, 0, "abcd"), text(0, 4, "e")]).as_deref(), Some("abcde"));
        assert_eq!(of(&[text(0, 0, "é"), text(0, 1, "x"), text(0, 9, "y")]).as_deref(), Some("é"), "not in a letter");
    }

    #[test]
    fn a_text_that_is_too_long_to_be_shown_while_it_grows_is_not_kept() {
        let mut growing = Growing::default();
        let piece = "x".repeat(10_000);
        for index in 0..100 {
            growing.take(&text(0, index * 10_000, &piece));
        }
        assert!(growing.bytes <= LONGEST + piece.len());
        assert_eq!(growing.text(), None);
    }
}
