//! All that is kept, in and out, in maps.

use futures_util::future::BoxFuture;

use super::MemoryStore;
use crate::store::{ExportCursor, Portable, Record, StoreError};

impl Portable for MemoryStore {
    fn export(
        &self,
        after: Option<ExportCursor>,
        bytes: usize,
    ) -> BoxFuture<'_, Result<(Vec<Record>, Option<ExportCursor>), StoreError>> {
        todo!()
    }

    fn import(&self, records: Vec<Record>) -> BoxFuture<'_, Result<(), StoreError>> {
        todo!()
    }
}
