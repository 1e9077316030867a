//! A model's reply, in no provider's format.

use serde_json::Value;

use super::http::Answer;
use super::{Gate, Wire, anthropic, openai};

/// What a model says, piece by piece.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(super) parts: Vec<Part>,
    counts: Option<Counts>,
    pub(super) model: &'static str,
    stop: Option<Stop>,
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    /// One delta; neighbours are one block.
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
    Redacted(String),
    Call(Call),
    Wait(Gate),
    /// The error of a stream that has begun; nothing follows.
    Error {
        kind: String,
        message: String,
    },
    /// The body ends here, as if it were whole.
    End,
    /// The connection ends here.
    Cut,
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) pieces: Vec<String>,
    pub(super) whole: bool,
}

/// Why a model stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    EndTurn,
    MaxTokens,
    ToolUse,
    Refusal,
}

/// What a reply consumed. On OpenAI's wire the input includes what came from the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
    /// Of `cache_write`, what is kept for an hour.
    pub(crate) cache_write_1h: u64,
}

impl Reply {
    pub(crate) fn new() -> Self {
        Self { parts: Vec::new(), counts: None, model: "model-that-answers", stop: None }
    }

    /// A reply of one text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::new().say(text)
    }

    /// One delta of text.
    pub(crate) fn say(self, text: impl Into<String>) -> Self {
        self.part(Part::Text(text.into()))
    }

    pub(crate) fn think(self, text: &str, signature: &str) -> Self {
        self.part(Part::Thinking { text: text.into(), signature: signature.into() })
    }

    pub(crate) fn redacted(self, data: &str) -> Self {
        self.part(Part::Redacted(data.into()))
    }

    /// A call of a tool, whose arguments come in several pieces.
    pub(crate) fn call(self, id: &str, name: &str, arguments: &Value) -> Self {
        let json = arguments.to_string();
        let half = json.floor_char_boundary(json.len() / 2);
        let pieces = [&json[..half], &json[half..]].map(str::to_owned).into();
        self.part(Part::Call(Call { id: id.into(), name: name.into(), pieces, whole: true }))
    }

    /// A call of which no piece of the arguments comes.
    pub(crate) fn bare_call(self, id: &str, name: &str) -> Self {
        self.part(Part::Call(Call { id: id.into(), name: name.into(), pieces: Vec::new(), whole: true }))
    }

    /// A call whose arguments break off.
    pub(crate) fn half_call(self, id: &str, name: &str, arguments: &str) -> Self {
        self.part(Part::Call(Call { id: id.into(), name: name.into(), pieces: vec![arguments.into()], whole: false }))
    }

    /// Nothing more until the gate is open.
    pub(crate) fn wait(self, gate: &Gate) -> Self {
        self.part(Part::Wait(gate.clone()))
    }

    /// Fails in the middle.
    pub(crate) fn fails(self, kind: &str, message: &str) -> Self {
        self.part(Part::Error { kind: kind.into(), message: message.into() })
    }

    /// Ends the body without the protocol's last word.
    pub(crate) fn ends_early(self) -> Self {
        self.part(Part::End)
    }

    /// Closes the connection in the middle of the body.
    pub(crate) fn cut(self) -> Self {
        self.part(Part::Cut)
    }

    pub(crate) fn stops(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    pub(crate) fn counts(mut self, counts: Counts) -> Self {
        self.counts = Some(counts);
        self
    }

    /// What it consumed; the same for all where nothing was said.
    pub(super) fn consumed(&self) -> Counts {
        self.counts.unwrap_or(Counts { input: 11, output: 7, cache_read: 0, cache_write: 0, cache_write_1h: 0 })
    }

    fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    pub(super) fn stop(&self) -> Stop {
        let calls = self.parts.iter().any(|part| matches!(part, Part::Call(_)));
        self.stop.unwrap_or(if calls { Stop::ToolUse } else { Stop::EndTurn })
    }

    /// As a wire has it: one HTTP chunk for each event.
    pub(crate) fn on(&self, wire: Wire) -> Answer {
        let steps = match wire {
            Wire::Anthropic => anthropic::stream(self),
            Wire::OpenAi => openai::stream(self),
        };
        let headers = vec![("content-type".into(), "text/event-stream; charset=utf-8".into())];
        Answer { status: 200, headers, steps }
    }
}
