//! Drives channels: what they want of the world is done here, and what the world says they are told.
//!
//! A channel is a pure function over events and a state; so is each of its deliveries. One task a
//! channel, its driver, hands it one event at a time, stores what it made of it (its state, the
//! messages for the agent, the platform's receipts) in one transaction, and only then does what it
//! asked for and answers the platform. What a crash takes is repeated by the platform, whose event
//! ids tell repeats apart.
//!
//! - `transport/`: requests, connections and timers, each under the channel's own tags;
//! - `webhook/`: calls of the platform, verified before any guest code runs;
//! - `gate/`: who may write, and what the host answers itself;
//! - `outbox/`: answers on their way to the platform, until they are settled.

mod attachments;
mod line;
mod outward;
mod route;
mod transport;

pub use attachments::AttachmentDesk;
pub use line::ChannelHealth;
