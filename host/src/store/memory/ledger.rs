//! The ledger, in maps.

use futures_util::future::BoxFuture;

use super::MemoryStore;
use crate::store::{Ledger, LedgerFilter, LedgerRecord, ModelCallId, Page, StoreError};

impl Ledger for MemoryStore {
    fn ledger<'a>(
        &'a self,
        filter: &'a LedgerFilter,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord, ModelCallId>, StoreError>> {
        todo!()
    }
}
