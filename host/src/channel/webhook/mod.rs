//! Webhooks: calls of a platform, verified before any guest code runs, and answered when what came
//! of them is stored.
//!
//! A call passes: its method; its head's verification, before a byte of the body is read; a place
//! among the channel's calls; its body, bounded in size and time; the verification of that; a look
//! whether it is a replay. Only then the channel's driver gets it, one at a time, and the platform its
//! answer. A stranger costs the host a bounded amount of memory and a digest, and the guest nothing.

mod body;
mod counts;
mod endpoint;
mod keys;
mod replay;
pub mod verify;

use std::time::Duration;

use tokio::sync::oneshot;

pub use counts::WebhookReading;
pub use endpoint::{Endpoint, EndpointParts, Outcome};
pub use verify::{Verifier, VerifierError};

use crate::runtime::bindings::types;

/// A verified call, for a channel's driver.
#[derive(Debug)]
pub struct WebhookCall {
    /// Without what says who the caller is: its secret, its token.
    pub request: types::Request,
    /// Dropped, it is an answer too: come again.
    pub answer: oneshot::Sender<WebhookAnswer>,
}

/// What a driver says to a call, once all that follows from it is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum WebhookAnswer {
    /// The channel's own reply; 200 without one.
    Reply(Option<types::Response>),
    /// 400: the channel cannot read it, and will not the next time.
    InvalidInput,
    /// 200: nothing is to be done about it.
    Unsupported,
    /// 200: the channel did not get past it; its owner can have it replayed.
    SetAside,
    /// 503: nothing of it is stored.
    Unavailable {
        /// When the platform had better try again.
        retry_in: Duration,
    },
}

/// Where the gateway finds the webhooks of channels.
pub trait Webhooks: Send + Sync + 'static {
    /// The webhook of a channel. Nothing where there is no such channel, and where it has none.
    fn endpoint(&self, channel: &str) -> Option<Endpoint>;
}
