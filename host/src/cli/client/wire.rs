//! JSON-RPC 2.0, from a client's side.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ClientError;

/// What a gateway sends.
#[derive(Debug)]
pub enum Incoming {
    /// An answer.
    Answer {
        /// To which request; absent where the gateway could not read the id.
        id: Option<u64>,
        /// The result, or the error.
        outcome: Result<Box<RawValue>, RpcError>,
    },
    /// News.
    Notification(Notification),
}

/// What a gateway tells without being asked.
#[derive(Debug)]
pub struct Notification {
    /// `chat.event`, `chat.lagged`.
    pub method: String,
    /// As the method says.
    pub params: Box<RawValue>,
}

/// A gateway's refusal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RpcError {
    /// The number that the protocol gives it.
    pub code: i64,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl std::error::Error for RpcError {}

/// A request's text.
pub(super) fn request(id: u64, method: &str, params: &Value) -> String {
    #[derive(Serialize)]
    struct Request<'a> {
        jsonrpc: &'a str,
        id: u64,
        method: &'a str,
        params: &'a Value,
    }
    // A value with text for keys always serialises.
    serde_json::to_string(&Request { jsonrpc: "2.0", id, method, params }).unwrap_or_default()
}

/// Reads a message of the gateway's.
pub(super) fn incoming(text: &str) -> Result<Incoming, ClientError> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        method: Option<Cow<'a, str>>,
        params: Option<Box<RawValue>>,
        id: Option<u64>,
        result: Option<Box<RawValue>>,
        error: Option<RpcError>,
    }
    let message: Message<'_> = serde_json::from_str(text).map_err(ClientError::Answer)?;
    let Message { method, params, id, result, error } = message;
    let null = || RawValue::NULL.to_owned();
    Ok(match (method, error) {
        (Some(method), _) => {
            let params = params.unwrap_or_else(null);
            Incoming::Notification(Notification { method: method.into_owned(), params })
        }
        (None, Some(error)) => Incoming::Answer { id, outcome: Err(error) },
        (None, None) => Incoming::Answer { id, outcome: Ok(result.unwrap_or_else(null)) },
    })
}
