//! All that is kept, in and out, as rows.

mod export;
mod import;

use futures_util::future::{BoxFuture, FutureExt};

use super::SqliteStore;
use crate::store::{ExportCursor, Portable, Record, StoreError};

impl Portable for SqliteStore {
    fn export(
        &self,
        after: Option<ExportCursor>,
        bytes: usize,
    ) -> BoxFuture<'_, Result<(Vec<Record>, Option<ExportCursor>), StoreError>> {
        self.db.read(move |connection| export::page(connection, after, bytes)).boxed()
    }

    fn import(&self, records: Vec<Record>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.db
            .write(move |connection| records.into_iter().try_for_each(|record| import::one(connection, record)))
            .boxed()
    }
}

#[cfg(test)]
mod tests;
