//! What the layers above use of the agent.

use std::time::Duration;

use crate::bus::Hub;
use crate::store::{DynStore, ErrorCode, SessionKey, StoreError, TurnId};

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
pub struct Submitted {
    /// Its turn.
    pub turn: TurnId,
    /// Its session.
    pub session: SessionKey,
    /// Present when the turn is new. It starts when the ticket is used or dropped, so that the
    /// answer to the sender can go first.
    pub ticket: Option<Ticket>,
}

/// A turn that is stored and not yet announced.
pub struct Ticket(());

impl Ticket {
    /// Announces the turn and puts it into its session's lane.
    pub fn start(self) {}
}

/// Why a message was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SubmitError {
    /// The code that a client is given; none where the parameters were wrong.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        Some(ErrorCode::Internal)
    }
}

/// An agent, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct AgentInfo {
    /// Its name.
    pub name: String,
    /// The models that it asks, the first first.
    pub models: Vec<String>,
    /// The tools that it may use.
    pub tools: Vec<String>,
    /// Why it cannot answer, where it cannot.
    pub problem: Option<String>,
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Load {
    /// Turns that run.
    pub running: usize,
    /// Turns that wait.
    pub queued: usize,
}

/// Accepts messages, and runs their turns: one at a time in a session, all sessions side by side.
/// Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    hub: Hub,
    store: DynStore,
}

impl Dispatcher {
    /// A dispatcher that runs no turns.
    #[must_use]
    pub fn idle(hub: Hub, store: DynStore) -> Self {
        Self { hub, store }
    }

    /// The events of all sessions.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What is kept.
    #[must_use]
    pub fn store(&self) -> &DynStore {
        &self.store
    }

    /// Stores a message and opens its turn.
    ///
    /// # Errors
    /// Nothing was stored; the error says why.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let _ = submission;
        unimplemented!()
    }

    /// Stops a turn, or every turn of a session. When it returns, nothing more of a stopped turn
    /// is read from its provider and no call of it is dispatched. Says whether there was one.
    pub async fn abort(&self, session: &SessionKey, turn: Option<TurnId>) -> bool {
        let _ = (session, turn);
        false
    }

    /// Stops the session's turns and begins its context anew. Says whether there is such a session.
    ///
    /// # Errors
    /// The store failed.
    pub async fn reset(&self, session: &SessionKey) -> Result<bool, StoreError> {
        let _ = session;
        Ok(false)
    }

    /// All agents, by name.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentInfo> {
        Vec::new()
    }

    /// What is under way.
    #[must_use]
    pub fn load(&self) -> Load {
        Load { running: 0, queued: 0 }
    }

    /// Accepts nothing from now on, gives running turns until the deadline to finish, tells the
    /// others, and returns when no turn is left.
    pub async fn drain(&self, within: Duration) {
        let _ = within;
    }
}
