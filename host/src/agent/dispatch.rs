//! Where messages come in: finds the agent, stores the message, puts its turn into a lane.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::agents::{self, Agent, AgentInfo, BuildError, NoModel};
use super::lane::{LaneLimits, Lanes, Load, Refused, Ticket};
use super::route::Router;
use super::turn::Shared;
use crate::bus::Hub;
use crate::config::{AgentName, ByteSize, Config};
use crate::provider::{Jitter, Providers};
use crate::runtime::Registry;
use crate::store::{
    Accept, Accepted, DynStore, Epoch, ErrorCode, Idempotency, KeyError, Message, Role, SessionKey, StoreError,
    Timestamp, TurnId,
};

/// The longest idempotency key, in bytes.
pub(super) const MAX_IDEMPOTENCY_KEY: usize = 256;

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
    /// Under which a repeat is recognised.
    pub idempotency_key: Option<String>,
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
            Self::Store(_) => Some(ErrorCode::Internal),
        }
    }
}

/// What a dispatcher is made of.
pub struct Parts<'a> {
    /// The owner's config.
    pub config: &'a Config,
    /// What is kept.
    pub store: DynStore,
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
        let Parts { config, store, .. } = parts;
        let limits = &config.limits;
        let shared = Arc::new(Shared { store: Arc::clone(&store) });
        let lanes = LaneLimits { running: limits.turns, queued: limits.queued, queued_total: limits.queued_total };
        Ok(Self {
            inner: Arc::new(Inner {
                hub: Hub::new(Arc::clone(&store), config.gateway.queue),
                store,
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
        let size = submission.content.len();
        if submission.content.trim().is_empty() {
            return Err(SubmitError::Empty);
        }
        if size > inner.content.bytes() {
            return Err(SubmitError::TooLarge { size, limit: inner.content });
        }
        let agent = self.agent(&submission)?;
        agent.ready()?;
        let peer = &submission.peer;
        let session = SessionKey::new(agent.name.as_str(), &peer.channel, &peer.account, &peer.peer)?;
        let idempotency = idempotency(&submission)?;

        let entry = inner.lanes.enter(&session).await.map_err(|refused| match refused {
            Refused::Draining => SubmitError::Draining,
            Refused::SessionFull => SubmitError::SessionFull { limit: inner.queued },
            Refused::Full => SubmitError::Full { limit: inner.queued_total },
        })?;
        let topic = inner.hub.topic(&session);
        // Before the message is stored: once it is, nothing may fail.
        topic.reserve().await?;
        let now = Timestamp::now();
        let turn = TurnId::new(now, chance());
        let accept = Accept {
            session: session.clone(),
            turn,
            message: Arc::new(Message::text(Role::User, submission.content)),
            idempotency,
            epoch: Epoch(0),
            now,
        };
        match inner.store.accept(accept).await? {
            Accepted::New => {
                let ticket = Some(entry.put(turn, agent, topic));
                Ok(Submitted { turn, session, ticket })
            }
            Accepted::Duplicate(turn) => Ok(Submitted { turn, session, ticket: None }),
            Accepted::KeyReused => Err(SubmitError::KeyReused),
        }
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
        self.abort(session, None).await;
        self.inner.lanes.idle(session).await;
        self.inner.store.reset(session, Timestamp::now()).await
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

/// 64 random bits. Turn ids need to differ, not to be secret, so a machine without a source of
/// randomness falls back to the process's hash keys.
fn chance() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    getrandom::u64().unwrap_or_else(|_| RandomState::new().build_hasher().finish())
}

fn idempotency(submission: &Submission) -> Result<Option<Idempotency>, SubmitError> {
    let Some(key) = &submission.idempotency_key else { return Ok(None) };
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY {
        return Err(SubmitError::Key(key.len()));
    }
    let Peer { channel, account, peer, guild, team } = &submission.peer;
    let mut digest = Sha256::new();
    let optional = [&submission.agent, guild, team].map(|part| part.as_deref());
    let parts = [Some(&*submission.content), Some(channel), Some(account), Some(peer)];
    for part in parts.into_iter().chain(optional) {
        // Lengths keep neighbours apart, and an absent part from an empty one.
        digest.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
        digest.update(part.unwrap_or_default());
    }
    Ok(Some(Idempotency { key: key.clone(), digest: digest.finalize().into() }))
}
