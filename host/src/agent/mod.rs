//! The agent: from a message that was accepted to the end of its turn.
//!
//! The [`Dispatcher`] finds the agent for a message, stores the message, and puts its turn into
//! the lane of its session. A lane runs one turn at a time, in the order in which the messages
//! were stored; all lanes run side by side. A turn belongs to no connection: it ends whether or
//! not anyone watches. Nor does it belong to a process: one that was cut goes on at the next start
//! ([`Dispatcher::recover`]).

mod accept;
mod agents;
mod attachments;
mod context;
mod courier;
mod dispatch;
mod intake;
mod job;
mod lane;
mod notices;
mod opening;
mod progress;
mod reply;
mod route;
mod tools;
mod toolset;
mod turn;

#[cfg(test)]
mod tests;

pub use agents::{AgentInfo, BuildError, NoModel};
pub use attachments::{Attachments, FetchError, MAX_HANDLE};
pub use courier::{Courier, Letter, LetterContent, Passage};
pub use dispatch::{Dispatcher, Parts, Peer, Submission, SubmitError, Submitted};
pub use intake::{Admission, Admitted};
pub use job::Ticket;
pub use lane::Load;
pub use route::{Contradiction, Router};
pub use tools::UnknownTool;

use agents::Agent;
