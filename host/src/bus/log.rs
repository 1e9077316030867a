//! The events of one open turn, kept so that a late watcher can catch up: deltas that continue
//! one another are merged, and what a rewind voided is gone.

use std::sync::Arc;

use crate::store::{Delta, Event, EventBody};

/// Events of one turn, in order.
#[derive(Debug, Default)]
pub(super) struct TurnLog {
    events: Vec<Arc<Event>>,
}

impl TurnLog {
    pub(super) fn push(&mut self, event: &Arc<Event>) {
        if let EventBody::Rewind { step } = event.body {
            self.events.retain(|earlier| delta_step(&earlier.body) != Some(step));
        }
        match self.events.last_mut().and_then(|last| merge(last, event)) {
            Some(()) => {}
            None => self.events.push(Arc::clone(event)),
        }
    }

    pub(super) fn events(&self) -> &[Arc<Event>] {
        &self.events
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
    use crate::store::{Seq, Timestamp, TurnId};

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
}
