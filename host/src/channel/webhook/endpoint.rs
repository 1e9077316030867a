//! One channel's webhook: from a call to its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::body::Body;
use hyper::header::{HeaderMap, ORIGIN};
use hyper::http::request::Parts;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::debug;

use super::body::{self, BodyError};
use super::counts::{Ending, WebhookCounts};
use super::keys::ChannelKeys;
use super::replay::{Begun, Replays};
use super::verify::{Head, Refusal, Verified, VerifierParts};
use super::{Verifier, VerifierError, WebhookAnswer, WebhookCall, WebhookReading};
use crate::config::{ChannelConfig, PluginName};
use crate::runtime::ChannelPlugin;
use crate::runtime::bindings::channel::Verification;
use crate::runtime::bindings::types;
use crate::store::Timestamp;

/// Calls of one channel at once, from their bodies on. Each may hold a body in memory.
const MAX_CALLS: usize = 64;

/// How long a call waits for its place among them, and for one in the driver's queue. Platforms
/// wait 3 s and more for an answer, and have it told to come again rather than none.
const PLACE: Duration = Duration::from_secs(2);

/// How long a body may take to come.
const READ: Duration = Duration::from_secs(10);

/// How long the driver may take. Platforms have given up before; what is stored later counts, and
/// the platform's repeat of it is dropped by its event id.
const ANSWER: Duration = Duration::from_secs(30);

/// When to come again, where nothing says more.
const RETRY: Duration = Duration::from_secs(5);

/// A channel's webhook. A cheap handle; clones are the same webhook.
#[derive(Debug, Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    channel: PluginName,
    verifier: Verifier,
    calls: mpsc::Sender<WebhookCall>,
    webhook_url: Option<String>,
    max_body: usize,
    shared: Arc<Shared>,
}

/// What stays when the channel is configured anew.
#[derive(Debug)]
struct Shared {
    room: Semaphore,
    replays: Replays,
    counts: WebhookCounts,
}

/// What a webhook is made of.
#[derive(Debug)]
pub struct EndpointParts {
    /// Whose it is.
    pub channel: PluginName,
    /// Tells its platform from others.
    pub verifier: Verifier,
    /// To the channel's driver. Its bound is how many calls may wait there.
    pub calls: mpsc::Sender<WebhookCall>,
    /// `[channels.NAME] webhook_url`: where the platform reaches it, without a query.
    pub webhook_url: Option<String>,
    /// The most bytes of a call's body: what the plugin may be given.
    pub max_body: usize,
}

impl EndpointParts {
    fn of(
        plugin: &ChannelPlugin,
        config: &ChannelConfig,
        calls: mpsc::Sender<WebhookCall>,
    ) -> Result<Option<Self>, VerifierError> {
        let Some(webhook) = &plugin.setup().webhook else { return Ok(None) };
        let out = plugin.out();
        let parts = VerifierParts {
            secret: &|name| out.secrets().known(name).cloned(),
            webhook_url: config.webhook_url.as_deref(),
            unsigned: config.unsigned_webhook,
            jwks: match &webhook.verification {
                Verification::Jwt(jwt) => ChannelKeys::of(plugin, &jwt.jwks_url),
                _ => None,
            },
        };
        Ok(Some(Self {
            channel: plugin.plugin().name().clone(),
            verifier: Verifier::new(webhook, &parts)?,
            calls,
            webhook_url: config.webhook_url.clone(),
            // A body is both: what the plugin is given in one call, and a body of HTTP.
            max_body: plugin.max_input().min(usize::try_from(out.body_limit()).unwrap_or(usize::MAX)),
        }))
    }
}

/// What is answered to a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// 200 with this text: who asked is the platform.
    Challenge(String),
    /// 200, or what the channel says.
    Done(Option<types::Response>),
    /// 400: it cannot be read.
    Malformed,
    /// 401, whatever the reason.
    Refused,
    /// 405.
    Method {
        /// What would be served.
        allow: &'static str,
    },
    /// 408.
    TooSlow,
    /// 413.
    TooLarge {
        /// The most bytes.
        limit: usize,
    },
    /// 503.
    Unavailable {
        /// When to come again.
        retry_in: Duration,
    },
}

impl Endpoint {
    /// The webhook of a channel, as its plugin declares it; nothing where it has none.
    ///
    /// # Errors
    /// Its calls cannot be verified as it is configured.
    pub(in crate::channel) fn of(
        plugin: &ChannelPlugin,
        config: &ChannelConfig,
        calls: mpsc::Sender<WebhookCall>,
    ) -> Result<Option<Self>, VerifierError> {
        Ok(EndpointParts::of(plugin, config, calls)?.map(Self::new))
    }

    /// The webhook of the same channel as another version of its plugin declares it.
    ///
    /// # Errors
    /// Its calls cannot be verified as it is configured.
    pub(in crate::channel) fn replaced(
        &self,
        plugin: &ChannelPlugin,
        config: &ChannelConfig,
    ) -> Result<Option<Self>, VerifierError> {
        let parts = EndpointParts::of(plugin, config, self.inner.calls.clone())?;
        Ok(parts.map(|parts| self.changed(parts)))
    }

    /// A webhook.
    #[must_use]
    pub fn new(parts: EndpointParts) -> Self {
        let shared =
            Shared { room: Semaphore::new(MAX_CALLS), replays: Replays::default(), counts: WebhookCounts::default() };
        Self::with(parts, Arc::new(shared))
    }

    /// The same webhook as it is configured now: it knows the signatures that were used, and goes on
    /// counting.
    #[must_use]
    pub fn changed(&self, parts: EndpointParts) -> Self {
        Self::with(parts, Arc::clone(&self.inner.shared))
    }

    fn with(parts: EndpointParts, shared: Arc<Shared>) -> Self {
        let EndpointParts { channel, verifier, calls, webhook_url, max_body } = parts;
        Self { inner: Arc::new(Inner { channel, verifier, calls, webhook_url, max_body, shared }) }
    }

    /// Where the platform reaches it, where the owner said so.
    #[must_use]
    pub fn webhook_url(&self) -> Option<&str> {
        self.inner.webhook_url.as_deref()
    }

    /// How often it was called.
    #[must_use]
    pub fn reading(&self) -> WebhookReading {
        self.inner.shared.counts.reading()
    }

    /// Takes a call, which came at `now`, and says what to answer. A body over `max_body`, or over
    /// what the plugin may be given, is refused.
    pub async fn receive<B>(&self, head: &Parts, body: B, max_body: usize, now: Timestamp) -> Outcome
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (outcome, ending) = match self.answer(head, body, max_body, now).await {
            Ok((outcome, ending)) => (outcome, ending),
            Err(stopped) => {
                debug!(channel = %self.inner.channel, %stopped, "a webhook call is not taken");
                stopped.into_outcome()
            }
        };
        self.inner.shared.counts.count(ending);
        outcome
    }

    async fn answer<B>(
        &self,
        parts: &Parts,
        body: B,
        max_body: usize,
        now: Timestamp,
    ) -> Result<(Outcome, Ending), Stopped>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Inner { verifier, shared, max_body: given, .. } = &*self.inner;
        let allow = if verifier.has_challenge() { "GET, POST" } else { "POST" };
        match parts.method {
            Method::POST => {}
            Method::GET if verifier.has_challenge() => {
                return Ok((Outcome::Challenge(verifier.challenge(parts.uri.query())?), Ending::Challenge));
            }
            _ => return Err(Stopped::Method { allow }),
        }
        // No platform sends an origin. Where nobody signs, a page in the owner's browser could call.
        if verifier.is_unsigned() && parts.headers.contains_key(ORIGIN) {
            return Err(Stopped::Page);
        }
        let head = Head { headers: &parts.headers, query: parts.uri.query(), now };
        let admitted = verifier.admit(head).await?;

        let place = tokio::time::timeout(PLACE, shared.room.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(Stopped::Busy) };
        let limit = max_body.min(*given);
        let body = body::read(body, limit, READ).await.map_err(|error| Stopped::Body { error, limit })?;
        let Verified { replay } = admitted.verify(&body)?;

        let running = match replay.map(|key| shared.replays.begin(key, now)) {
            None => None,
            Some(Begun::New(running)) => Some(running),
            Some(Begun::Running) => return Err(Stopped::Busy),
            Some(Begun::Seen) => return Ok((Outcome::Done(None), Ending::Replay)),
        };
        let answer = self.ask(self.request(parts, body)).await?;
        let outcome = match answer {
            WebhookAnswer::Reply(reply) => Outcome::Done(reply),
            WebhookAnswer::Unsupported | WebhookAnswer::SetAside => Outcome::Done(None),
            WebhookAnswer::InvalidInput => return Err(Stopped::Unreadable),
            WebhookAnswer::Unavailable { retry_in } => return Err(Stopped::NotNow { retry_in }),
        };
        if let Some(running) = running {
            running.used();
        }
        Ok((outcome, Ending::Taken))
    }

    /// Hands a call to the driver, and waits for what it says.
    async fn ask(&self, request: types::Request) -> Result<WebhookAnswer, Stopped> {
        let (answer, answered) = oneshot::channel();
        match self.inner.calls.send_timeout(WebhookCall { request, answer }, PLACE).await {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(_)) => return Err(Stopped::Busy),
            Err(SendTimeoutError::Closed(_)) => return Err(Stopped::Gone),
        }
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Stopped::Gone),
            Err(_) => Err(Stopped::Busy),
        }
    }

    /// A call as the plugin sees it.
    fn request(&self, parts: &Parts, body: Vec<u8>) -> types::Request {
        let Inner { verifier, webhook_url, .. } = &*self.inner;
        let mut url = webhook_url.clone().unwrap_or_else(|| parts.uri.path().to_owned());
        let query = parts.uri.query().map(|query| verifier.shown_query(query)).filter(|query| !query.is_empty());
        if let Some(query) = query {
            url.push('?');
            url.push_str(&query);
        }
        types::Request { method: parts.method.as_str().to_owned(), url, headers: self.headers(&parts.headers), body }
    }

    fn headers(&self, headers: &HeaderMap) -> Vec<types::Header> {
        let shown = self.inner.verifier.shown_headers(headers);
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        shown.map(|(name, value)| types::Header { name: name.to_string(), value: text(value.as_bytes()) }).collect()
    }
}

/// Why a call does not get to the channel, or not past it.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("a web page called, and nobody signs the calls of this webhook")]
    Page,
    #[error("its method is not served")]
    Method { allow: &'static str },
    #[error("its body: {error:?}, with a limit of {limit} bytes")]
    Body { error: BodyError, limit: usize },
    #[error("the channel cannot read it")]
    Unreadable,
    #[error("too many are under way")]
    Busy,
    #[error("the channel cannot take it now")]
    NotNow { retry_in: Duration },
    #[error("the channel's driver has ended")]
    Gone,
}

impl Stopped {
    fn into_outcome(self) -> (Outcome, Ending) {
        match self {
            Self::Refused(Refusal::Unavailable(_)) | Self::Busy | Self::Gone => {
                (Outcome::Unavailable { retry_in: RETRY }, Ending::Unavailable)
            }
            Self::NotNow { retry_in } => (Outcome::Unavailable { retry_in }, Ending::Unavailable),
            Self::Refused(_) | Self::Page => (Outcome::Refused, Ending::Refused),
            Self::Method { allow } => (Outcome::Method { allow }, Ending::Refused),
            Self::Unreadable => (Outcome::Malformed, Ending::Malformed),
            Self::Body { error, limit } => {
                let outcome = match error {
                    BodyError::TooLarge => Outcome::TooLarge { limit },
                    BodyError::TooSlow => Outcome::TooSlow,
                    BodyError::Broken => Outcome::Malformed,
                };
                (outcome, Ending::Malformed)
            }
        }
    }
}
