//! Who spends: every scope that a call counts in.

use std::fmt;
use std::sync::Arc;

use crate::config::PluginName;
use crate::store::{CallCause, SessionKey};

/// Something whose spending has a sum of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Everything.
    All,
    /// One session.
    Session(SessionKey),
    /// All sessions of an agent, by its name.
    Agent(Arc<str>),
    /// All sessions on a channel, by its name.
    Channel(Arc<str>),
    /// All sessions with a peer, whichever agents they are with.
    Peer {
        /// The channel's name.
        channel: Arc<str>,
        /// The account on it: the same name on another may be somebody else's.
        account: Arc<str>,
        /// The peer, as the platform names it.
        peer: Arc<str>,
    },
    /// The calls that read what this plugin's tools returned.
    Plugin(PluginName),
}

impl Scope {
    /// What it is: `all`, `session`, `agent`, `channel`, `peer` or `plugin`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Session(_) => "session",
            Self::Agent(_) => "agent",
            Self::Channel(_) => "channel",
            Self::Peer { .. } => "peer",
            Self::Plugin(_) => "plugin",
        }
    }

    /// Which one, unless it is everything. A peer is `CHANNEL:ACCOUNT:PEER`.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Session(session) => Some(session.to_string()),
            Self::Agent(name) | Self::Channel(name) => Some(name.to_string()),
            Self::Peer { channel, account, peer } => Some(format!("{channel}:{account}:{peer}")),
            Self::Plugin(name) => Some(name.to_string()),
        }
    }

    /// Whether there are as many of its kind as there are people, so that the idle ones are forgotten.
    pub(super) fn is_numerous(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Peer { .. })
    }
}

/// `everything`, `agent coder`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            None => f.write_str("everything"),
            Some(name) => write!(f, "{} {}", self.kind(), crate::text::one_line(&name, 120)),
        }
    }
}

/// All scopes of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallScopes(Vec<Scope>);

impl CallScopes {
    /// The scopes of a call that is made in a session, for a cause.
    #[must_use]
    pub fn new(session: &SessionKey, cause: &CallCause) -> Self {
        let channel: Arc<str> = session.channel().into();
        let mut scopes = vec![
            Scope::All,
            Scope::Session(session.clone()),
            Scope::Agent(session.agent().into()),
            Scope::Channel(Arc::clone(&channel)),
            Scope::Peer { channel, account: session.account().into(), peer: session.peer().into() },
        ];
        if let CallCause::Plugin(name) = cause {
            scopes.push(Scope::Plugin(name.clone()));
        }
        Self(scopes)
    }

    /// Each of them, once.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}
