//! What the outbox needs of the channel's way out.

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::runtime::bindings::channel::{Outbound, Outcome, TaggedOutboundFrame, TransportError};
use crate::store::SessionKey;

/// Sends requests to the platform.
pub(in crate::channel) trait Sends: Send + Sync + 'static {
    /// Sends one request and has its whole answer, within the request's own timeout. The files that it
    /// names are those of `session`; without one there are none.
    fn send<'a>(&'a self, request: &'a Outbound, session: Option<&'a SessionKey>) -> BoxFuture<'a, Outcome>;
}

/// A frame of a delivery, for one of the channel's connections.
#[derive(Debug)]
pub(in crate::channel) struct DeliveryFrame {
    /// What, and for which connection.
    pub(in crate::channel) frame: TaggedOutboundFrame,
    /// Whether it was written. [`TransportError::NotSent`] where no byte of it was.
    pub(in crate::channel) result: oneshot::Sender<Result<(), TransportError>>,
}
