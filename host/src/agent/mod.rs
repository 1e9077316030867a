//! The agent: from a message that was accepted to the end of its turn.

mod api;

pub use api::{AgentInfo, Dispatcher, Load, Peer, Submission, SubmitError, Submitted, Ticket};
