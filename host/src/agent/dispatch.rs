//! Where messages come in: finds the agent, stores the message, puts its turn into a lane.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::accept::{Accepting, idempotency};
use super::agents::{self, Agent, AgentInfo, BuildError, NoModel};
use super::attachments::{Attachments, MAX_ATTACHMENTS};
use super::courier::Courier;
use super::job::Ticket;
use super::lane::{LaneLimits, Lanes, Load, Refused};
use super::notices::Notices;
use super::route::Router;
use super::turn::Shared;
use crate::bus::Hub;
use crate::config::{AgentName, ByteSize, Config, WarnTo};
use crate::metering::Meter;
use crate::provider::{Jitter, Providers};
use crate::runtime::Registry;
use crate::store::{
    Attachment, Block, Destination, DynStore, Epoch, ErrorCode, KeyError, Message, Role, SessionKey, StoreError,
    Timestamp, TurnId,
};

/// The longest idempotency key, in bytes.
pub(super) const MAX_IDEMPOTENCY_KEY: usize = 256;

/// Open turns that are read at once.
const RECOVERY_PAGE: usize = 256;

/// Where a message comes from: what bindings are matched against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The channel: `websocket` for JSON-RPC clients.
    pub channel: String,
    /// The account on it: `local` for JSON-RPC clients.
    pub account: String,
    /// The other side: `main` where a client names none.
    pub peer: String,
    /// The guild, where the channel has such.
    pub guild: Option<String>,
    /// The team, where the channel has such.
    pub team: Option<String>,
}

/// A message for an agent.
#[derive(Debug, Clone)]
pub struct Submission {
    /// From whom.
    pub peer: Peer,
    /// The agent that the sender asked for; absent to let the bindings choose.
    pub agent: Option<String>,
    /// What is said.
    pub content: String,
    /// Files that are sent along, at most 10: more are left out.
    pub attachments: Vec<Attachment>,
    /// Where the answer goes, where it does not go to whoever sent the message.
    pub destination: Option<Destination>,
    /// Under which a repeat is recognised.
    pub idempotency_key: Option<String>,
}

/// The sessions in which the owner is told of budgets. A name that makes no key was refused with the config.
fn told(config: &Config) -> Vec<SessionKey> {
    let key = |to: &WarnTo| SessionKey::new(to.agent.as_str(), &to.channel, &to.account, &to.peer).ok();
    config.budgets.warn_to.iter().filter_map(key).collect()
}

/// A person's message.
pub(super) fn said(content: String, attachments: Vec<Attachment>) -> Arc<Message> {
    let mut message = Message::text(Role::User, content);
    message.blocks.extend(attachments.into_iter().take(MAX_ATTACHMENTS).map(Block::Attachment));
    Arc::new(message)
}

/// A message that is stored.
#[derive(Debug)]
pub struct Submitted {
    /// Its turn.
    pub turn: TurnId,
    /// Its session.
    pub session: SessionKey,
    /// Present when the turn is new; absent for a repeat.
    pub ticket: Option<Ticket>,
}

/// Why a message was not accepted. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Nothing but white space.
    #[error("the content is empty; say something")]
    Empty,
    /// Too much.
    #[error("the content has {size} bytes; `[limits] content` allows {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit.
        limit: ByteSize,
    },
    /// No such agent.
    #[error("there is no agent `{name}`; there are: {known}")]
    NoAgent {
        /// The name that was asked for.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// The agent has no model.
    #[error(transparent)]
    NoModel(#[from] NoModel),
    /// The peer has no valid name.
    #[error(transparent)]
    Session(#[from] KeyError),
    /// Not a usable key.
    #[error("an idempotency key has 1 to {MAX_IDEMPOTENCY_KEY} bytes; this one has {0}")]
    Key(usize),
    /// The key belongs to another message.
    #[error("this idempotency key was used for another message of the session within 24 hours; use a new key")]
    KeyReused,
    /// The session's queue.
    #[error("{limit} messages wait in this session, the limit of `[limits] queued`; send again when some are answered")]
    SessionFull {
        /// The limit.
        limit: usize,
    },
    /// All queues.
    #[error("{limit} messages wait in the gateway, the limit of `[limits] queued_total`; send again later")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// Shutdown.
    #[error("the gateway is going down and takes no new messages; send again when it is back")]
    Draining,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A panic.
    #[error("the gateway failed inside while it stored the message; its log says more")]
    Fault,
}

impl SubmitError {
    /// The code that a client is given; none where the parameters were wrong.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Empty | Self::Session(_) | Self::Key(_) | Self::KeyReused => None,
            Self::TooLarge { .. } => Some(ErrorCode::TooLarge),
            Self::NoAgent { .. } | Self::NoModel(_) => Some(ErrorCode::NoAgent),
            Self::SessionFull { .. } | Self::Full { .. } | Self::Draining => Some(ErrorCode::Busy),
            Self::Store(StoreError::Full { .. } | StoreError::Sick(_) | StoreError::Closed) => Some(ErrorCode::Busy),
            Self::Store(_) | Self::Fault => Some(ErrorCode::Internal),
        }
    }
}

/// What a dispatcher is made of.
pub struct Parts<'a> {
    /// The owner's config.
    pub config: &'a Config,
    /// What is kept.
    pub store: DynStore,
    /// As whom this process owns the store ([`crate::store::Store::take_over`]).
    pub epoch: Epoch,
    /// Carries answers to platforms.
    pub courier: Arc<dyn Courier>,
    /// Fetches what people send along.
    pub attachments: Arc<dyn Attachments>,
    /// Where models run.
    pub providers: &'a Providers,
    /// Spreads retries.
    pub jitter: Arc<Jitter>,
    /// The plugins, whose tools the agents use.
    pub tools: &'a Registry,
}

/// Accepts messages, and has their turns run. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Hub,
    store: DynStore,
    epoch: Epoch,
    meter: Meter,
    /// Until they are looked after.
    notices: Mutex<Option<Notices>>,
    router: Router,
    agents: BTreeMap<AgentName, Arc<Agent>>,
    lanes: Arc<Lanes>,
    content: ByteSize,
    queued: usize,
    queued_total: usize,
}

impl Dispatcher {
    /// Makes the agents of a config ready.
    ///
    /// # Errors
    /// The config names something that is not there, or contradicts itself.
    pub fn new(parts: Parts<'_>) -> Result<Self, BuildError> {
        let agents = agents::build(&parts)?;
        let Parts { config, store, epoch, courier, attachments, .. } = parts;
        let limits = &config.limits;
        let (queued, closing) = (limits.queued, CancellationToken::new());
        let (meter, warnings) = Meter::new(config, Arc::clone(&store))?;
        let notices = Notices {
            store: Arc::clone(&store),
            epoch,
            courier: Arc::clone(&courier),
            meter: meter.clone(),
            to: told(config),
            warnings,
        };
        let shared =
            Shared { store: Arc::clone(&store), epoch, queued, courier, attachments, meter: meter.clone(), closing };
        let shared = Arc::new(shared);
        let lanes = LaneLimits { running: limits.turns, queued: limits.queued, queued_total: limits.queued_total };
        Ok(Self {
            inner: Arc::new(Inner {
                hub: Hub::new(Arc::clone(&store), config.gateway.queue),
                store,
                epoch,
                meter,
                notices: Mutex::new(Some(notices)),
                router: Router::new(&config.bindings, AgentName::default_agent())?,
                agents,
                lanes: Arc::new(Lanes::new(shared, lanes)),
                content: limits.content,
                queued: limits.queued,
                queued_total: limits.queued_total,
            }),
        })
    }

    /// The events of all sessions.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// What counts calls of models, and holds them to the budgets.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    /// Takes warnings of budgets to the owner and keeps what the meter learns, until `stop`. To be run once;
    /// another run does nothing.
    pub async fn look_after(&self, stop: CancellationToken) {
        let notices = self.inner.notices.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(notices) = notices {
            notices.run(stop).await;
        }
    }

    /// What is kept.
    #[must_use]
    pub fn store(&self) -> &DynStore {
        &self.inner.store
    }

    /// Stores a message and opens its turn, which starts when the ticket is used or dropped.
    ///
    /// # Errors
    /// Nothing was stored; the error says why.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let inner = &*self.inner;
        let (agent, session) = self.addressee(&submission)?;
        let idempotency = idempotency(&submission)?;
        let destination = submission.destination;

        let entry = inner.lanes.enter(&session).await.map_err(|refused| self.refused(refused))?;
        let message = said(submission.content, submission.attachments);
        let topic = inner.hub.topic(&session);
        let (store, epoch) = (Arc::clone(&inner.store), inner.epoch);
        let accepting = Accepting { store, epoch, entry, agent, topic, session, message, destination, idempotency };
        // Not on the sender's time: a message that is stored gets its turn, though its sender is gone.
        inner.lanes.whole(accepting.accept()).await.unwrap_or(Err(SubmitError::Fault))
    }

    /// Who answers a message, and in which session.
    pub(super) fn addressee(&self, submission: &Submission) -> Result<(Arc<Agent>, SessionKey), SubmitError> {
        let (size, limit) = (submission.content.len(), self.inner.content);
        if submission.content.trim().is_empty() {
            return Err(SubmitError::Empty);
        }
        if size > limit.bytes() {
            return Err(SubmitError::TooLarge { size, limit });
        }
        let agent = self.agent(submission)?;
        agent.ready()?;
        let peer = &submission.peer;
        let session = SessionKey::new(agent.name.as_str(), &peer.channel, &peer.account, &peer.peer)?;
        Ok((agent, session))
    }

    /// The session in which a message would be answered.
    ///
    /// # Errors
    /// It would not be taken.
    pub fn session_of(&self, submission: &Submission) -> Result<SessionKey, SubmitError> {
        self.addressee(submission).map(|(_, session)| session)
    }

    pub(super) fn refused(&self, refused: Refused) -> SubmitError {
        match refused {
            Refused::Draining => SubmitError::Draining,
            Refused::SessionFull => SubmitError::SessionFull { limit: self.inner.queued },
            Refused::Full => SubmitError::Full { limit: self.inner.queued_total },
        }
    }

    pub(super) fn lanes(&self) -> &Arc<Lanes> {
        &self.inner.lanes
    }

    /// As whom this process owns the store.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    fn agent(&self, submission: &Submission) -> Result<Arc<Agent>, SubmitError> {
        let agents = &self.inner.agents;
        let name = submission.agent.as_deref().unwrap_or_else(|| self.inner.router.resolve(&submission.peer).as_str());
        agents.get(name).cloned().ok_or_else(|| SubmitError::NoAgent {
            name: name.chars().take(80).collect(),
            known: agents.keys().map(AgentName::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// Stops a turn, or every turn of a session. When it returns, nothing more of a turn that ran
    /// is read from its provider, and no call of a stopped turn is dispatched. Says whether there
    /// was one to stop.
    pub async fn abort(&self, session: &SessionKey, turn: Option<TurnId>) -> bool {
        self.inner.lanes.abort(session, turn).await
    }

    /// Stops the session's turns and begins its context anew. Says whether there is such a session.
    ///
    /// # Errors
    /// The store failed.
    pub async fn reset(&self, session: &SessionKey) -> Result<bool, StoreError> {
        // A message that entered between the stop and the reset would lose its own context.
        let _held = self.inner.lanes.hold(session).await;
        self.abort(session, None).await;
        self.inner.lanes.idle(session).await;
        self.inner.store.reset(session, Timestamp::now()).await
    }

    /// Stops the session's turns and removes the session with all that belongs to it. Says whether
    /// there was such a session.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete(&self, session: &SessionKey) -> Result<bool, StoreError> {
        let _held = self.inner.lanes.hold(session).await;
        self.abort(session, None).await;
        self.inner.lanes.idle(session).await;
        self.inner.store.delete(session, self.inner.epoch).await
    }

    /// Takes up the turns that did not end before the last process did: to be called once, before
    /// the first message. They run in the order in which they were accepted, each when its lane
    /// comes to it, and until then nothing of them is read but their names. Returns how many.
    ///
    /// # Errors
    /// The store failed.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let inner = &*self.inner;
        let mut open = Vec::new();
        loop {
            let page = inner.store.open_turns(open.last().cloned(), RECOVERY_PAGE).await?;
            let full = page.len() >= RECOVERY_PAGE;
            open.extend(page);
            if !full {
                break;
            }
        }
        // Before any of them goes on: what the last process had set aside counts until it is settled.
        let turns: HashSet<TurnId> = open.iter().map(|open| open.turn).collect();
        inner.meter.recover(|turn| turns.contains(&turn), Timestamp::now()).await?;
        let found = open.len();
        for open in open {
            let name = open.session.agent();
            let agent = inner.agents.get(name.as_str()).cloned().unwrap_or_else(|| Agent::gone(&name));
            let topic = inner.hub.topic(&open.session);
            inner.lanes.reopen(open.session, open.turn, agent, topic);
        }
        if found > 0 {
            info!(turns = found, "turns that did not end are taken up again");
        }
        Ok(found)
    }

    /// Gives every agent these tools.
    #[cfg(test)]
    pub(super) fn offer(&self, tools: super::tools::AgentTools) {
        let tools = Arc::new(tools);
        self.inner.agents.values().for_each(|agent| agent.tools.set(Arc::clone(&tools)));
    }

    /// All agents, by name.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentInfo> {
        self.inner.agents.values().map(|agent| agent.info()).collect()
    }

    /// What is under way.
    #[must_use]
    pub fn load(&self) -> Load {
        self.inner.lanes.load()
    }

    /// Accepts nothing from now on, gives running turns until `within` to finish, tells the
    /// others, and returns when no turn is left.
    pub async fn drain(&self, within: Duration) {
        self.inner.lanes.drain(within).await;
    }
}
