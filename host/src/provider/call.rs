//! A call with its retries and its fallback models.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream, unfold};

use super::retry::{Jitter, backoff};
use super::{EventStream, ModelRef, ProviderError, Request, StreamEvent};
use crate::store::TokenUsage;

/// A piece of a call with its retries and fallbacks.
#[derive(Debug, Clone)]
pub enum CallEvent {
    /// An attempt begins.
    Attempt {
        /// The provider's name in the config.
        provider: String,
        /// The model that is asked.
        model: String,
    },
    /// A piece of the attempt's answer.
    Event(StreamEvent),
    /// The attempt failed and another follows: what it showed is void.
    Failed {
        /// What it consumed, as far as the provider said.
        usage: Option<TokenUsage>,
        /// Why it failed.
        error: ProviderError,
        /// After this long.
        retry_in: Duration,
    },
}

/// A whole call: it ends after [`StreamEvent::Stopped`], or with an error that no attempt
/// follows. Dropping it ends the waiting and the reading at once.
pub struct CallStream {
    events: BoxStream<'static, Result<CallEvent, ProviderError>>,
    /// The most tokens that the attempts to come may write.
    most: Arc<AtomicU32>,
}

impl CallStream {
    /// Lets the attempts to come write at most so many tokens, where the request allows more. After
    /// [`CallEvent::Attempt`] nothing is sent before the stream is polled again, so that it holds for that attempt.
    pub fn limit_output(&self, tokens: u32) {
        self.most.store(tokens, Ordering::Relaxed);
    }
}

impl Stream for CallStream {
    type Item = Result<CallEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

/// The models that an agent asks, in order.
#[derive(Debug, Clone)]
pub struct Models {
    models: Arc<[ModelRef]>,
    jitter: Arc<Jitter>,
}

impl Models {
    /// Models to ask, the first first.
    #[must_use]
    pub fn new(models: &[ModelRef], jitter: Arc<Jitter>) -> Self {
        Self { models: models.into(), jitter }
    }

    /// The models.
    #[must_use]
    pub fn models(&self) -> &[ModelRef] {
        &self.models
    }

    /// Makes a call. A model is asked again after an error that may pass, with growing waits and
    /// at most [`max_retries`](super::Provider::max_retries) times; then the next model is asked,
    /// unless the request was at fault. Once text or a tool call was given out, nothing is tried
    /// again: it can't be taken back. Reasoning can, and [`CallEvent::Failed`] says so.
    #[must_use]
    pub fn call(&self, request: Arc<Request>) -> CallStream {
        let most = Arc::new(AtomicU32::new(request.max_tokens));
        let call = Call {
            most: Arc::clone(&most),
            models: Arc::clone(&self.models),
            jitter: Arc::clone(&self.jitter),
            request,
            model: 0,
            attempt: 0,
            usage: None,
            shown: Shown::Nothing,
            state: State::Begin,
        };
        let events = unfold(call, |mut call| async move { call.next().await.map(|event| (event, call)) }).boxed();
        CallStream { events, most }
    }
}

struct Call {
    models: Arc<[ModelRef]>,
    jitter: Arc<Jitter>,
    request: Arc<Request>,
    /// The most tokens that an attempt may write.
    most: Arc<AtomicU32>,
    /// Which model is asked.
    model: usize,
    /// How often it was asked before.
    attempt: u32,
    /// What the attempt consumed.
    usage: Option<TokenUsage>,
    shown: Shown,
    state: State,
}

/// Whether an attempt gave out what can't be taken back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Something,
}

enum State {
    Begin,
    Waiting(Duration),
    Opening,
    Streaming(EventStream),
    Ended,
}

impl Call {
    async fn next(&mut self) -> Option<Result<CallEvent, ProviderError>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Waiting(wait) => {
                    tokio::time::sleep(wait).await;
                    self.state = State::Begin;
                }
                State::Begin => {
                    let Some(model) = self.models.get(self.model) else {
                        return Some(Err(ProviderError::NoModel { variables: Vec::new() }));
                    };
                    self.usage = None;
                    self.state = State::Opening;
                    let (provider, model) = (model.provider.name().to_owned(), model.model.to_string());
                    return Some(Ok(CallEvent::Attempt { provider, model }));
                }
                State::Opening => {
                    self.limit();
                    let model = self.models.get(self.model)?;
                    match model.provider.open(&model.model, &self.request).await {
                        Ok(stream) => self.state = State::Streaming(stream),
                        Err(error) => return Some(self.failed(error)),
                    }
                }
                State::Streaming(mut stream) => match stream.next().await {
                    Some(Ok(event)) => {
                        self.note(&event);
                        if !matches!(event, StreamEvent::Stopped(_)) {
                            self.state = State::Streaming(stream);
                        }
                        return Some(Ok(CallEvent::Event(event)));
                    }
                    Some(Err(error)) => return Some(self.failed(error)),
                    None => {
                        let provider = self.models.get(self.model)?.provider.name().into();
                        let reason = "its events ended before the model stopped".into();
                        return Some(self.failed(ProviderError::Cut { provider, reason }));
                    }
                },
                State::Ended => return None,
            }
        }
    }

    /// Has the request allow no more than the attempt may write.
    fn limit(&mut self) {
        let most = self.most.load(Ordering::Relaxed);
        if most != self.request.max_tokens {
            let request = Arc::make_mut(&mut self.request);
            request.max_tokens = most;
        }
    }

    fn note(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Text(_) | StreamEvent::ToolUse(_) => self.shown = Shown::Something,
            StreamEvent::Started { .. }
            | StreamEvent::Thinking(_)
            | StreamEvent::ThinkingSignature(_)
            | StreamEvent::RedactedThinking(_)
            | StreamEvent::ToolInput(_)
            | StreamEvent::Stopped(_) => {}
        }
    }

    /// Decides what follows a failed attempt: the same model, the next one, or nothing.
    fn failed(&mut self, error: ProviderError) -> Result<CallEvent, ProviderError> {
        if self.shown == Shown::Something {
            return Err(error);
        }
        let retries = self.models.get(self.model).map_or(0, |model| model.provider.max_retries());
        let wait = (self.attempt < retries).then(|| backoff(self.attempt, &error, &self.jitter)).flatten();
        let retry_in = match wait {
            Some(wait) => {
                self.attempt += 1;
                wait
            }
            None if error.allows_fallback() && self.model + 1 < self.models.len() => {
                (self.model, self.attempt) = (self.model + 1, 0);
                Duration::ZERO
            }
            None => return Err(error),
        };
        // A service's words may repeat the user's, so they are no news for the log.
        tracing::debug!(%error, ?retry_in, "a call of a model failed and is made again");
        self.state = State::Waiting(retry_in);
        Ok(CallEvent::Failed { usage: self.usage, error, retry_in })
    }
}

#[cfg(test)]
mod tests;
