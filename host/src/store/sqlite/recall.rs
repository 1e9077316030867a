//! Facts, and what is found by its words, as rows.

use futures_util::future::BoxFuture;

use super::SqliteStore;
use crate::store::{Fact, FactId, NewFact, Recall, SessionKey, StoreError, StoredMessage};

impl Recall for SqliteStore {
    fn fact_add(&self, fact: NewFact) -> BoxFuture<'_, Result<FactId, StoreError>> {
        todo!()
    }

    fn fact_forget<'a>(&'a self, owner: &'a str, id: FactId) -> BoxFuture<'a, Result<bool, StoreError>> {
        todo!()
    }

    fn facts<'a>(
        &'a self,
        owner: &'a str,
        after: Option<FactId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>> {
        todo!()
    }

    fn fact_search<'a>(
        &'a self,
        owner: &'a str,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>> {
        todo!()
    }

    fn message_search<'a>(
        &'a self,
        session: &'a SessionKey,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        todo!()
    }
}
