//! The events of one open turn, kept so that a late watcher can catch up: deltas that continue
//! one another are merged, and what a rewind voided is gone.
//!
//! The log knows which of its events are stored. One that was given out to be stored stays as it
//! is: what continues it becomes an event of its own, so that no text is stored twice or left out.

use std::sync::Arc;

use crate::store::{Delta, Event, EventBody, Seq};

/// Events of one turn, in order.
#[derive(Debug, Default)]
pub(super) struct TurnLog {
    events: Vec<Arc<Event>>,
    /// Up to here they were given out to be stored.
    given: Seq,
    /// Up to here they are stored.
    stored: Seq,
}

impl TurnLog {
    /// The log of a turn whose events so far, in order, are in the store.
    pub(super) fn of_stored(events: &[Arc<Event>]) -> Self {
        let mut log = Self::default();
        for event in events {
            log.push(event);
            // Before the next one, which must not be merged into it.
            (log.given, log.stored) = (event.seq, event.seq);
        }
        log
    }

    pub(super) fn push(&mut self, event: &Arc<Event>) {
        if let EventBody::Rewind { step } = event.body {
            self.events.retain(|earlier| delta_step(&earlier.body) != Some(step));
        }
        let given = self.given;
        match self.events.last_mut().filter(|last| last.seq > given).and_then(|last| merge(last, event)) {
            Some(()) => {}
            None => self.events.push(Arc::clone(event)),
        }
    }

    pub(super) fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    /// What is to be stored next.
    pub(super) fn give_unstored(&mut self) -> Vec<Arc<Event>> {
        self.given = self.events.last().map_or(self.given, |last| last.seq);
        self.events.iter().filter(|event| event.seq > self.stored).cloned().collect()
    }

    /// Everything up to `last` is stored.
    pub(super) fn stored(&mut self, last: Seq) {
        self.stored = self.stored.max(last);
    }
}

fn delta_step(body: &EventBody) -> Option<u32> {
    match body {
        EventBody::Text(delta) | EventBody::Thinking(delta) => Some(delta.step),
        _ => None,
    }
}

/// Makes `last` cover `next` too, where `next` continues it. The result carries the later `seq`,
/// so that whoever resumes in its middle gets all of it, with its offset.
fn merge(last: &mut Arc<Event>, next: &Event) -> Option<()> {
    let continues = match (&last.body, &next.body) {
        (EventBody::Text(one), EventBody::Text(two)) | (EventBody::Thinking(one), EventBody::Thinking(two)) => {
            one.step == two.step && one.offset + one.delta.len() as u64 == two.offset
        }
        _ => false,
    };
    if !continues {
        return None;
    }
    // Watchers may still hold the event as it was sent; then this copies it, once.
    let merged = Arc::make_mut(last);
    merged.seq = next.seq;
    match (&mut merged.body, &next.body) {
        (EventBody::Text(Delta { delta, .. }), EventBody::Text(two))
        | (EventBody::Thinking(Delta { delta, .. }), EventBody::Thinking(two)) => delta.push_str(&two.delta),
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Timestamp, TurnId};
    use proptest::prelude::*;

    fn event(seq: u64, body: EventBody) -> Arc<Event> {
        let session = "a:b:c:d".parse().expect("a key");
        Arc::new(Event { turn: TurnId::new(Timestamp(1), 1), session, seq: Seq(seq), body })
    }

    fn text(seq: u64, step: u32, offset: u64, delta: &str) -> Arc<Event> {
        event(seq, EventBody::Text(Delta { delta: delta.into(), step, offset }))
    }

    fn shape(log: &TurnLog) -> Vec<(u64, String)> {
        let describe = |event: &Arc<Event>| match &event.body {
            EventBody::Text(delta) => format!("{}@{}:{}", delta.step, delta.offset, delta.delta),
            other => serde_json::to_value(other).expect("serialises")["type"].as_str().expect("a type").to_owned(),
        };
        log.events().iter().map(|event| (event.seq.0, describe(event))).collect()
    }

    #[test]
    fn deltas_that_continue_one_another_are_one_event_with_the_later_seq() {
        let mut log = TurnLog::default();
        let first = text(3, 0, 0, "Hé");
        for event in [event(2, EventBody::Started), first.clone(), text(4, 0, 3, "llo"), text(6, 1, 0, "x")] {
            log.push(&event);
        }
        assert_eq!(shape(&log), [(2, "started".into()), (4, "0@0:Héllo".into()), (6, "1@0:x".into())]);
        assert!(matches!(&first.body, EventBody::Text(delta) if delta.delta == "Hé"), "what was sent is untouched");
    }

    #[test]
    fn a_rewind_voids_its_step_and_no_other() {
        let mut log = TurnLog::default();
        for event in [text(1, 0, 0, "kept"), text(2, 1, 0, "void"), event(3, EventBody::Rewind { step: 1 })] {
            log.push(&event);
        }
        log.push(&text(4, 1, 0, "again"));
        assert_eq!(shape(&log), [(1, "0@0:kept".into()), (3, "rewind".into()), (4, "1@0:again".into())]);
    }

    #[test]
    fn what_continues_a_stored_delta_is_an_event_of_its_own() {
        let mut log = TurnLog::default();
        log.push(&text(1, 0, 0, "one "));
        let given = log.give_unstored();
        log.push(&text(2, 0, 4, "two "));
        log.push(&text(3, 0, 8, "three"));
        assert_eq!(shape(&log), [(1, "0@0:one ".into()), (3, "0@4:two three".into())]);
        log.stored(given[0].seq);
        let seqs = |events: Vec<Arc<Event>>| events.iter().map(|event| event.seq.0).collect::<Vec<_>>();
        assert_eq!(seqs(log.give_unstored()), [3]);
        assert_eq!(seqs(log.give_unstored()), [3], "until they are stored they are given out again");
        log.stored(Seq(3));
        assert!(log.give_unstored().is_empty());
    }

    #[test]
    fn a_turn_that_is_taken_up_again_adds_to_what_is_stored() {
        let mut log = TurnLog::of_stored(&[event(1, EventBody::Started), text(2, 0, 0, "cut")]);
        assert!(log.give_unstored().is_empty());
        log.push(&event(9, EventBody::Rewind { step: 0 }));
        log.push(&text(10, 0, 0, "whole"));
        assert_eq!(log.give_unstored().len(), 2);
        assert_eq!(shape(&log), [(1, "started".into()), (9, "rewind".into()), (10, "0@0:whole".into())]);
    }

    proptest! {
        /// However the transactions fall and fail, what is stored in the end is the text, once.
        #[test]
        fn stored_deltas_hold_the_text_once(acts in prop::collection::vec(0..5_u8, 1..60)) {
            let (mut log, mut stored, mut written) = (TurnLog::default(), Vec::new(), 0);
            let mut commit = |log: &mut TurnLog, succeeds: bool| {
                let given = log.give_unstored();
                if let (true, Some(last)) = (succeeds, given.last()) {
                    log.stored(last.seq);
                    stored.extend(given);
                }
            };
            for (index, act) in acts.iter().enumerate() {
                match act {
                    0 => commit(&mut log, true),
                    1 => commit(&mut log, false),
                    _ => {
                        log.push(&text(index as u64 + 1, 0, written, "ab"));
                        written += 2;
                    }
                }
            }
            commit(&mut log, true);
            let mut end = 0;
            for event in &stored {
                let EventBody::Text(delta) = &event.body else { panic!("a delta") };
                prop_assert_eq!(delta.offset, end);
                end += delta.delta.len() as u64;
            }
            prop_assert_eq!(end, written);
            prop_assert!(stored.is_sorted_by(|one, two| one.seq < two.seq));
        }
    }
}
