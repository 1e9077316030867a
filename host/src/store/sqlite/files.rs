//! Files of sessions, as rows.

use futures_util::future::BoxFuture;

use super::SqliteStore;
use crate::store::{FileAppend, FileId, FileOutcome, FileRecord, NewFile, SessionFiles, SessionKey, StoreError};

impl SessionFiles for SqliteStore {
    fn file_create(&self, file: NewFile) -> BoxFuture<'_, Result<FileOutcome, StoreError>> {
        todo!()
    }

    fn file_append(&self, append: FileAppend) -> BoxFuture<'_, Result<FileOutcome, StoreError>> {
        todo!()
    }

    fn file_stat<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
    ) -> BoxFuture<'a, Result<Option<FileRecord>, StoreError>> {
        todo!()
    }

    fn file_read<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
        offset: u64,
        length: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        todo!()
    }

    fn file_remove<'a>(&'a self, session: &'a SessionKey, ids: &'a [FileId]) -> BoxFuture<'a, Result<(), StoreError>> {
        todo!()
    }
}
