//! What the channel remembers between events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All of it; the default is a channel that was never connected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub phase: Phase,
    /// Names the connection among all that there ever were.
    pub connection: String,
    /// Messages on this connection that the server gave no id.
    pub unnamed: u64,
    /// What the agent is called now.
    pub nick: String,
    /// What the server offers of what we want, while it is still listing it.
    pub offered: Vec<String>,
    /// Connections in a row that did not come to be ready.
    pub failures: u32,
    /// Channels that it could not join, with the server's reasons.
    pub troubles: BTreeMap<String, String>,
}

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    #[default]
    Offline,
    /// Connected, not welcome yet.
    Registering,
    /// Logged in, not welcome yet.
    Identified,
    /// Welcome.
    Ready,
}
