//! The way of a delivery's requests: the channel's own, with the files of the delivery's session.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::outbox::Sends;
use super::outward::{NoFiles, Outward, SessionSource};
use crate::runtime::bindings::channel::{Outbound, Outcome};
use crate::store::{DynStore, SessionKey};

/// A channel's way out, as its outbox has it.
pub(super) struct WayOut {
    pub(super) outward: Arc<Outward>,
    pub(super) store: DynStore,
}

impl Sends for WayOut {
    fn send<'a>(&'a self, request: &'a Outbound, session: Option<&'a SessionKey>) -> BoxFuture<'a, Outcome> {
        async move {
            match session {
                Some(session) => {
                    let files = SessionSource { store: Arc::clone(&self.store), session: session.clone() };
                    self.outward.send(request, &files).await
                }
                None => self.outward.send(request, &NoFiles).await,
            }
        }
        .boxed()
    }
}
