//! From a response's body to the events of a call: bytes, server-sent events, meaning.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body_util::BodyExt;
use hyper::body::Body;
use serde_json::value::RawValue;

use super::refusal::{Refusal, bounded};
use super::{EventStream, ProviderError, StreamEvent};
use crate::net::sse;
use crate::store::StopReason;

/// The largest server-sent event, and the longest arguments of one tool call.
pub(super) const MAX_PART: usize = 4 << 20;

/// How long the body's own end is waited for once the model has stopped, so that the connection
/// can serve the next call.
const LINGER: Duration = Duration::from_millis(100);

/// Turns a provider's server-sent events into [`StreamEvent`]s, without I/O.
pub(super) trait Decode: Send + 'static {
    /// Takes one event in and puts out what it means.
    fn event(&mut self, event: sse::Event<'_>, out: &mut VecDeque<StreamEvent>) -> Result<Flow, DecodeError>;

    /// The stream ended without the protocol's last word. Why the model stopped, where the
    /// protocol accepts that.
    fn end(&mut self) -> Result<StopReason, DecodeError>;
}

/// Whether a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// More is to come.
    Continue,
    /// That was the last event.
    Stopped(StopReason),
}

/// Why events have no meaning.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum DecodeError {
    /// The service said that it failed.
    #[error("{0}")]
    Refused(Refusal),
    /// The stream ended early.
    #[error("{0}")]
    Cut(&'static str),
    /// The stream breaks the protocol.
    #[error("{0}")]
    Malformed(String),
    /// A part is too large.
    #[error("{0} is too large")]
    TooLarge(&'static str),
}

impl DecodeError {
    /// JSON that is none, or has another shape.
    pub(super) fn json(event: &str, error: &serde_json::Error) -> Self {
        Self::Malformed(format!("`{event}`: {error}"))
    }

    fn of(self, provider: Arc<str>) -> ProviderError {
        match self {
            Self::Refused(refusal) => ProviderError::Refused { provider, refusal: Box::new(refusal) },
            Self::Cut(reason) => ProviderError::Cut { provider, reason: reason.into() },
            Self::Malformed(reason) => ProviderError::Malformed { provider, reason },
            Self::TooLarge(part) => ProviderError::TooLarge { provider, part, limit: MAX_PART },
        }
    }
}

/// The arguments of a tool call: a JSON object's text, or nothing.
pub(super) fn object(json: &str) -> Option<Arc<RawValue>> {
    let value: Box<RawValue> = serde_json::from_str(json).ok()?;
    value.get().starts_with('{').then(|| value.into())
}

/// A call whose arguments are no [`object`].
pub(super) fn unfinished(name: &str) -> DecodeError {
    DecodeError::Malformed(format!("the arguments of the call of `{}` are no JSON object", bounded(name)))
}

/// The events of a response. `idle` bounds each silence.
pub(super) fn events<B, D>(provider: Arc<str>, body: B, decoder: D, idle: Duration) -> EventStream
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display + Send,
    D: Decode,
{
    let sse = sse::Decoder::new(MAX_PART);
    let reader = Reader { provider, body, sse, decoder, idle, ready: VecDeque::new(), state: State::Reading };
    unfold(reader, |mut reader| async move { reader.next().await.map(|event| (event, reader)) }).boxed()
}

struct Reader<B, D> {
    provider: Arc<str>,
    body: B,
    sse: sse::Decoder,
    decoder: D,
    idle: Duration,
    /// What came out and was not asked for yet.
    ready: VecDeque<StreamEvent>,
    state: State,
}

/// What follows the events that are ready.
enum State {
    Reading,
    Stopped(StopReason),
    Failed(ProviderError),
    Ended,
}

impl<B, D> Reader<B, D>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
    D: Decode,
{
    async fn next(&mut self) -> Option<Result<StreamEvent, ProviderError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Reading => self.state = self.read().await,
                State::Stopped(reason) => {
                    self.drain().await;
                    return Some(Ok(StreamEvent::Stopped(reason)));
                }
                State::Failed(error) => return Some(Err(error)),
                State::Ended => return None,
            }
        }
    }

    /// Reads one piece of the body.
    async fn read(&mut self) -> State {
        let provider = || Arc::clone(&self.provider);
        match tokio::time::timeout(self.idle, self.body.frame()).await {
            Err(_) => State::Failed(ProviderError::Stalled { provider: provider(), after: self.idle }),
            Ok(None) => match self.decoder.end() {
                Ok(reason) => State::Stopped(reason),
                Err(error) => State::Failed(error.of(provider())),
            },
            Ok(Some(Err(error))) => {
                State::Failed(ProviderError::Cut { provider: provider(), reason: error.to_string() })
            }
            Ok(Some(Ok(frame))) => frame.data_ref().map_or(State::Reading, |data| self.decode(data)),
        }
    }

    fn decode(&mut self, mut data: &[u8]) -> State {
        loop {
            let flow = match self.sse.next(&mut data) {
                Ok(None) => return State::Reading,
                Ok(Some(event)) => self.decoder.event(event, &mut self.ready),
                Err(_) => Err(DecodeError::TooLarge("an event")),
            };
            match flow {
                Ok(Flow::Continue) => {}
                Ok(Flow::Stopped(reason)) => return State::Stopped(reason),
                Err(error) => return State::Failed(error.of(Arc::clone(&self.provider))),
            }
        }
    }

    async fn drain(&mut self) {
        let ended = async { while let Some(Ok(_)) = self.body.frame().await {} };
        // A service that keeps the connection open costs a new one, and no more.
        let _ = tokio::time::timeout(LINGER, ended).await;
    }
}
