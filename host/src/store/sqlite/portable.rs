//! All that is kept, in and out, as rows.

use futures_util::future::BoxFuture;

use super::SqliteStore;
use crate::store::{ExportCursor, Portable, Record, StoreError};

impl Portable for SqliteStore {
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
