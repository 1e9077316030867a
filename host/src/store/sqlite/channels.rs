//! What channels keep, as rows.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::SqliteStore;
use crate::store::{ChannelCommit, Channels, IncomingOutcome, Page, SetAside, SetAsideId, StoreError};

impl Channels for SqliteStore {
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

/// Forgets events that have passed their window, at most `limit`, and says how many.
pub(super) fn forget(
    connection: &rusqlite::Connection,
    now: crate::store::Timestamp,
    limit: usize,
) -> super::error::SqlResult<usize> {
    let _ = (connection, now, limit);
    Ok(0)
}
