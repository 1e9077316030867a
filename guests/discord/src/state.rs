//! What the channel remembers between events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::places::Waiting;

/// Kept by the host. What an earlier version left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// To be resumed, where there is one.
    pub session: Option<Session>,
    /// The last dispatch's `s`.
    pub seq: Option<u64>,
    /// The bot's user id.
    pub me: Option<String>,
    /// By guild: the role that Discord made for the bot; none where it can't be known.
    pub roles: BTreeMap<String, Option<String>>,
    /// Channels of guilds: of a thread, the channel that it is in.
    pub channels: BTreeMap<String, Option<String>>,
    /// What waits for its channel to be known.
    pub waiting: Vec<Waiting>,
    /// How the connection stands.
    pub link: Link,
}

/// Of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: String,
    /// Where it is resumed.
    pub url: Option<String>,
}

/// Of no use after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// From the hello; none before it.
    pub interval_ms: Option<u32>,
    /// Whether the last heartbeat was acknowledged.
    pub acked: bool,
    /// Attempts in a row that led to no session.
    pub failures: u32,
}
