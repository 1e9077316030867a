//! The events of a turn, as a client got them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Events of one turn, in the order in which they came.
#[derive(Debug, Clone)]
pub(crate) struct Transcript(pub(crate) Vec<Value>);

impl Transcript {
    /// The types, with neighbours of one type counted as one.
    pub(crate) fn types(&self) -> Vec<&str> {
        let mut types: Vec<_> = self.0.iter().map(kind).collect();
        types.dedup();
        types
    }

    pub(crate) fn of(&self, wanted: &str) -> Vec<&Value> {
        self.0.iter().filter(|event| kind(event) == wanted).collect()
    }

    /// The one event of a type.
    pub(crate) fn one(&self, wanted: &str) -> &Value {
        match self.of(wanted)[..] {
            [event] => event,
            ref events => panic!("{} events of type {wanted} in {:#?}", events.len(), self.0),
        }
    }

    pub(crate) fn end(&self) -> &Value {
        let end = self.0.last().expect("events");
        assert!(ends(end), "the last event ends the turn: {end}");
        end
    }

    /// The last event, which must be `done`.
    #[track_caller]
    pub(crate) fn done(&self) -> &Value {
        let end = self.end();
        assert_eq!(kind(end), "done", "{end}");
        end
    }

    /// The last event, which must be `error`.
    #[track_caller]
    pub(crate) fn error(&self) -> &Value {
        let end = self.end();
        assert_eq!(kind(end), "error", "{end}");
        end
    }

    /// What a client shows that writes each delta at its offset and heeds rewinds: the text of
    /// each step.
    pub(crate) fn steps(&self, wanted: &str) -> BTreeMap<u64, String> {
        let mut steps: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for event in &self.0 {
            let step = || event["step"].as_u64().expect("a step");
            if kind(event) == "rewind" {
                steps.remove(&step());
            } else if kind(event) == wanted {
                let text = steps.entry(step()).or_default();
                let offset = event["offset"].as_u64().expect("an offset") as usize;
                let delta = event["delta"].as_str().expect("a delta").as_bytes();
                assert!(offset <= text.len(), "a gap before {event}");
                text.truncate(offset);
                text.extend_from_slice(delta);
            }
        }
        let text = |(step, bytes)| (step, String::from_utf8(bytes).expect("UTF-8"));
        steps.into_iter().map(text).collect()
    }

    /// The text of all steps, one after the other.
    pub(crate) fn text(&self) -> String {
        self.steps("text").into_values().collect()
    }

    pub(crate) fn seqs(&self) -> Vec<u64> {
        self.0.iter().map(|event| event["seq"].as_u64().expect("a seq")).collect()
    }

    /// The results of tools: `(id, text, is_error)`.
    pub(crate) fn results(&self) -> Vec<(&str, String, bool)> {
        self.of("tool_result").into_iter().map(result).collect()
    }
}

fn result(event: &Value) -> (&str, String, bool) {
    let pieces = event["content"].as_array().expect("content").iter();
    let text = pieces.filter_map(|piece| piece["text"].as_str().or(piece["json"].as_str())).collect();
    (event["tool_use_id"].as_str().expect("an id"), text, event["is_error"].as_bool().expect("is_error"))
}

pub(crate) fn kind(event: &Value) -> &str {
    event["type"].as_str().expect("a type")
}

pub(crate) fn ends(event: &Value) -> bool {
    matches!(kind(event), "done" | "error")
}
