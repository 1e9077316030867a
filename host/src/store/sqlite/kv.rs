//! Keys and values of plugins, as rows.

use futures_util::future::BoxFuture;

use super::SqliteStore;
use crate::store::{KvKey, KvOutcome, KvSet, KvSpace, KvValue, PluginData, StoreError};

impl PluginData for SqliteStore {
    fn kv_get<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<Option<KvValue>, StoreError>> {
        todo!()
    }

    fn kv_set(&self, set: KvSet) -> BoxFuture<'_, Result<KvOutcome, StoreError>> {
        todo!()
    }

    fn kv_delete<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<(), StoreError>> {
        todo!()
    }

    fn kv_keys<'a>(
        &'a self,
        space: &'a KvSpace,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<KvKey>, StoreError>> {
        todo!()
    }
}
