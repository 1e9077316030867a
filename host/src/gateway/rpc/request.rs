//! From a text to requests, as JSON-RPC 2.0 has them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::{PARSE_ERROR, RpcError};

/// Requests of one batch.
pub(super) const MAX_BATCH: usize = 32;

/// What a text holds.
#[derive(Debug)]
pub(in crate::gateway) enum Incoming {
    /// One request, or what should have been one.
    Single(Entry),
    /// Between 1 and [`MAX_BATCH`] of them.
    Batch(Vec<Entry>),
}

/// A request, or the answer to what is none.
pub(in crate::gateway) type Entry = Result<Request, Invalid>;

/// One request or notification.
#[derive(Debug)]
pub(in crate::gateway) struct Request {
    /// Absent in a notification, which gets no answer.
    pub(in crate::gateway) id: Option<Id>,
    pub(in crate::gateway) method: String,
    /// An object or an array.
    pub(in crate::gateway) params: Option<Box<RawValue>>,
}

/// A string, a number or null, with the client's own bytes.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(in crate::gateway) struct Id(Box<RawValue>);

impl Id {
    /// The id of an answer to nobody in particular.
    pub(in crate::gateway) fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

/// What is no request. Its `id` is null where none can be told.
#[derive(Debug)]
pub(in crate::gateway) struct Invalid {
    pub(in crate::gateway) id: Id,
    pub(in crate::gateway) error: RpcError,
}

impl Invalid {
    fn anonymous(error: RpcError) -> Self {
        Self { id: Id::null(), error }
    }
}

/// Reads one message.
pub(in crate::gateway) fn parse(text: &str) -> Incoming {
    // JSON's white space (RFC 8259, section 2), and no other.
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('[') {
        return Incoming::Single(parse_request(text));
    }
    let refuse = |error| Incoming::Single(Err(Invalid::anonymous(error)));
    match serde_json::from_str::<BatchOf>(text) {
        Err(error) => refuse(not_json(&error)),
        Ok(batch) if batch.total == 0 => refuse(RpcError::invalid_request("the batch is empty")),
        Ok(batch) if batch.total > MAX_BATCH => refuse(RpcError::invalid_request(format!(
            "the batch has {} requests; {MAX_BATCH} are the most",
            batch.total
        ))),
        Ok(batch) => Incoming::Batch(batch.entries.into_iter().map(|entry| parse_request(entry.get())).collect()),
    }
}

fn not_json(error: &serde_json::Error) -> RpcError {
    RpcError::new(PARSE_ERROR, format!("the message is not JSON: {error}"))
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// Tells null from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn parse_request(text: &str) -> Entry {
    let envelope: Envelope<'_> = match serde_json::from_str(text) {
        Ok(envelope) => envelope,
        Err(error) => return Err(Invalid::anonymous(not_a_request(text, &error))),
    };
    let id = match envelope.id {
        Some(id) if is_id(id) => Some(Id(id.to_owned())),
        Some(_) => {
            return Err(Invalid::anonymous(RpcError::invalid_request("`id` must be a string, a number or null")));
        }
        None => None,
    };
    let invalid =
        |message| Err(Invalid { id: id.clone().unwrap_or_else(Id::null), error: RpcError::invalid_request(message) });
    if envelope.jsonrpc.and_then(string).as_deref() != Some("2.0") {
        return invalid("`jsonrpc` must be \"2.0\"");
    }
    let Some(method) = envelope.method.and_then(string) else { return invalid("`method` must be a string") };
    if envelope.params.is_some_and(|params| !params.get().starts_with(['{', '['])) {
        return invalid("`params` must be an object, or left out");
    }
    Ok(Request { id, method: method.into_owned(), params: envelope.params.map(ToOwned::to_owned) })
}

/// Whether the text is JSON and only the wrong kind, or no JSON at all.
fn not_a_request(text: &str, error: &serde_json::Error) -> RpcError {
    if error.classify() == Category::Data {
        // It may have stopped before the first mistake in the text.
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => RpcError::invalid_request(format!("not a request: {error}")),
            Err(error) => not_json(&error),
        }
    } else {
        not_json(error)
    }
}

fn is_id(id: &RawValue) -> bool {
    matches!(id.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9' | b'n'))
}

fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}

/// The first requests of a batch, and how many there are.
struct BatchOf<'a> {
    entries: Vec<&'a RawValue>,
    total: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for BatchOf<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = BatchOf<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch of requests")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<BatchOf<'de>, A::Error> {
                let mut batch = BatchOf { entries: Vec::new(), total: 0 };
                while batch.entries.len() < MAX_BATCH {
                    let Some(entry) = sequence.next_element::<&RawValue>()? else { return Ok(batch) };
                    batch.entries.push(entry);
                    batch.total += 1;
                }
                while sequence.next_element::<IgnoredAny>()?.is_some() {
                    batch.total += 1;
                }
                Ok(batch)
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

#[cfg(test)]
mod tests;
