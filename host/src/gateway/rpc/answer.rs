//! What goes back to a client.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::error::RpcError;
use super::request::Id;
use crate::agent::Ticket;
use crate::store::{ErrorCode, Seq, SessionKey, TurnId};

/// What a method came to.
#[derive(Debug)]
pub(in crate::gateway) struct Answer<R> {
    pub(super) result: R,
    pub(super) effect: Effect,
}

/// What a method changes of the connection that called it, before its answer is sent.
pub(in crate::gateway) enum Effect {
    /// Nothing.
    None,
    /// It asked to be let in.
    Authorise(Proof),
    /// It sent a message, whose turn it is shown.
    Follow {
        /// The session.
        session: SessionKey,
        /// The turn.
        turn: TurnId,
        /// Present when the turn is new; used after the answer is sent.
        ticket: Option<Ticket>,
    },
    /// It watches a session.
    Subscribe {
        /// The session.
        session: SessionKey,
        /// From where; absent for what happens from now on.
        after: Option<Seq>,
    },
    /// It watches a session no more.
    Unsubscribe {
        /// The session.
        session: SessionKey,
    },
}

/// What `auth` was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Proof {
    /// Nothing, which is enough where the connection is authorised already.
    None,
    /// The token.
    Token,
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Authorise(_) => "Authorise",
            Self::Follow { .. } => "Follow",
            Self::Subscribe { .. } => "Subscribe",
            Self::Unsubscribe { .. } => "Unsubscribe",
        })
    }
}

impl<R> Answer<R> {
    /// A result that changes nothing.
    pub(super) fn of(result: R) -> Self {
        Self { result, effect: Effect::None }
    }

    pub(super) fn with(result: R, effect: Effect) -> Self {
        Self { result, effect }
    }
}

impl Answer<Box<RawValue>> {
    pub(in crate::gateway) fn into_parts(self) -> (Box<RawValue>, Effect) {
        (self.result, self.effect)
    }
}

/// A method's outcome, ready for the wire.
pub(in crate::gateway) type Reply = Result<Answer<Box<RawValue>>, RpcError>;

impl<R: Serialize> Answer<R> {
    pub(super) fn into_reply(self) -> Reply {
        match to_raw_value(&self.result) {
            Ok(result) => Ok(Answer { result, effect: self.effect }),
            Err(error) => {
                Err(RpcError::application(ErrorCode::Internal, format!("the result does not serialise: {error}")))
            }
        }
    }
}

/// Answers to one message, in its shape: an object, or an array for a batch.
#[derive(Debug)]
pub(in crate::gateway) struct Replies {
    text: String,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Single,
    Batch,
}

#[derive(Serialize)]
struct Response<'a> {
    jsonrpc: &'static str,
    id: &'a Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
}

impl Replies {
    pub(in crate::gateway) fn to_single() -> Self {
        Self { text: String::new(), shape: Shape::Single }
    }

    pub(in crate::gateway) fn to_batch() -> Self {
        Self { text: String::new(), shape: Shape::Batch }
    }

    /// Adds an answer.
    pub(in crate::gateway) fn add(&mut self, id: &Id, outcome: Result<&RawValue, &RpcError>) {
        let response = Response { jsonrpc: "2.0", id, result: outcome.ok(), error: outcome.err() };
        let text = json(&response);
        match (self.shape, self.text.is_empty()) {
            (Shape::Single, _) => self.text = text,
            (Shape::Batch, true) => self.text = format!("[{text}"),
            (Shape::Batch, false) => {
                self.text.push(',');
                self.text.push_str(&text);
            }
        }
    }

    /// The text to send; nothing where all were notifications.
    pub(in crate::gateway) fn into_text(mut self) -> Option<String> {
        if self.shape == Shape::Batch && !self.text.is_empty() {
            self.text.push(']');
        }
        (!self.text.is_empty()).then_some(self.text)
    }
}

/// A message that asks for no answer.
pub(in crate::gateway) fn notification(method: &'static str, params: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Notification<'a, P> {
        jsonrpc: &'static str,
        method: &'static str,
        params: &'a P,
    }
    json(&Notification { jsonrpc: "2.0", method, params })
}

/// Cannot fail for our own types, whose keys are strings.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!(%error, "a message does not serialise");
        format!(
            r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":{},"message":"internal error"}}}}"#,
            ErrorCode::Internal
        )
    })
}
