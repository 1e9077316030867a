//! What a client is told of a turn, as it happens and when it is replayed.

mod read;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Seq, SessionKey, Timestamp, ToolContent, TurnId};

/// One event of a turn: the parameters of a `chat.event` notification.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Event {
    /// The turn.
    pub turn: TurnId,
    /// Its session.
    pub session: SessionKey,
    /// Where it stands among the session's events.
    pub seq: Seq,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. A step is one call of the model, counted from 0 within the turn.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    /// The message is stored and waits for its turn.
    Queued,
    /// The turn runs.
    Started,
    /// The model wrote.
    Text(Delta),
    /// The model thought.
    Thinking(Delta),
    /// Discard what was shown of this step.
    Rewind {
        /// The step that begins anew.
        step: u32,
    },
    /// The model calls a tool.
    ToolUse {
        /// The provider's id for the call.
        id: String,
        /// The tool.
        name: String,
        /// The arguments.
        #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
        input: Arc<RawValue>,
    },
    /// How far the tool is. Shown while it runs, and never stored.
    Progress {
        /// The `id` of the call.
        tool_use_id: String,
        /// For people: one line.
        message: String,
        /// How much is done, in whatever the tool counts.
        done: u64,
        /// Of how much; absent where it is not known.
        total: Option<u64>,
    },
    /// The tool answered.
    ToolResult {
        /// The `id` of the call.
        tool_use_id: String,
        /// What the model is given.
        content: Vec<ToolContent>,
        /// The call failed.
        is_error: bool,
    },
    /// What a call of the model consumed.
    Usage(Usage),
    /// The turn ended well.
    Done {
        /// Why it ended.
        stop_reason: DoneReason,
        /// The whole reply.
        text: String,
    },
    /// The turn failed.
    Error(TurnError),
}

impl EventBody {
    /// Whether nothing of the turn follows.
    #[must_use]
    pub fn ends_turn(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Error(_))
    }
}

/// A piece of a growing text.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Delta {
    /// What is added.
    pub delta: String,
    /// The step that wrote it.
    pub step: u32,
    /// Where it begins: UTF-8 bytes into the step's text.
    pub offset: u64,
}

/// One call's consumption.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Usage {
    /// The provider's name in the config.
    pub provider: String,
    /// The model, as the provider calls it.
    pub model: String,
    /// The counts.
    #[serde(flatten)]
    pub tokens: super::TokenUsage,
    /// In US dollars; absent where the price is unknown.
    pub cost_usd: Option<f64>,
    /// The counts are ours, because the provider's never came.
    pub estimated: bool,
}

/// Why a turn that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoneReason {
    /// The model had said all.
    EndTurn,
    /// The limit on output tokens.
    MaxTokens,
    /// The model, or its provider's filter, declined.
    Refusal,
    /// The agent's limit on steps, or on repeats of one call.
    Steps,
    /// A budget.
    Budget,
    /// The owner stopped it.
    Aborted,
}

/// Why a turn failed.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TurnError {
    /// As in JSON-RPC.
    pub code: ErrorCode,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// Whether the same message may succeed later.
    pub retryable: bool,
    /// With [`ErrorCode::BudgetExceeded`]: the budget that a call did not fit into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Box<BudgetState>>,
}

impl TurnError {
    /// An error that has nothing to do with budgets.
    #[must_use]
    pub fn new(code: ErrorCode, message: String, retryable: bool) -> Self {
        Self { code, message, retryable, budget: None }
    }
}

/// A budget, as it stood in some moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BudgetState {
    /// Whose: `all`, `session`, `agent`, `channel`, `peer` or `plugin`.
    pub scope: String,
    /// Which of them; null for `all`.
    pub name: Option<String>,
    /// `session`, `daily`, `monthly` or `total`.
    pub period: String,
    /// `tokens` or `usd`.
    pub unit: String,
    /// What calls consumed.
    pub used: Amount,
    /// What is set aside for calls under way.
    pub reserved: Amount,
    /// What may be consumed.
    pub limit: Amount,
    /// When it begins anew; null where it does not by itself.
    pub resets_at: Option<Timestamp>,
}

/// Tokens, or US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Amount {
    /// So many tokens.
    Tokens(u64),
    /// So many US dollars.
    Dollars(f64),
}

/// The application's error codes, which JSON-RPC errors and `error` events share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// No valid token.
    Unauthorised,
    /// No agent can answer: unknown, or without a model.
    NoAgent,
    /// A budget is used up.
    BudgetExceeded,
    /// The model's provider failed.
    Provider,
    /// Too much is under way, or the gateway is going down.
    Busy,
    /// Something exceeds a limit on size.
    TooLarge,
    /// No such thing.
    NotFound,
    /// Not allowed.
    Forbidden,
    /// A fault of ours.
    Internal,
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Unauthorised => -32001,
            Self::NoAgent => -32002,
            Self::BudgetExceeded => -32003,
            Self::Provider => -32004,
            Self::Busy => -32005,
            Self::TooLarge => -32006,
            Self::NotFound => -32007,
            Self::Forbidden => -32008,
            // JSON-RPC 2.0, section 5.1.
            Self::Internal => -32603,
        }
    }

    /// The code of a number on the wire.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| i64::from(code.number()) == number)
    }

    const ALL: [Self; 9] = [
        Self::Unauthorised,
        Self::NoAgent,
        Self::BudgetExceeded,
        Self::Provider,
        Self::Busy,
        Self::TooLarge,
        Self::NotFound,
        Self::Forbidden,
        Self::Internal,
    ];
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.number())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        Self::from_number(number).ok_or_else(|| serde::de::Error::custom(format!("no error code {number}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_back_as_they_were_written() -> Result<(), serde_json::Error> {
        for body in [
            r#""type":"queued""#,
            r#""type":"text","delta":"a\n","step":1,"offset":7"#,
            r#""type":"rewind","step":2"#,
            r#""type":"tool_use","id":"t1","name":"calculate","input":{"b": 2.50, "a":1}"#,
            r#""type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"4"}],"is_error":false"#,
            r#""type":"progress","tool_use_id":"t1","message":"half","done":1,"total":2"#,
            r#""type":"progress","tool_use_id":"t1","message":"","done":7,"total":null"#,
            r#""type":"tool_result","tool_use_id":"t1","content":[{"type":"file","id":"f","name":"a.csv","mime_type":"text/csv","size":3}],"is_error":false"#,
            r#""type":"usage","provider":"p","model":"m","input_tokens":1,"output_tokens":2,"cache_read_tokens":3,"cache_write_tokens":4,"cache_write_1h_tokens":1,"reasoning_tokens":2,"cost_usd":null,"estimated":true"#,
            r#""type":"done","stop_reason":"end_turn","text":"4""#,
            r#""type":"error","code":-32004,"message":"no","retryable":true"#,
            r#""type":"error","code":-32003,"message":"no","retryable":false,"budget":{"scope":"agent","name":"a","period":"daily","unit":"usd","used":0.5,"reserved":0.001,"limit":0.75,"resets_at":9}"#,
            r#""type":"error","code":-32003,"message":"no","retryable":true,"budget":{"scope":"all","name":null,"period":"total","unit":"tokens","used":5,"reserved":1,"limit":7,"resets_at":null}"#,
        ] {
            let text = format!(r#"{{"turn":"01hzzzzzzzzzzzzzzzzz","session":"a:b:c:d","seq":9,{body}}}"#);
            let event: Event = serde_json::from_str(&text)?;
            assert_eq!(serde_json::to_string(&event)?, text);
        }
        Ok(())
    }

    #[test]
    fn a_usage_that_was_stored_before_all_counts_were_known_reads_back() -> Result<(), serde_json::Error> {
        let text = r#"{"turn":"01hzzzzzzzzzzzzzzzzz","session":"a:b:c:d","seq":9,"type":"usage","provider":"p","model":"m","input_tokens":1,"output_tokens":2,"cache_read_tokens":3,"cache_write_tokens":4,"cost_usd":null,"estimated":true}"#;
        let Event { body: EventBody::Usage(usage), .. } = serde_json::from_str(text)? else {
            unreachable!("it is a usage");
        };
        assert_eq!((usage.tokens.cache_write_tokens, usage.tokens.cache_write_1h_tokens), (4, 0));
        assert_eq!((usage.tokens.output_tokens, usage.tokens.reasoning_tokens), (2, 0));
        Ok(())
    }
}
