//! The driver of one channel: one event at a time, stored before anything that follows from it.
//!
//! What comes (webhook calls, answers, frames, timers) waits in bounded queues until the event
//! before it is stored and carried out. The channel's actions are not stored: after a restart, and
//! after an event that it did not get past, it is told `start` and finds none under way.

mod ask;
mod intake;
mod keeping;
pub(super) mod recorded;
mod requests;
mod rest;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::line::{ChannelHealth, Line};
use super::outbox::{DeliveryFrame, Outbox, Sends};
use super::transport::Transports;
use super::webhook::{WebhookAnswer, WebhookCall};
use crate::runtime::bindings::channel::{Action, Event, Health, Incoming, NextState, Start, TransportError};
use crate::store::Timestamp;
use ask::Asked;
pub(super) use intake::Taken;
use keeping::{STORE_WAITS, Stored, Took, set_aside};
pub(super) use requests::Request;
use rest::Rests;
use waiting::Waited;

/// How long the last actions of a channel have (`wit/channel.wit`, `event.stop`).
const LAST_ACTIONS: Duration = Duration::from_secs(1);

/// How long an event is kept for a plugin that cannot take it now.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Whether whoever sent an event comes again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It does: a webhook's caller, who is told to.
    Repeats,
    /// It does not: the event is held until it was heard.
    Once,
}

/// What a driver is made of.
pub(super) struct DriverParts {
    pub(super) line: Arc<Line>,
    pub(super) transports: Transports,
    pub(super) webhooks: mpsc::Receiver<WebhookCall>,
    pub(super) frames: mpsc::Receiver<DeliveryFrame>,
    pub(super) requests: mpsc::Receiver<Request>,
    /// Told that there may be something to send.
    pub(super) outbox: Outbox,
    /// Told the new way out at a switch.
    pub(super) sends: tokio::sync::watch::Sender<Arc<dyn Sends>>,
    /// Whether the store had no state of it.
    pub(super) is_new: bool,
    pub(super) stop: CancellationToken,
}

/// The driver of one channel.
pub(super) struct Driver {
    parts: DriverParts,
    rests: Rests,
    /// A `lazy` state that is not stored yet, and when it is to be.
    lazy: Option<(Bytes, Instant)>,
    /// Frames of deliveries that are being written.
    writing: JoinSet<()>,
    /// Why the channel is to be started anew, before anything else.
    again: Option<String>,
    events: u64,
}

/// The channel is no longer this gateway's.
struct Superseded;

enum Next {
    Stop,
    Event(Event),
    Webhook(WebhookCall),
    Frame(DeliveryFrame),
    Request(Request),
    StoreLazy,
    Written,
}

impl Driver {
    pub(super) fn new(parts: DriverParts) -> Self {
        Self { parts, rests: Rests::default(), lazy: None, writing: JoinSet::new(), again: None, events: 0 }
    }

    /// Drives the channel until it is told to stop.
    pub(super) async fn run(mut self) {
        let start = if self.parts.is_new { Start::New } else { Start::Restart };
        match self.drive(start).await {
            Ok(()) => self.go_down().await,
            Err(Superseded) => {
                let detail = "another gateway has taken the channel over".to_owned();
                error!(channel = %self.parts.line.name, "{detail}; this one drives it no more");
                self.parts.line.report(ChannelHealth::Failed { detail }, Timestamp::now());
                self.parts.transports.close(Duration::ZERO).await;
                // Its webhook goes on answering that it is not available, until the gateway ends.
                self.parts.webhooks.close();
            }
        }
    }

    async fn drive(&mut self, start: Start) -> Result<(), Superseded> {
        self.start(start).await?;
        loop {
            if let Some(reason) = self.again.take() {
                self.restart(reason).await?;
                continue;
            }
            match self.next().await {
                Next::Stop => return Ok(()),
                Next::Event(event) => self.event(&event).await?,
                Next::Webhook(call) => self.webhook(call).await?,
                Next::Frame(frame) => self.frame(frame),
                Next::Request(Request::Replay { event, answer }) => {
                    let done = self.replay(&event).await?;
                    let _ = answer.send(done);
                }
                Next::Request(Request::Try { plugin, outward, answer }) => {
                    self.switch(plugin, outward, answer).await?;
                }
                Next::StoreLazy => self.store_lazy().await?,
                Next::Written => {}
            }
        }
    }

    async fn next(&mut self) -> Next {
        let DriverParts { transports, webhooks, frames, requests, stop, .. } = &mut self.parts;
        let lazy = async {
            match &self.lazy {
                Some((_, due)) => tokio::time::sleep_until(*due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Not biased: neither the platform's events nor its webhooks may starve the others.
            () = stop.cancelled() => Next::Stop,
            event = transports.next() => Next::Event(event),
            Some(call) = webhooks.recv() => Next::Webhook(call),
            Some(frame) = frames.recv() => Next::Frame(frame),
            Some(request) = requests.recv() => Next::Request(request),
            Some(_) = self.writing.join_next() => Next::Written,
            () = lazy => Next::StoreLazy,
        }
    }

    /// Tells the channel to start, with nothing under way; again, and after longer and longer rests,
    /// where it fails to.
    async fn start(&mut self, start: Start) -> Result<(), Superseded> {
        let mut start = start;
        while !self.parts.stop.is_cancelled() {
            let event = Event::Start(start);
            let reason = match self.ask(&event, Source::Once).await? {
                Some(Asked::Heard(incoming)) => match self.take(*incoming, None, Source::Once).await? {
                    Took::Stored | Took::Later => return Ok(()),
                    Took::Never(reason) => reason,
                },
                Some(Asked::GivenUp(reason) | Asked::InvalidInput(reason) | Asked::Unsupported(reason)) => reason,
                Some(Asked::Unavailable(_)) | None => return Ok(()),
            };
            warn!(channel = %self.parts.line.name, %reason, "the channel does not start");
            let rest = self.rests.failed_to_start();
            if self.rest(rest, reason).await? == Waited::Replaced {
                return Ok(());
            }
            start = Start::Restart;
        }
        Ok(())
    }

    /// Puts an event to the plugin; nothing where the channel stops meanwhile, or goes on with another
    /// version. What is lost then is not stored, as after a crash: the platform sends it again.
    async fn ask(&mut self, event: &Event, source: Source) -> Result<Option<Asked>, Superseded> {
        self.events += 1;
        let line = Arc::clone(&self.parts.line);
        line.counts.events.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}#{}", line.name, self.events);
        let (since, mut attempt) = (Instant::now(), 1);
        loop {
            let asked = tokio::select! {
                asked = ask::ask(&line, &id, event, &mut attempt) => asked,
                () = self.parts.stop.cancelled() => return Ok(None),
            };
            let Asked::Unavailable(wait) = asked else { return Ok(Some(asked)) };
            if source == Source::Repeats {
                return Ok(Some(Asked::Unavailable(wait)));
            }
            if since.elapsed() > PATIENCE {
                return Ok(Some(Asked::GivenUp(format!("it was not available for {PATIENCE:?}"))));
            }
            if self.pause(wait).await? != Waited::Over {
                return Ok(None);
            }
        }
    }

    async fn event(&mut self, event: &Event) -> Result<(), Superseded> {
        match self.ask(event, Source::Once).await? {
            Some(Asked::Heard(incoming)) => {
                match self.take(*incoming, None, Source::Once).await? {
                    Took::Stored => self.rests.heard(),
                    Took::Later => {}
                    Took::Never(reason) => self.set_aside(event, reason).await?,
                }
                Ok(())
            }
            // Of what a platform sends, it need not understand all. What became of its own actions it
            // has to: it would wait for ever for what follows from them.
            Some(Asked::InvalidInput(reason)) if !matches!(event, Event::Frame(_)) => {
                self.set_aside(event, reason).await
            }
            Some(Asked::InvalidInput(reason) | Asked::Unsupported(reason)) => {
                debug!(channel = %self.parts.line.name, %reason, "an event means nothing to the channel");
                Ok(())
            }
            Some(Asked::Unavailable(_)) | None => Ok(()),
            Some(Asked::GivenUp(reason)) => self.set_aside(event, reason).await,
        }
    }

    async fn webhook(&mut self, call: WebhookCall) -> Result<(), Superseded> {
        let WebhookCall { request, answer } = call;
        if answer.is_closed() {
            // Its caller has gone, and comes again.
            return Ok(());
        }
        let event = Event::Webhook(request);
        let later = WebhookAnswer::Unavailable { retry_in: STORE_WAITS.1 };
        let given_up = match self.ask(&event, Source::Repeats).await? {
            Some(Asked::Heard(mut incoming)) => {
                let reply = incoming.reply.take();
                match self.take(*incoming, None, Source::Repeats).await? {
                    Took::Stored => {
                        self.rests.heard();
                        Ok(WebhookAnswer::Reply(reply))
                    }
                    Took::Later => Ok(later),
                    Took::Never(reason) => Err(reason),
                }
            }
            Some(Asked::InvalidInput(_)) => Ok(WebhookAnswer::InvalidInput),
            Some(Asked::Unsupported(_)) => Ok(WebhookAnswer::Unsupported),
            Some(Asked::Unavailable(retry_in)) => Ok(WebhookAnswer::Unavailable { retry_in }),
            Some(Asked::GivenUp(reason)) => Err(reason),
            None => Ok(later),
        };
        let told = match given_up {
            Ok(told) => told,
            Err(reason) => match self.store(&set_aside(&event, reason.clone()), Source::Repeats).await? {
                Stored::Whole => {
                    self.again = Some(reason);
                    WebhookAnswer::SetAside
                }
                Stored::Later => WebhookAnswer::Unavailable { retry_in: STORE_WAITS.1 },
                Stored::Never(reason) => {
                    error!(channel = %self.parts.line.name, %reason, "an event can't even be set aside, and is refused");
                    WebhookAnswer::InvalidInput
                }
            },
        };
        let _ = answer.send(told);
        Ok(())
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Report(health) => self.report(health),
                action => {
                    if let Err(error) = self.parts.transports.carry_out(action) {
                        warn!(channel = %self.parts.line.name, %error, "an action of the channel is not carried out");
                    }
                }
            }
        }
    }

    fn report(&self, health: Health) {
        let line = &self.parts.line;
        let clean = |detail: String| crate::text::one_line(&detail, 300);
        let health = match health {
            Health::Connecting(detail) => ChannelHealth::Connecting { detail: clean(detail) },
            Health::Ready => ChannelHealth::Ready,
            Health::Degraded(detail) => ChannelHealth::Degraded { detail: clean(detail) },
            Health::Failed(detail) => ChannelHealth::Failed { detail: clean(detail) },
        };
        if line.health().health != health {
            match &health {
                ChannelHealth::Failed { detail } => {
                    error!(channel = %line.name, %detail, "the channel needs its owner")
                }
                ChannelHealth::Degraded { detail } => warn!(channel = %line.name, %detail, "the channel is degraded"),
                _ => info!(channel = %line.name, ?health, "the channel reports"),
            }
        }
        line.report(health, Timestamp::now());
    }

    fn frame(&mut self, frame: DeliveryFrame) {
        let DeliveryFrame { frame, result } = frame;
        match self.parts.transports.send_frame(&frame) {
            Ok(ticket) => {
                self.writing.spawn(async move {
                    let _ = result.send(ticket.written().await);
                });
            }
            Err(error) => {
                let _ = result.send(Err(TransportError::NotSent(error.to_string())));
            }
        }
    }

    /// The channel's last word: its state is stored, its actions have a second.
    async fn go_down(&mut self) {
        let line = Arc::clone(&self.parts.line);
        let plugin = line.plugin();
        let call = line.call("stop", 1, Timestamp::now());
        self.parts.transports.cancel_requests();
        match plugin.parse_incoming(call, &line.state(), &Event::Stop).await {
            Ok(Incoming { state, actions, .. }) => {
                if let NextState::Lazy(state) | NextState::Durable(state) = state {
                    self.lazy = Some((Bytes::from(state), Instant::now()));
                }
                self.carry_out(actions);
            }
            Err(error) => debug!(channel = %line.name, %error, "the channel has no last word"),
        }
        if self.store_lazy().await.is_err() {
            warn!(channel = %line.name, "the channel's last state is not stored: another gateway has taken it over");
        }
        self.parts.transports.close(LAST_ACTIONS).await;
        self.writing.shutdown().await;
    }
}
