//! What a client saw of a session, over all its connections.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::harness::Transcript;

/// The events of one session, by their `seq`.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    events: BTreeMap<u64, Value>,
    /// Turns, each with the event that ended it.
    ends: HashMap<String, Value>,
}

/// What must be the same, whenever and however often an event of this `seq` is shown. A replay merges
/// deltas that follow one another: their text may grow towards its beginning.
fn identity(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(event) = event.as_object_mut().filter(|event| event.contains_key("delta")) {
        event.retain(|member, _| !matches!(member.as_str(), "delta" | "offset"));
    }
    event
}

fn is_end(event: &Value) -> bool {
    matches!(event["type"].as_str(), Some("done" | "error"))
}

impl Seen {
    /// The last event, after which a client resumes.
    pub(crate) fn last(&self) -> u64 {
        self.events.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Takes an event in, and fails where it cannot be.
    pub(crate) fn take(&mut self, event: Value) {
        let seq = event["seq"].as_u64().expect("a seq");
        // Reports on progress are shown once, and are not kept.
        if event["type"] == "progress" {
            return;
        }
        let turn = event["turn"].as_str().expect("a turn").to_owned();
        let last = self.last();
        match self.events.entry(seq) {
            Entry::Occupied(known) => {
                let known = known.get();
                assert_eq!(identity(known), identity(&event), "seq {seq} stands for two events");
            }
            Entry::Vacant(_) if seq < last => {
                panic!("an event came late, or a number was used again: {event}, after {last}")
            }
            Entry::Vacant(place) => {
                if let Some(end) = self.ends.get(&turn) {
                    panic!("something followed the end of a turn: {event}, after {end}");
                }
                if is_end(&event) {
                    self.ends.insert(turn, event.clone());
                }
                place.insert(event);
            }
        }
    }

    /// The event that ended a turn.
    pub(crate) fn end(&self, turn: &str) -> Option<&Value> {
        self.ends.get(turn)
    }

    /// How many turns ended with an error.
    pub(crate) fn failed(&self) -> usize {
        self.ends.values().filter(|end| end["type"] == "error").count()
    }

    /// All turns of which something was seen.
    pub(crate) fn turns(&self) -> BTreeSet<&str> {
        self.events.values().filter_map(|event| event["turn"].as_str()).collect()
    }

    /// The events of a turn.
    pub(crate) fn turn(&self, turn: &str) -> Transcript {
        Transcript(self.events.values().filter(|event| event["turn"] == turn).cloned().collect())
    }

    /// Holds what was seen on the way against what is kept in the end: `kept` has all of it.
    pub(crate) fn agrees_with(&self, kept: &Self) {
        for (seq, event) in &self.events {
            // What a crash cut is gone, but no other event has its place.
            if let Some(kept) = kept.events.get(seq) {
                assert_eq!(identity(event), identity(kept), "seq {seq} stands for two events");
            }
        }
        for (turn, end) in &self.ends {
            assert_eq!(kept.end(turn), Some(end), "turn {turn} ended twice, or its end was lost");
        }
    }

    /// Whoever wrote each delta where it belongs and heeded every rewind ends with the whole reply.
    pub(crate) fn texts_are_whole(&self) {
        for (turn, end) in self.ends.iter().filter(|(_, end)| end["type"] == "done") {
            let shown = self.turn(turn).steps("text").into_values();
            let shown: Vec<String> = shown.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect();
            assert_eq!(end["text"], shown.join("\n\n"), "turn {turn} was shown otherwise than it ended");
        }
    }
}
