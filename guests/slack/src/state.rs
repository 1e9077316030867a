//! What the channel remembers between events.

use serde::{Deserialize, Serialize};

/// Kept by the host. What an earlier version left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The bot's user id, from `auth.test`.
    pub me: Option<String>,
    /// How the connection stands.
    pub link: Link,
}

/// Of Socket Mode; of no use after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Which of the two tags the newest connection has.
    pub odd: bool,
    /// It has said hello.
    pub is_up: bool,
    /// The one before it is open still.
    pub has_old: bool,
    /// Attempts in a row that did not come to a hello.
    pub failures: u32,
}
