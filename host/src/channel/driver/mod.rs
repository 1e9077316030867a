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
use ask::Asked;
pub(super) use intake::Taken;
use intake::{Batch, IntakeError};
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

/// What became of a batch.
enum Stored {
    Whole,
    /// Not now.
    Later,
    /// Nor at any other time.
    Never(String),
}

/// What became of an event that the plugin took.
enum Took {
    Stored,
    /// It is not stored, and may come again.
    Later,
    /// It can't be stored.
    Never(String),
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Over,
    /// The channel is to stop.
    Stopped,
    /// A new version of the plugin has started.
    Replaced,
}

/// What is done while the driver waits, besides what always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heed {
    Nothing,
    Requests,
}

/// What ended the driver's idling.
enum Idle {
    Over,
    Stopped,
    Asked(Request),
}

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

    /// Stores what the channel made of an event, and then does what it asks for.
    async fn take(
        &mut self,
        incoming: Incoming,
        replays: Option<SetAsideId>,
        source: Source,
    ) -> Result<Took, Superseded> {
        let Incoming { state, messages, receipts, actions, reply: _ } = incoming;
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
        match self.store(&batch, source).await? {
            Stored::Whole => {}
            Stored::Later => return Ok(Took::Later),
            Stored::Never(reason) => return Ok(Took::Never(reason)),
        }
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
        self.carry_out(actions);
        Ok(Took::Stored)
    }

    /// Stores a batch. What no one repeats is tried until it is stored.
    async fn store(&mut self, batch: &Batch, source: Source) -> Result<Stored, Superseded> {
        let line = Arc::clone(&self.parts.line);
        let mut wait = STORE_WAITS.0;
        loop {
            match batch.store(&line, Timestamp::now()).await {
                Ok(taken) => {
                    line.counts.took(&taken);
                    if taken.replied {
                        self.parts.outbox.wake();
                    }
                    return Ok(Stored::Whole);
                }
                Err(IntakeError::Superseded(_)) => return Err(Superseded),
                Err(IntakeError::Refused(error)) => return Ok(Stored::Never(error.to_string())),
                Err(IntakeError::Later(reason)) => {
                    warn!(channel = %line.name, %reason, "what the channel heard is not stored yet");
                    let stopped = |idle| matches!(idle, Idle::Stopped);
                    if source == Source::Repeats || stopped(self.idle(Instant::now() + wait, Heed::Nothing).await) {
                        return Ok(Stored::Later);
                    }
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

    /// Puts an event that the plugin did not get past aside, and has the channel started anew.
    async fn set_aside(&mut self, event: &Event, reason: String) -> Result<(), Superseded> {
        if let Stored::Never(error) = self.store(&set_aside(event, reason.clone()), Source::Once).await? {
            error!(channel = %self.parts.line.name, %reason, %error, "an event can't even be set aside, and is dropped");
        }
        self.again = Some(reason);
        Ok(())
    }

    /// Starts the channel anew after an event that was set aside, at once or after a rest.
    async fn restart(&mut self, reason: String) -> Result<(), Superseded> {
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
    async fn rest(&mut self, rest: Duration, reason: String) -> Result<Waited, Superseded> {
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
    async fn pause(&mut self, length: Duration) -> Result<Waited, Superseded> {
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
    async fn idle(&mut self, end: Instant, heed: Heed) -> Idle {
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

    async fn replay(&mut self, event: &SetAside) -> Result<Result<(), String>, Superseded> {
        let spoilt = || "it cannot be read any more; drop it".to_owned();
        let Some(again) = Recorded::from_bytes(&event.event).and_then(Recorded::event) else {
            return Ok(Err(spoilt()));
        };
        Ok(match self.ask(&again, Source::Repeats).await? {
            Some(Asked::Heard(incoming)) => match self.take(*incoming, Some(event.id), Source::Repeats).await? {
                Took::Stored => Ok(()),
                Took::Later => Err("it was understood, but could not be stored; try again".to_owned()),
                Took::Never(reason) => Err(reason),
            },
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

    /// Tries a new version on the channel's state and, when it is told to, goes on with it. Says whether it does.
    async fn switch(
        &mut self,
        plugin: ChannelPlugin,
        outward: Arc<Outward>,
        answer: oneshot::Sender<Result<oneshot::Sender<()>, String>>,
    ) -> Result<bool, Superseded> {
        let line = Arc::clone(&self.parts.line);
        let id = format!("{}#reload", line.name);
        let started = trial(&plugin, line.call(&id, 1, Timestamp::now()), &line.state()).await;
        let incoming = match started {
            Ok(incoming) => incoming,
            Err(error) => {
                let _ = answer.send(Err(error.to_string()));
                return Ok(false);
            }
        };
        let (go, told) = oneshot::channel();
        if answer.send(Ok(go)).is_err() {
            return Ok(false);
        }
        match tokio::time::timeout(SWITCH, told).await {
            Ok(Ok(())) => {}
            _ => return Ok(false),
        }
        info!(channel = %line.name, "the channel goes on with its new version");
        self.parts.transports.close(LAST_ACTIONS).await;
        self.parts.transports.replace_outward(Arc::clone(&outward));
        self.parts.sends.send_replace(Arc::new(WayOut { outward, store: Arc::clone(&line.store) }));
        line.set_plugin(plugin);
        self.rests = Rests::default();
        self.again = None;
        if let Took::Never(reason) = self.take(incoming, None, Source::Once).await? {
            self.set_aside(&Event::Start(Start::Reload), reason).await?;
        }
        Ok(true)
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
