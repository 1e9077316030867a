//! All that is kept, in and out, in maps.

mod export;
mod import;

use futures_util::future::BoxFuture;

use super::{MemoryStore, done};
use crate::store::{ExportCursor, Portable, Record, StoreError};

impl Portable for MemoryStore {
    fn export(
        &self,
        after: Option<ExportCursor>,
        bytes: usize,
    ) -> BoxFuture<'_, Result<(Vec<Record>, Option<ExportCursor>), StoreError>> {
        done(export::page(&self.state(), after.as_ref(), bytes))
    }

    fn import(&self, records: Vec<Record>) -> BoxFuture<'_, Result<(), StoreError>> {
        done(import::all(&mut self.state(), records, self.limits))
    }
}
