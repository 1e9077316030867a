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
    /// Which of two tags the newest connection has: one is opened before the other is given up.
    pub odd: bool,
    /// Attempts in a row that did not come to a hello.
    pub failures: u32,
}
