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
mod channels;
mod counts;
mod directory;
mod driver;
mod gate;
mod line;
mod outbox;
mod outward;
mod post;
mod route;
#[cfg(test)]
mod testing;
mod transport;
mod way_out;
pub mod webhook;

pub use attachments::AttachmentDesk;
pub use channels::{ChannelError, Channels};
pub use directory::{ChannelDirectory, ChannelStatus, NoChannels, Received, ReplayError, Sent, WebhookStatus};
pub use line::ChannelHealth;
pub use outbox::{OrderError, OutboxEntry, OutboxList, OutboxState};
pub use outward::SetupError;
pub use post::Post;
