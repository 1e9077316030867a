//! Texts with places to be filled in: `{/json/pointer}`, `{header:name}`, `{text}`, `{secret:name}`.
//!
//! Templates stand in the settings alone. What is filled in is never looked at for places again, so
//! that nobody who writes to the agent can name a secret or anything else.

use std::collections::BTreeMap;
use std::str::FromStr;

use exoclaw_guest::Header;
use serde::Deserialize;
use serde_json::Value;

/// A part of an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Reference {
    /// Of its body (RFC 6901): `/issue/title`.
    Pointer(String),
    /// A header, in lower case.
    Header(String),
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("header:") {
            Some(name) if !name.is_empty() => Ok(Self::Header(name.to_ascii_lowercase())),
            // In RFC 6901 a tilde stands before 0 or 1.
            None if text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1'])) => {
                Ok(Self::Pointer(text.into()))
            }
            _ => Err(format!("{text:?} is no part of an event: write /a/json/pointer or header:name")),
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pointer(pointer) => f.write_str(pointer),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// What a platform sent.
pub struct Event<'a> {
    pub body: &'a Value,
    pub headers: &'a [Header],
}

impl Event<'_> {
    /// None where there is no such part.
    pub fn get(&self, reference: &Reference) -> Option<Value> {
        match reference {
            Reference::Pointer(pointer) => self.body.pointer(pointer).cloned(),
            Reference::Header(name) => {
                let header = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                header.map(|header| Value::String(header.value.clone()))
            }
        }
    }
}

/// A value as it stands in a text: nothing for what is not there, JSON for lists and objects.
pub fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// A text made of an event: to be read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Reading(Vec<ReadPart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum ReadPart {
    Text(String),
    Event(Reference),
}

impl TryFrom<String> for Reading {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let part = |slot: &str| slot.parse().map(ReadPart::Event);
        parts(&text, ReadPart::Text, part).map(Self)
    }
}

impl Reading {
    /// A part of the body, alone.
    pub fn pointer(pointer: &str) -> Self {
        Self(vec![ReadPart::Event(Reference::Pointer(pointer.to_owned()))])
    }

    pub fn of(&self, event: &Event<'_>) -> String {
        let part = |part: &ReadPart| match part {
            ReadPart::Text(text) => text.clone(),
            ReadPart::Event(reference) => shown(event.get(reference).as_ref()),
        };
        self.0.iter().map(part).collect()
    }
}

/// A text made of an answer, and of the event that it answers: to be written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Writing(pub Vec<WritePart>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WritePart {
    Text(String),
    Event(Reference),
    /// Filled in by the host.
    Secret(String),
    Answer(Word),
}

/// What is known of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Text,
    Peer,
    Thread,
    Id,
}

impl TryFrom<String> for Writing {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let part = |slot: &str| match (slot, slot.strip_prefix("secret:")) {
            ("text", _) => Ok(WritePart::Answer(Word::Text)),
            ("peer", _) => Ok(WritePart::Answer(Word::Peer)),
            ("thread", _) => Ok(WritePart::Answer(Word::Thread)),
            ("id", _) => Ok(WritePart::Answer(Word::Id)),
            (_, Some(name)) if !name.is_empty() => Ok(WritePart::Secret(name.into())),
            _ => slot.parse().map(WritePart::Event),
        };
        parts(&text, WritePart::Text, part).map(Self)
    }
}

/// An answer's values.
pub struct Answer<'a> {
    pub text: &'a str,
    pub peer: &'a str,
    pub thread: &'a str,
    pub id: &'a str,
    /// Parts of the event that it answers, by their names.
    pub event: &'a BTreeMap<String, Value>,
}

impl Answer<'_> {
    pub fn word(&self, word: Word) -> &str {
        match word {
            Word::Text => self.text,
            Word::Peer => self.peer,
            Word::Thread => self.thread,
            Word::Id => self.id,
        }
    }
}

impl Writing {
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|part| match part {
            WritePart::Event(reference) => Some(reference),
            _ => None,
        })
    }

    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            WritePart::Secret(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// The parts of a template; `{{` and `}}` stand for braces.
fn parts<P>(
    template: &str,
    text: impl Fn(String) -> P,
    slot: impl Fn(&str) -> Result<P, String>,
) -> Result<Vec<P>, String> {
    let mut parts = vec![];
    let mut literal = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (head, tail) = rest.split_at(at);
        literal.push_str(head);
        if let Some((brace, after)) = ["{{", "}}"].iter().find_map(|brace| Some((brace, tail.strip_prefix(brace)?))) {
            literal.extend(brace.chars().next());
            rest = after;
            continue;
        }
        let inner = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
        let Some((name, after)) = inner else {
            return Err(format!("a brace stands alone in {template:?}: write {{{{ or }}}} for one"));
        };
        if !literal.is_empty() {
            parts.push(text(std::mem::take(&mut literal)));
        }
        parts.push(slot(name)?);
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(text(literal));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(template: &str, body: &Value) -> String {
        let headers = [Header { name: "X-Event".into(), value: "ping".into() }];
        Reading::try_from(template.to_owned()).unwrap().of(&Event { body, headers: &headers })
    }

    #[test]
    fn places_are_filled_with_parts_of_the_event() {
        let body = json!({"a": {"b c": [1, "two"], "~/": true}, "n": null, "o": {"x": 1.5}});
        assert_eq!(read("{/a/b c/0}-{/a/b c/1}-{/a/~0~1}", &body), "1-two-true");
        assert_eq!(read("{/n}{/none}{/o}", &body), r#"{"x":1.5}"#);
        assert_eq!(read("{{{header:x-EVENT}}}", &body), "{ping}");
        assert_eq!(read("no places", &body), "no places");
    }

    #[test]
    fn what_is_filled_in_is_no_template() {
        let body = json!({"text": "{secret:token} {/x} {{ }"});
        assert_eq!(read("said: {/text}", &body), "said: {secret:token} {/x} {{ }");
    }

    #[test]
    fn templates_that_mean_nothing_are_refused() {
        for wrong in ["{", "}", "{}", "{a}", "{/~2}", "{/~}", "a{/b", "{header:}", "{secret:x}", "{text}", "{{}"] {
            assert!(Reading::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        assert!(Writing::try_from("{secret:}".to_owned()).is_err());
        let writing = Writing::try_from("{secret:x}{text}{peer}{thread}{id}{/a}".to_owned()).unwrap();
        assert_eq!((writing.0.len(), writing.secrets().collect::<Vec<_>>()), (6, vec!["x"]));
    }
}
