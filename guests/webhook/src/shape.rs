//! A JSON document whose strings are templates.
//!
//! It is written as JSON, string by string, so that no text can end the string that it stands in.

use exoclaw_guest::channel::{Piece, Template};
use serde::Deserialize;
use serde_json::Value;

use crate::template::{Answer, Reference, Word, WritePart, Writing};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Shape {
    /// Null, a number, a truth.
    Constant(Value),
    Text(Writing),
    List(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

impl TryFrom<Value> for Shape {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(text.try_into()?),
            Value::Array(items) => Self::List(items.into_iter().map(Self::try_from).collect::<Result<_, _>>()?),
            Value::Object(members) => {
                let member = |(name, value): (String, Value)| Ok((name, Self::try_from(value)?));
                Self::Object(members.into_iter().map(member).collect::<Result<_, String>>()?)
            }
            constant => Self::Constant(constant),
        })
    }
}

impl Shape {
    /// `{"id": "{id}", "peer": "{peer}", "text": "{text}"}`
    pub fn answer() -> Self {
        let member = |name: &str, word| (name.to_owned(), Self::Text(Writing(vec![WritePart::Answer(word)])));
        Self::Object(vec![member("id", Word::Id), member("peer", Word::Peer), member("text", Word::Text)])
    }

    fn texts<'a>(&'a self, found: &mut Vec<&'a Writing>) {
        match self {
            Self::Constant(_) => {}
            Self::Text(text) => found.push(text),
            Self::List(items) => items.iter().for_each(|item| item.texts(found)),
            Self::Object(members) => members.iter().for_each(|(_, member)| member.texts(found)),
        }
    }

    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        let mut found = vec![];
        self.texts(&mut found);
        found.into_iter().flat_map(Writing::references)
    }

    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let mut found = vec![];
        self.texts(&mut found);
        found.into_iter().flat_map(Writing::secrets)
    }

    /// The document, filled in.
    pub fn filled(&self, answer: &Answer<'_>) -> Template {
        let mut pieces = Pieces::default();
        self.write(answer, &mut pieces);
        pieces.0
    }

    fn write(&self, answer: &Answer<'_>, out: &mut Pieces) {
        match self {
            Self::Constant(value) => out.text(&value.to_string()),
            Self::Text(writing) => match &writing.0[..] {
                // Alone in its string, a part of the event keeps its type: a number stays one.
                [WritePart::Event(reference)] => {
                    let value = answer.event.get(&reference.to_string()).unwrap_or(&Value::Null);
                    out.text(&value.to_string());
                }
                parts => {
                    out.text("\"");
                    parts.iter().for_each(|part| match part {
                        WritePart::Text(text) => out.text(&escaped(text)),
                        WritePart::Event(reference) => {
                            out.text(&escaped(&crate::template::shown(answer.event.get(&reference.to_string()))));
                        }
                        WritePart::Answer(word) => out.text(&escaped(answer.word(*word))),
                        WritePart::Secret(name) => out.secret(name),
                    });
                    out.text("\"");
                }
            },
            Self::List(items) => {
                out.text("[");
                for (index, item) in items.iter().enumerate() {
                    out.text(if index == 0 { "" } else { "," });
                    item.write(answer, out);
                }
                out.text("]");
            }
            Self::Object(members) => {
                out.text("{");
                for (index, (name, member)) in members.iter().enumerate() {
                    out.text(if index == 0 { "" } else { "," });
                    out.text(&Value::from(name.as_str()).to_string());
                    out.text(":");
                    member.write(answer, out);
                }
                out.text("}");
            }
        }
    }
}

/// As it stands within a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// A template in the making; texts that meet become one.
#[derive(Default)]
pub struct Pieces(pub Template);

impl Pieces {
    pub fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }

    pub fn secret(&mut self, name: &str) {
        self.0.push(Piece::Secret(name.to_owned()));
    }
}
