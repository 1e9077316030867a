//! What is kept of an agent's sessions, and for how long.

use std::time::Duration;

use super::Timestamp;
use crate::config::{AgentName, ByteSize};

/// What is kept of an agent's sessions. Absent means without end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The agent.
    pub agent: AgentName,
    /// Messages, their turns and events go when they are older; a session goes when it is empty and was
    /// not used for so long.
    pub max_age: Option<Duration>,
    /// The messages of one session together, as they are stored; the oldest turns go first.
    pub max_size: Option<ByteSize>,
    /// When.
    pub now: Timestamp,
}
