//! Requests, one task each.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, Id, JoinSet};

use super::ActionError;
use crate::channel::outward::{NoFiles, Outward};
use crate::runtime::bindings::channel::{Outbound, Outcome, TaggedResponse, TransportError};

pub(super) struct Requests {
    limit: usize,
    tasks: JoinSet<Outcome>,
    current: HashMap<String, AbortHandle>,
    /// Only those of the current ones.
    tags: HashMap<Id, String>,
}

impl Requests {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, tasks: JoinSet::new(), current: HashMap::new(), tags: HashMap::new() }
    }

    pub(super) fn start(&mut self, out: &Arc<Outward>, tag: String, request: Outbound) -> Result<(), ActionError> {
        self.cancel(&tag);
        if self.current.len() >= self.limit {
            return Err(ActionError::TooMany { what: "requests", limit: self.limit });
        }
        let out = Arc::clone(out);
        // A channel's own request has no files: those are a delivery's.
        let task = self.tasks.spawn(async move { out.send(&request, &NoFiles).await });
        self.tags.insert(task.id(), tag.clone());
        self.current.insert(tag, task);
        Ok(())
    }

    pub(super) fn cancel(&mut self, tag: &str) {
        if let Some(task) = self.current.remove(tag) {
            self.tags.remove(&task.id());
            task.abort();
        }
    }

    pub(super) fn clear(&mut self) {
        self.current.clear();
        self.tags.clear();
        self.tasks.abort_all();
    }

    pub(super) async fn next(&mut self) -> TaggedResponse {
        loop {
            let (id, outcome) = match self.tasks.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, outcome))) => (id, outcome),
                Some(Err(lost)) => {
                    // Its text says where; a channel only needs to know that it can't know.
                    tracing::error!(error = %lost, "a channel's request ended without an answer");
                    (lost.id(), Err(TransportError::Unanswered("the gateway lost the request".to_owned())))
                }
            };
            if let Some(tag) = self.tags.remove(&id) {
                self.current.remove(&tag);
                return TaggedResponse { tag, outcome };
            }
        }
    }

    pub(super) async fn all_done(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    pub(super) async fn end(&mut self) {
        self.clear();
        self.tasks.shutdown().await;
    }
}
