//! What channels keep, in maps.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::MemoryStore;
use crate::store::{ChannelCommit, Channels, IncomingOutcome, Page, SetAside, SetAsideId, StoreError};

impl Channels for MemoryStore {
    fn channel_state<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        todo!()
    }

    fn channel_commit(&self, commit: ChannelCommit) -> BoxFuture<'_, Result<Vec<IncomingOutcome>, StoreError>> {
        todo!()
    }

    fn set_aside<'a>(
        &'a self,
        channel: Option<&'a str>,
        after: Option<SetAsideId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SetAside, SetAsideId>, StoreError>> {
        todo!()
    }

    fn set_aside_remove(&self, id: SetAsideId) -> BoxFuture<'_, Result<bool, StoreError>> {
        todo!()
    }
}
