//! All channels of a gateway: prepared, driven, changed while they run, and taken down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::attachments::AttachmentDesk;
use super::directory::{ChannelDirectory, ChannelStatus, ReplayError, WebhookStatus};
use super::driver::{Driver, DriverParts, Request};
use super::line::{Line, LineParts};
use super::outbox::{DeliveryFrame, Outbox, OutboxParts, Sends};
use super::outward::{Outward, SetupError};
use super::post::Post;
use super::transport::{TransportLimits, Transports};
use super::way_out::WayOut;
use super::webhook::{Endpoint, VerifierError, WebhookCall, Webhooks};
use crate::agent::Dispatcher;
use crate::config::{ChannelConfig, Config, DeliveryConfig, PluginName};
use crate::runtime::{ChannelPlugin, Consent, Objection, Proposal, Registry, SwapGuard};
use crate::store::{SetAside, StoreError, Timestamp};

/// Webhook calls of one channel that wait for their turn.
const WAITING_CALLS: usize = 64;

/// Frames of deliveries that wait to be written.
const WAITING_FRAMES: usize = 64;

/// How long drivers may take to end.
const DOWN: Duration = Duration::from_secs(10);

/// How long what is ready to be sent may take to leave, when the gateway goes down.
const FLUSH: Duration = Duration::from_secs(3);

/// All channels. Cheap to clone.
#[derive(Clone)]
pub struct Channels {
    inner: Arc<Inner>,
}

struct Inner {
    tables: BTreeMap<PluginName, ChannelConfig>,
    delivery: DeliveryConfig,
    dispatcher: Dispatcher,
    post: Arc<Post>,
    desk: Arc<AttachmentDesk>,
    tasks: TaskTracker,
    running: Mutex<BTreeMap<PluginName, Running>>,
}

/// One channel that is there.
struct Running {
    line: Arc<Line>,
    endpoint: Option<Endpoint>,
    requests: mpsc::Sender<Request>,
    calls: mpsc::Sender<WebhookCall>,
    /// Ends the outbox.
    quiet: CancellationToken,
    /// Ends the driver.
    stop: CancellationToken,
    outbox: Option<Outbox>,
    /// Until it is started.
    waiting: Option<Waiting>,
}

/// What a driver and its outbox will be made of.
struct Waiting {
    outward: Arc<Outward>,
    sends: watch::Sender<Arc<dyn Sends>>,
    webhooks: mpsc::Receiver<WebhookCall>,
    frames: (mpsc::Sender<DeliveryFrame>, mpsc::Receiver<DeliveryFrame>),
    requests: mpsc::Receiver<Request>,
    is_new: bool,
}

/// Why a channel cannot be driven.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Its webhook cannot be verified.
    #[error("channel `{channel}`: {error}")]
    Webhook {
        /// The channel.
        channel: PluginName,
        /// What is missing.
        error: VerifierError,
    },
    /// What it says of itself is not what the contract allows.
    #[error("channel `{channel}`: {error}")]
    Setup {
        /// The channel.
        channel: PluginName,
        /// What is wrong.
        error: SetupError,
    },
    /// Its state cannot be read.
    #[error("the state of channel `{channel}` cannot be read: {error}")]
    State {
        /// The channel.
        channel: PluginName,
        /// What the store says.
        error: StoreError,
    },
    /// Its table is for a plugin that is none.
    #[error("[channels.{0}]: the plugin `{0}` is no channel; take the table out, or name the channel's plugin")]
    NoChannel(PluginName),
}

impl Channels {
    /// Makes the channels among the plugins ready to be driven: nothing is sent yet, and calls of
    /// webhooks wait.
    ///
    /// # Errors
    /// One of them cannot be driven as it is configured.
    pub async fn prepare(
        config: &Config,
        plugins: &Registry,
        dispatcher: &Dispatcher,
        post: Arc<Post>,
        desk: Arc<AttachmentDesk>,
    ) -> Result<Self, ChannelError> {
        let inner = Inner {
            tables: config.channels.clone(),
            delivery: config.delivery.clone(),
            dispatcher: dispatcher.clone(),
            post,
            desk,
            tasks: TaskTracker::new(),
            running: Mutex::default(),
        };
        let channels = Self { inner: Arc::new(inner) };
        let snapshot = plugins.snapshot();
        for name in config.channels.keys() {
            if snapshot.plugin(name.as_str()).is_some_and(|plugin| plugin.channel().is_none()) {
                return Err(ChannelError::NoChannel(name.clone()));
            }
        }
        for plugin in snapshot.plugins().iter().filter_map(|plugin| plugin.channel()) {
            let running = channels.inner.prepare(plugin).await?;
            channels.inner.running().insert(running.line.name.clone(), running);
        }
        Ok(channels)
    }

    /// Begins to send what waits in the outboxes, and tells who carries drafts where they go.
    pub fn open(&self) {
        for running in self.inner.running().values_mut() {
            self.inner.open(running);
        }
    }

    /// Begins to hear.
    pub fn drive(&self) {
        for running in self.inner.running().values_mut() {
            self.inner.drive(running);
        }
    }

    /// Lets what is ready leave, then takes every channel down. To be called when no turn is left.
    pub async fn shut_down(&self) {
        // They stay known: their webhooks answer that they are not available, and not that they are gone.
        let all: Vec<_> = {
            let running = self.inner.running();
            running.values().map(|one| (one.outbox.clone(), one.quiet.clone(), one.stop.clone())).collect()
        };
        for (_, quiet, _) in &all {
            quiet.cancel();
        }
        // Before the drivers, whose connections carry frames.
        join_all(all.iter().filter_map(|(outbox, ..)| outbox.as_ref()).map(|outbox| outbox.close(FLUSH))).await;
        for (.., stop) in &all {
            stop.cancel();
        }
        self.inner.tasks.close();
        if tokio::time::timeout(DOWN, self.inner.tasks.wait()).await.is_err() {
            warn!("channels did not end within {DOWN:?}");
        }
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, BTreeMap<PluginName, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn prepare(&self, plugin: ChannelPlugin) -> Result<Running, ChannelError> {
        let name = plugin.plugin().name().clone();
        let config = self.tables.get(&name).cloned().unwrap_or_default();
        let (calls, webhooks) = mpsc::channel(WAITING_CALLS);
        let stored = self.dispatcher.store().channel_state(name.as_str()).await;
        let stored = stored.map_err(|error| ChannelError::State { channel: name.clone(), error })?;
        let is_new = stored.is_none();
        let outward = Outward::of(&plugin).map_err(|error| ChannelError::Setup { channel: name.clone(), error })?;
        let endpoint = Endpoint::of(&plugin, &config, calls.clone())
            .map_err(|error| ChannelError::Webhook { channel: name.clone(), error })?;
        let store = Arc::clone(self.dispatcher.store());
        let way_out: Arc<dyn Sends> = Arc::new(WayOut { outward: Arc::clone(&outward), store });
        let sends = watch::Sender::new(way_out);
        let parts = LineParts {
            name,
            config,
            delivery: self.delivery.clone(),
            dispatcher: self.dispatcher.clone(),
            plugin,
            state: stored.unwrap_or_default(),
        };
        let (requests, asked) = mpsc::channel(4);
        Ok(Running {
            line: Line::new(parts, Timestamp::now()),
            endpoint,
            requests,
            calls,
            quiet: CancellationToken::new(),
            stop: CancellationToken::new(),
            outbox: None,
            waiting: Some(Waiting {
                outward,
                sends,
                webhooks,
                frames: mpsc::channel(WAITING_FRAMES),
                requests: asked,
                is_new,
            }),
        })
    }
}

impl Inner {
    fn open(&self, running: &mut Running) {
        let Some(waiting) = &running.waiting else { return };
        let outbox = Outbox::start(OutboxParts {
            line: Arc::clone(&running.line),
            sends: waiting.sends.subscribe(),
            frames: waiting.frames.0.clone(),
            clock: Arc::new(Timestamp::now),
            stop: running.quiet.clone(),
        });
        self.post.attach(outbox.clone());
        self.desk.attach(Arc::clone(&running.line));
        running.outbox = Some(outbox);
    }

    fn drive(&self, running: &mut Running) {
        let (Some(waiting), Some(outbox)) = (running.waiting.take(), &running.outbox) else { return };
        let Waiting { outward, sends, webhooks, frames: (_, frames), requests, is_new } = waiting;
        let transports = Transports::new(outward, TransportLimits::default());
        info!(channel = %running.line.name, platform = running.line.plugin().platform(), "the channel starts");
        let driver = Driver::new(DriverParts {
            line: Arc::clone(&running.line),
            transports,
            webhooks,
            frames,
            requests,
            outbox: outbox.clone(),
            sends,
            is_new,
            stop: running.stop.clone(),
        });
        self.tasks.spawn(driver.run());
    }

    /// Ends a channel whose plugin is gone.
    fn remove(&self, name: &PluginName) {
        if let Some(running) = self.running().remove(name) {
            info!(channel = %name, "the channel's plugin is gone: it stops");
            self.desk.detach(name.as_str());
            let outbox = self.post.detach(name.as_str());
            self.tasks.spawn(async move {
                running.quiet.cancel();
                if let Some(outbox) = outbox {
                    outbox.close(FLUSH).await;
                }
                running.stop.cancel();
            });
        }
    }
}

/// Channels change with their plugins. A new version is tried on the state of the old one, between
/// two events, and the channel stands still until it is decided.
impl SwapGuard for Channels {
    fn consider<'a>(&'a self, proposal: &'a Proposal) -> BoxFuture<'a, Result<Consent, Objection>> {
        async move {
            let object = |error: String| Objection(error);
            let mut then: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
            for old in proposal.now.plugins().iter().filter(|plugin| plugin.channel().is_some()) {
                let stays = proposal.next.plugin(old.name().as_str()).is_some_and(|new| new.channel().is_some());
                if !stays {
                    let (inner, name) = (Arc::clone(&self.inner), old.name().clone());
                    then.push(Box::new(move || inner.remove(&name)));
                }
            }
            for new in proposal.next.plugins().iter() {
                let Some(channel) = new.channel() else { continue };
                let old = proposal.now.plugin(new.name().as_str()).filter(|old| old.channel().is_some());
                match old {
                    Some(old) if Arc::ptr_eq(old, new) => {}
                    Some(_) => then.push(self.inner.replace(channel).await.map_err(object)?),
                    None => {
                        let mut running =
                            self.inner.prepare(channel).await.map_err(|error| Objection(error.to_string()))?;
                        let inner = Arc::clone(&self.inner);
                        then.push(Box::new(move || {
                            inner.open(&mut running);
                            inner.drive(&mut running);
                            inner.running().insert(running.line.name.clone(), running);
                        }));
                    }
                }
            }
            Ok(Consent::with(move || then.into_iter().for_each(|then| then())))
        }
        .boxed()
    }
}

impl Inner {
    /// Tries a channel's new version. What comes back switches to it.
    async fn replace(self: &Arc<Self>, plugin: ChannelPlugin) -> Result<Box<dyn FnOnce() + Send>, String> {
        let name = plugin.plugin().name().clone();
        let (requests, config, calls, before) = {
            let running = self.running();
            let Some(running) = running.get(&name) else { return Ok(Box::new(|| {})) };
            let Running { requests, line, calls, endpoint, .. } = running;
            (requests.clone(), line.config.clone(), calls.clone(), endpoint.clone())
        };
        let outward = Outward::of(&plugin).map_err(|error| error.to_string())?;
        let endpoint = match &before {
            Some(before) => before.replaced(&plugin, &config),
            None => Endpoint::of(&plugin, &config, calls),
        };
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let (answer, tried) = oneshot::channel();
        let gone = || format!("the channel `{name}` has stopped; restart the gateway");
        let asked = Request::Try { outward, plugin, answer };
        requests.send(asked).await.map_err(|_| gone())?;
        let go = tried.await.map_err(|_| gone())??;
        let inner = Arc::clone(self);
        Ok(Box::new(move || {
            if let Some(running) = inner.running().get_mut(&name) {
                running.endpoint = endpoint;
            }
            // A driver that has gone meanwhile has nothing to switch.
            let _ = go.send(());
        }))
    }
}

impl Webhooks for Channels {
    fn endpoint(&self, channel: &str) -> Option<Endpoint> {
        self.inner.running().get(channel)?.endpoint.clone()
    }
}

impl ChannelDirectory for Channels {
    fn channels(&self) -> Vec<ChannelStatus> {
        self.inner.running().values().map(Running::status).collect()
    }

    fn replay(&self, event: SetAside) -> BoxFuture<'static, Result<(), ReplayError>> {
        let requests = self.inner.running().get(event.channel.as_str()).map(|running| running.requests.clone());
        let gone = ReplayError::NoChannel(event.channel.clone());
        async move {
            let Some(requests) = requests else { return Err(gone) };
            let (answer, told) = oneshot::channel();
            let asked = Request::Replay { event: Box::new(event), answer };
            if requests.send(asked).await.is_err() {
                return Err(gone);
            }
            told.await.map_err(|_| gone)?.map_err(ReplayError::Stays)
        }
        .boxed()
    }
}

impl Running {
    fn status(&self) -> ChannelStatus {
        let reported = self.line.health();
        ChannelStatus {
            name: self.line.name.to_string(),
            platform: self.line.plugin().platform().to_owned(),
            health: reported.health,
            since: reported.since,
            webhook: self.endpoint.as_ref().map(WebhookStatus::of),
            received: self.line.counts.received(),
            sent: self.line.counts.sent(),
        }
    }
}
