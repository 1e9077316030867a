//! The ledger, as rows.

use futures_util::future::BoxFuture;

use super::SqliteStore;
use crate::store::{Ledger, LedgerFilter, LedgerRecord, ModelCallId, Page, StoreError};

impl Ledger for SqliteStore {
    fn ledger<'a>(
        &'a self,
        filter: &'a LedgerFilter,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord, ModelCallId>, StoreError>> {
        todo!()
    }
}
