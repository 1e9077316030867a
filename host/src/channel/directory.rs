//! What there is to be known of channels, and what their owner may ask of them.

use futures_util::future::{self, BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Serialize;

use super::ChannelHealth;
use super::webhook::{Endpoint, WebhookReading, Webhooks};
use crate::store::{SetAside, Timestamp};

/// All channels of a gateway.
pub trait ChannelDirectory: Webhooks {
    /// How each of them is.
    fn channels(&self) -> Vec<ChannelStatus>;

    /// Puts an event that was set aside to its channel again. Once it is past it, the store has
    /// forgotten that it was set aside. It goes on where the future is dropped.
    fn replay(&self, event: SetAside) -> BoxFuture<'static, Result<(), ReplayError>>;
}

/// How a channel is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChannelStatus {
    /// Its name in the config.
    pub name: String,
    /// The platform, by the plugin's word.
    pub platform: String,
    /// How it is.
    #[serde(flatten)]
    pub health: ChannelHealth,
    /// Since when it is so.
    pub since: Timestamp,
    /// Its webhook; null where it has none.
    pub webhook: Option<WebhookStatus>,
    /// What came, since it started.
    pub received: Received,
    /// What went, since it started.
    pub sent: Sent,
}

impl ChannelHealth {
    /// In a word, as JSON has it too.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Ready => "ready",
            Self::Degraded { .. } => "degraded",
            Self::Failed { .. } => "failed",
            Self::Quarantined { .. } => "quarantined",
        }
    }
}

/// A channel's webhook.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct WebhookStatus {
    /// Where the platform reaches it; null where the owner did not say.
    pub url: Option<String>,
    /// How often it was called.
    #[serde(flatten)]
    pub calls: WebhookReading,
}

impl WebhookStatus {
    /// Of a webhook, as it is now.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        Self { url: endpoint.webhook_url().map(str::to_owned), calls: endpoint.reading() }
    }
}

/// What came of a platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Received {
    /// Events that were put to the plugin.
    pub events: u64,
    /// Messages that were taken.
    pub messages: u64,
    /// Messages of which only the id is kept: of senders who may not write, or answered by the host.
    pub noted: u64,
    /// Messages that had come before.
    pub repeats: u64,
    /// Events that the plugin did not get past.
    pub set_aside: u64,
}

/// What went to a platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sent {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that will not be sent any more.
    pub dead: u64,
    /// Deliveries of which nobody can tell whether they arrived.
    pub unknown: u64,
}

/// Why an event stays set aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Its channel does not run.
    #[error("there is no channel `{0}` now: it is not in the config, or has stopped")]
    NoChannel(String),
    /// The channel did not get past it this time either, or it could not be stored.
    #[error("it stays set aside: {0}")]
    Stays(String),
}

/// Of a gateway without channels.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoChannels;

impl Webhooks for NoChannels {
    fn endpoint(&self, _: &str) -> Option<Endpoint> {
        None
    }
}

impl ChannelDirectory for NoChannels {
    fn channels(&self) -> Vec<ChannelStatus> {
        Vec::new()
    }

    fn replay(&self, event: SetAside) -> BoxFuture<'static, Result<(), ReplayError>> {
        future::ready(Err(ReplayError::NoChannel(event.channel))).boxed()
    }
}
