//! The driver of one channel: one event at a time, stored before anything that follows from it.
//!
//! What comes (webhook calls, answers, frames, timers) waits in bounded queues until the event
//! before it is stored and carried out. The channel's actions are not stored: after a restart, and
//! after an event that it did not get past, it is told `start` and finds none under way.

mod ask;
mod intake;
pub(super) mod recorded;
mod rest;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::line::{ChannelHealth, Line};
use super::outbox::{DeliveryFrame, Outbox, Sends};
use super::outward::Outward;
use super::transport::Transports;
use super::way_out::WayOut;
use super::webhook::{WebhookAnswer, WebhookCall};
use crate::runtime::bindings::channel::{Action, Event, Health, Incoming, NextState, Start, TransportError};
use crate::runtime::{ChannelPlugin, trial};
use crate::store::{MAX_SET_ASIDE, NewSetAside, SetAside, SetAsideId, Timestamp};
use ask::{Asked, Source};
pub(super) use intake::Taken;
use intake::{Batch, IntakeError, MAX_MESSAGES};
use recorded::Recorded;
use rest::Rests;

/// How long a `lazy` state may wait to be stored.
const LAZY: Duration = Duration::from_secs(2);

/// How long the last actions of a channel have (`wit/channel.wit`, `event.stop`).
const LAST_ACTIONS: Duration = Duration::from_secs(1);

/// Waits between attempts to store: the first, and the longest.
const STORE_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long a trial's result may be thought about, while the channel stands still.
const SWITCH: Duration = Duration::from_secs(30);

/// Actions that may follow from one event.
const MAX_ACTIONS: usize = 1_000;

/// What a driver is asked from outside.
pub(super) enum Request {
    /// Puts an event that was set aside to the plugin again.
    Replay { event: Box<SetAside>, answer: oneshot::Sender<Result<(), String>> },
    /// Tries a new version on the channel's state, between two events. What comes back switches to
    /// it when it is used; dropped, it changes nothing. Until then nothing else happens.
    Try { plugin: ChannelPlugin, outward: Arc<Outward>, answer: oneshot::Sender<Result<oneshot::Sender<()>, String>> },
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
        Self { parts, rests: Rests::default(), lazy: None, writing: JoinSet::new(), events: 0 }
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
            match self.next().await {
                Next::Stop => return Ok(()),
                Next::Event(event) => self.event(&event).await?,
                Next::Webhook(call) => self.webhook(call).await?,
                Next::Frame(frame) => self.frame(frame),
                Next::Request(Request::Replay { event, answer }) => {
                    let done = self.replay(&event).await?;
                    let _ = answer.send(done);
                }
                Next::Request(Request::Try { plugin, outward, answer }) => self.switch(plugin, outward, answer).await?,
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
        loop {
            let event = Event::Start(start);
            match self.ask(&event, Source::Once).await {
                Some(Asked::Heard(incoming)) => {
                    return self.take(&event, *incoming, None, Source::Once).await.map(drop);
                }
                Some(Asked::GivenUp(reason) | Asked::InvalidInput(reason) | Asked::Unsupported(reason)) => {
                    warn!(channel = %self.parts.line.name, %reason, "the channel does not start");
                    let rest = self.rests.failed_to_start();
                    self.rest(rest, reason).await;
                }
                Some(Asked::Unavailable(wait)) => self.pause(wait).await,
                None => return Ok(()),
            }
            if self.parts.stop.is_cancelled() {
                return Ok(());
            }
            start = Start::Restart;
        }
    }

    /// Puts an event to the plugin; nothing where the channel is to stop meanwhile.
    async fn ask(&mut self, event: &Event, source: Source) -> Option<Asked> {
        self.events += 1;
        self.parts.line.counts.events.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}#{}", self.parts.line.name, self.events);
        let stop = self.parts.stop.clone();
        tokio::select! {
            asked = ask::ask(&self.parts.line, &id, event, source) => Some(asked),
            // The event is not stored: the platform sends it again.
            () = stop.cancelled() => None,
        }
    }

    async fn event(&mut self, event: &Event) -> Result<(), Superseded> {
        match self.ask(event, Source::Once).await {
            Some(Asked::Heard(incoming)) => self.take(event, *incoming, None, Source::Once).await.map(drop),
            Some(Asked::InvalidInput(reason) | Asked::Unsupported(reason)) => {
                debug!(channel = %self.parts.line.name, %reason, "an event means nothing to the channel");
                Ok(())
            }
            Some(Asked::Unavailable(_)) | None => Ok(()),
            Some(Asked::GivenUp(reason)) => self.set_aside(event, reason, None).await,
        }
    }

    async fn webhook(&mut self, call: WebhookCall) -> Result<(), Superseded> {
        let WebhookCall { request, answer } = call;
        if answer.is_closed() {
            // Its caller has gone, and comes again.
            return Ok(());
        }
        let event = Event::Webhook(request);
        let told = match self.ask(&event, Source::Repeats).await {
            Some(Asked::Heard(mut incoming)) => {
                let reply = incoming.reply.take();
                match self.take(&event, *incoming, None, Source::Repeats).await? {
                    Some(_) => WebhookAnswer::Reply(reply),
                    None => WebhookAnswer::Unavailable { retry_in: STORE_WAITS.1 },
                }
            }
            Some(Asked::InvalidInput(_)) => WebhookAnswer::InvalidInput,
            Some(Asked::Unsupported(_)) => WebhookAnswer::Unsupported,
            Some(Asked::Unavailable(retry_in)) => WebhookAnswer::Unavailable { retry_in },
            None => WebhookAnswer::Unavailable { retry_in: STORE_WAITS.1 },
            Some(Asked::GivenUp(reason)) => {
                // The restart of the channel is not on the caller's time.
                match self.store(&set_aside(&event, reason.clone()), Source::Repeats).await? {
                    Some(_) => {
                        let _ = answer.send(WebhookAnswer::SetAside);
                        return self.restart(reason).await;
                    }
                    None => WebhookAnswer::Unavailable { retry_in: STORE_WAITS.1 },
                }
            }
        };
        let _ = answer.send(told);
        Ok(())
    }

    /// Stores what the channel made of an event, and then does what it asks for. Nothing, where it
    /// was not stored.
    async fn take(
        &mut self,
        event: &Event,
        incoming: Incoming,
        replays: Option<SetAsideId>,
        source: Source,
    ) -> Result<Option<Taken>, Superseded> {
        let Incoming { state, messages, receipts, actions, reply: _ } = incoming;
        if messages.len() > MAX_MESSAGES || actions.len() > MAX_ACTIONS {
            let reason = format!("it made {} messages and {} actions of one event", messages.len(), actions.len());
            if replays.is_none() {
                self.set_aside(event, reason, None).await?;
            }
            return Ok(Some(Taken::default()));
        }
        let durable = !messages.is_empty() || !receipts.is_empty() || replays.is_some();
        let (lazy, state) = match state {
            NextState::Unchanged => (None, None),
            NextState::Lazy(state) if durable => (None, Some(Bytes::from(state))),
            NextState::Lazy(state) => (Some(Bytes::from(state)), None),
            NextState::Durable(state) => (None, Some(Bytes::from(state))),
        };
        // What it rests on may be a lazy one: then that is stored with it.
        let pending = self.lazy.as_ref().filter(|_| durable).map(|(state, _)| state.clone());
        let batch = Batch { state: state.clone().or(pending), messages, receipts, set_aside: None, replays };
        let Some(taken) = self.store(&batch, source).await? else { return Ok(None) };
        if batch.state.is_some() {
            self.lazy = None;
        }
        if let Some(state) = state.or(lazy.clone()) {
            self.parts.line.set_state(state);
        }
        if let Some(state) = lazy {
            let due = self.lazy.take().map_or_else(|| Instant::now() + LAZY, |(_, due)| due);
            self.lazy = Some((state, due));
        }
        if !matches!(event, Event::Start(_)) {
            self.rests.heard();
        }
        self.carry_out(actions);
        Ok(Some(taken))
    }

    /// Stores a batch. What no one repeats is tried until it is stored; nothing, where it was not.
    async fn store(&mut self, batch: &Batch, source: Source) -> Result<Option<Taken>, Superseded> {
        let line = Arc::clone(&self.parts.line);
        let mut wait = STORE_WAITS.0;
        loop {
            match batch.store(&line, Timestamp::now()).await {
                Ok(taken) => {
                    self.parts.line.counts.took(&taken);
                    if taken.replied {
                        self.parts.outbox.wake();
                    }
                    return Ok(Some(taken));
                }
                Err(IntakeError::Superseded(_)) => return Err(Superseded),
                Err(IntakeError::Later(reason)) => {
                    warn!(channel = %line.name, %reason, "what the channel heard is not stored yet");
                    if source == Source::Repeats || self.parts.stop.is_cancelled() {
                        return Ok(None);
                    }
                    self.pause(wait).await;
                    wait = (wait * 2).min(STORE_WAITS.1);
                }
            }
        }
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

    /// Puts an event that the plugin did not get past aside, and starts the channel anew.
    async fn set_aside(&mut self, event: &Event, reason: String, source: Option<Source>) -> Result<(), Superseded> {
        let batch = set_aside(event, reason.clone());
        self.store(&batch, source.unwrap_or(Source::Once)).await?;
        self.restart(reason).await
    }

    /// Starts the channel anew after an event that was set aside, at once or after a rest.
    async fn restart(&mut self, reason: String) -> Result<(), Superseded> {
        self.parts.line.counts.set_aside.fetch_add(1, Ordering::Relaxed);
        self.parts.transports.close(Duration::ZERO).await;
        self.store_lazy().await?;
        if let Some(rest) = self.rests.set_aside() {
            self.rest(rest, reason).await;
        }
        if self.parts.stop.is_cancelled() {
            return Ok(());
        }
        Box::pin(self.start(Start::Restart)).await
    }

    /// Leaves the channel alone for a while. Webhook calls are answered that it is not available.
    async fn rest(&mut self, rest: Duration, reason: String) {
        let line = Arc::clone(&self.parts.line);
        let until = Timestamp(Timestamp::now().0.saturating_add(rest.as_millis().try_into().unwrap_or(u64::MAX)));
        let detail = crate::text::one_line(&reason, 300);
        error!(channel = %line.name, ?rest, %detail, "the channel keeps failing and rests");
        line.report(ChannelHealth::Quarantined { until, detail }, Timestamp::now());
        self.pause(rest).await;
        line.report(ChannelHealth::Connecting { detail: "it is tried again".to_owned() }, Timestamp::now());
    }

    /// Waits, unless the channel is to stop.
    async fn pause(&mut self, length: Duration) {
        let end = Instant::now() + length;
        let stop = self.parts.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(end) => return,
                Some(WebhookCall { answer, .. }) = self.parts.webhooks.recv() => {
                    let retry_in = end.saturating_duration_since(Instant::now());
                    let _ = answer.send(WebhookAnswer::Unavailable { retry_in });
                }
                // What is ready to be sent need not wait for what is to be heard.
                Some(frame) = self.parts.frames.recv() => self.frame(frame),
            }
        }
    }

    async fn replay(&mut self, event: &SetAside) -> Result<Result<(), String>, Superseded> {
        let spoilt = || "it cannot be read any more; drop it".to_owned();
        let Some(again) = Recorded::from_bytes(&event.event).and_then(Recorded::event) else {
            return Ok(Err(spoilt()));
        };
        Ok(match self.ask(&again, Source::Repeats).await {
            Some(Asked::Heard(incoming)) => {
                match self.take(&again, *incoming, Some(event.id), Source::Repeats).await? {
                    Some(_) => Ok(()),
                    None => Err("it was understood, but could not be stored; try again".to_owned()),
                }
            }
            Some(Asked::InvalidInput(reason) | Asked::Unsupported(reason) | Asked::GivenUp(reason)) => Err(reason),
            Some(Asked::Unavailable(wait)) => Err(format!("the channel takes nothing now; try again in {wait:?}")),
            None => Err("the gateway is going down".to_owned()),
        })
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

    /// Tries a new version on the channel's state and, when it is told to, goes on with it.
    async fn switch(
        &mut self,
        plugin: ChannelPlugin,
        outward: Arc<Outward>,
        answer: oneshot::Sender<Result<oneshot::Sender<()>, String>>,
    ) -> Result<(), Superseded> {
        let line = Arc::clone(&self.parts.line);
        let id = format!("{}#reload", line.name);
        let started = trial(&plugin, line.call(&id, 1, Timestamp::now()), &line.state()).await;
        let incoming = match started {
            Ok(incoming) => incoming,
            Err(error) => {
                let _ = answer.send(Err(error.to_string()));
                return Ok(());
            }
        };
        let (go, told) = oneshot::channel();
        if answer.send(Ok(go)).is_err() {
            return Ok(());
        }
        match tokio::time::timeout(SWITCH, told).await {
            Ok(Ok(())) => {}
            _ => return Ok(()),
        }
        info!(channel = %line.name, "the channel goes on with its new version");
        self.parts.transports.close(LAST_ACTIONS).await;
        self.parts.transports.replace_outward(Arc::clone(&outward));
        self.parts.sends.send_replace(Arc::new(WayOut { outward, store: Arc::clone(&line.store) }));
        line.set_plugin(plugin);
        self.rests = Rests::default();
        self.take(&Event::Start(Start::Reload), incoming, None, Source::Once).await.map(drop)
    }

    async fn store_lazy(&mut self) -> Result<(), Superseded> {
        let Some((state, _)) = self.lazy.take() else { return Ok(()) };
        let batch = Batch { state: Some(state), ..Batch::default() };
        self.store(&batch, Source::Once).await.map(drop)
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

fn set_aside(event: &Event, reason: String) -> Batch {
    let mut event = Recorded::of(event).to_bytes();
    if event.len() > MAX_SET_ASIDE {
        // It cannot be replayed, but it is told of.
        let excerpt = String::from_utf8_lossy(event.get(..1 << 10).unwrap_or_default()).into_owned();
        event = serde_json::json!({ "too-large": event.len(), "excerpt": excerpt }).to_string().into();
    }
    Batch { set_aside: Some(NewSetAside { event, reason }), ..Batch::default() }
}
