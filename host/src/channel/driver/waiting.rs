//! A driver that waits: for a plugin that is not available, for a rest to be over, for the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use super::{ChannelHealth, Driver, Request, Superseded, WebhookAnswer, WebhookCall};
use crate::runtime::bindings::channel::Start;
use crate::store::Timestamp;

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    Over,
    /// The channel is to stop.
    Stopped,
    /// A new version of the plugin has started.
    Replaced,
}

/// What is done while the driver waits, besides what always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heed {
    Nothing,
    Requests,
}

/// What ended the driver's idling.
pub(super) enum Idle {
    Over,
    Stopped,
    Asked(Request),
}

impl Driver {
    /// Starts the channel anew after an event that was set aside, at once or after a rest.
    pub(super) async fn restart(&mut self, reason: String) -> Result<(), Superseded> {
        self.parts.line.counts.set_aside.fetch_add(1, Ordering::Relaxed);
        self.parts.transports.close(Duration::ZERO).await;
        self.store_lazy().await?;
        if let Some(rest) = self.rests.set_aside()
            && self.rest(rest, reason).await? == Waited::Replaced
        {
            return Ok(());
        }
        self.start(Start::Restart).await
    }

    /// Leaves the channel alone for a while, or until it has a new version. Webhook calls are answered
    /// that it is not available.
    pub(super) async fn rest(&mut self, rest: Duration, reason: String) -> Result<Waited, Superseded> {
        let line = Arc::clone(&self.parts.line);
        let until = Timestamp(Timestamp::now().0.saturating_add(rest.as_millis().try_into().unwrap_or(u64::MAX)));
        let detail = crate::text::one_line(&reason, 300);
        error!(channel = %line.name, ?rest, %detail, "the channel keeps failing and rests");
        line.report(ChannelHealth::Quarantined { until, detail }, Timestamp::now());
        let waited = self.pause(rest).await?;
        if waited == Waited::Over {
            line.report(ChannelHealth::Connecting { detail: "it is tried again".to_owned() }, Timestamp::now());
        }
        Ok(waited)
    }

    /// Waits for the plugin. A new version of it ends the wait: it may be the cure.
    pub(super) async fn pause(&mut self, length: Duration) -> Result<Waited, Superseded> {
        let end = Instant::now() + length;
        loop {
            match self.idle(end, Heed::Requests).await {
                Idle::Over => return Ok(Waited::Over),
                Idle::Stopped => return Ok(Waited::Stopped),
                Idle::Asked(Request::Replay { answer, .. }) => {
                    let _ = answer.send(Err("the channel rests; try again when it is back".to_owned()));
                }
                Idle::Asked(Request::Try { plugin, outward, answer }) => {
                    if self.switch(plugin, outward, answer).await? {
                        return Ok(Waited::Replaced);
                    }
                }
            }
        }
    }

    /// Waits, with an event in hand: says that it is not available, and sends what is ready, which need
    /// not wait for what is to be heard.
    pub(super) async fn idle(&mut self, end: Instant, heed: Heed) -> Idle {
        let stop = self.parts.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Idle::Stopped,
                () = tokio::time::sleep_until(end) => return Idle::Over,
                Some(request) = self.parts.requests.recv(), if heed == Heed::Requests => return Idle::Asked(request),
                Some(WebhookCall { answer, .. }) = self.parts.webhooks.recv() => {
                    let retry_in = end.saturating_duration_since(Instant::now());
                    let _ = answer.send(WebhookAnswer::Unavailable { retry_in });
                }
                Some(frame) = self.parts.frames.recv() => self.frame(frame),
            }
        }
    }
}
