//! A store that stands over another and stops, or fails, at a chosen transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::{self, BoxFuture, FutureExt};
use tokio_util::sync::CancellationToken;

use crate::store::*;

/// What happens at which transaction, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Never,
    /// The process is gone before the transaction happened.
    Before(usize),
    /// The process is gone after it happened, and nobody was told.
    After(usize),
    /// So many transactions fail, from this one on.
    Sick(usize, usize),
}

pub(super) struct Flaky {
    inner: DynStore,
    fault: Fault,
    transactions: AtomicUsize,
    halted: CancellationToken,
}

impl Flaky {
    pub(super) fn new(inner: DynStore, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner, fault, transactions: AtomicUsize::new(0), halted: CancellationToken::new() })
    }

    /// Returns when the process would be gone. Nothing happens in the store from then on.
    pub(super) async fn halted(&self) {
        self.halted.cancelled().await;
    }

    /// Transactions so far.
    pub(super) fn transactions(&self) -> usize {
        self.transactions.load(Ordering::SeqCst)
    }

    fn write<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce() -> BoxFuture<'a, Result<T, StoreError>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        if self.halted.is_cancelled() {
            return future::pending().boxed();
        }
        let index = self.transactions.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Before(at) if index == at => {
                self.halted.cancel();
                future::pending().boxed()
            }
            Fault::After(at) if index == at => async move {
                let _ = operation().await;
                self.halted.cancel();
                future::pending().await
            }
            .boxed(),
            Fault::Sick(at, times) if (at..at + times).contains(&index) => {
                future::ready(Err(StoreError::Sick(Sickness::DiskFull { place: "the test".into() }))).boxed()
            }
            _ => operation(),
        }
    }

    fn read<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce() -> BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        if self.halted.is_cancelled() { future::pending().boxed() } else { operation() }
    }
}

impl PluginData for Flaky {
    fn kv_get<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<Option<KvValue>, StoreError>> {
        self.inner.kv_get(space, key)
    }
    fn kv_set(&self, set: KvSet) -> BoxFuture<'_, Result<KvOutcome, StoreError>> {
        self.inner.kv_set(set)
    }
    fn kv_delete<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.kv_delete(space, key)
    }
    fn kv_keys<'a>(
        &'a self,
        space: &'a KvSpace,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<KvKey>, StoreError>> {
        self.inner.kv_keys(space, prefix, after, limit)
    }
}

impl SessionFiles for Flaky {
    fn file_create(&self, file: NewFile) -> BoxFuture<'_, Result<FileOutcome, StoreError>> {
        self.inner.file_create(file)
    }
    fn file_append(&self, append: FileAppend) -> BoxFuture<'_, Result<FileOutcome, StoreError>> {
        self.inner.file_append(append)
    }
    fn file_stat<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
    ) -> BoxFuture<'a, Result<Option<FileRecord>, StoreError>> {
        self.inner.file_stat(session, id)
    }
    fn file_read<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
        offset: u64,
        length: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        self.inner.file_read(session, id, offset, length)
    }
    fn file_remove<'a>(&'a self, session: &'a SessionKey, ids: &'a [FileId]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.file_remove(session, ids)
    }
}

impl Channels for Flaky {
    fn channel_state<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        self.inner.channel_state(channel)
    }
    fn seen<'a>(
        &'a self,
        channel: &'a str,
        event: &'a EventId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.inner.seen(channel, event, now)
    }
    fn channel_commit(&self, commit: ChannelCommit) -> BoxFuture<'_, Result<Vec<IncomingOutcome>, StoreError>> {
        self.inner.channel_commit(commit)
    }
    fn set_aside<'a>(
        &'a self,
        channel: Option<&'a str>,
        after: Option<SetAsideId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SetAside, SetAsideId>, StoreError>> {
        self.inner.set_aside(channel, after, limit)
    }
    fn set_aside_remove(&self, id: SetAsideId) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.inner.set_aside_remove(id)
    }
}

impl Outbox for Flaky {
    fn delivery_open(&self, delivery: NewDelivery) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.inner.delivery_open(delivery)
    }
    fn delivery_update(&self, update: DeliveryUpdate) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.inner.delivery_update(update)
    }
    fn delivery(&self, id: DeliveryId) -> BoxFuture<'_, Result<Option<Delivery>, StoreError>> {
        self.inner.delivery(id)
    }
    fn deliveries<'a>(
        &'a self,
        filter: &'a DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<Delivery, DeliveryId>, StoreError>> {
        self.inner.deliveries(filter, after, limit)
    }
    fn deliveries_due<'a>(
        &'a self,
        channel: &'a str,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, StoreError>> {
        self.inner.deliveries_due(channel, now, limit)
    }
}

impl Pairings for Flaky {
    fn pairing<'a>(&'a self, writer: &'a Writer, now: Timestamp) -> BoxFuture<'a, Result<Option<Pairing>, StoreError>> {
        self.inner.pairing(writer, now)
    }
    fn pairings<'a>(
        &'a self,
        channel: Option<&'a str>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Pairing>, StoreError>> {
        self.inner.pairings(channel, now)
    }
    fn pairing_approve<'a>(
        &'a self,
        code: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<Pairing>, StoreError>> {
        self.inner.pairing_approve(code, now)
    }
    fn pairing_remove<'a>(&'a self, writer: &'a Writer) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.inner.pairing_remove(writer)
    }
}

impl Ledger for Flaky {
    fn ledger<'a>(
        &'a self,
        filter: &'a LedgerFilter,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord, ModelCallId>, StoreError>> {
        self.inner.ledger(filter, after, limit)
    }
    fn unsettled(
        &self,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<ModelCall, ModelCallId>, StoreError>> {
        self.inner.unsettled(after, limit)
    }
    fn settle(&self, ends: Vec<ModelCallEnd>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write(move || self.inner.settle(ends))
    }
    fn usage(&self, query: UsageQuery) -> BoxFuture<'_, Result<Page<UsageRow, UsageKey>, StoreError>> {
        self.inner.usage(query)
    }
    fn token_factors(&self) -> BoxFuture<'_, Result<Vec<TokenFactor>, StoreError>> {
        self.inner.token_factors()
    }
    fn save_token_factor(&self, factor: TokenFactor) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.save_token_factor(factor)
    }
}

impl Recall for Flaky {
    fn fact_add(&self, fact: NewFact) -> BoxFuture<'_, Result<FactId, StoreError>> {
        self.inner.fact_add(fact)
    }
    fn fact_forget<'a>(&'a self, owner: &'a str, id: FactId) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.inner.fact_forget(owner, id)
    }
    fn facts<'a>(
        &'a self,
        owner: &'a str,
        after: Option<FactId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>> {
        self.inner.facts(owner, after, limit)
    }
    fn fact_search<'a>(
        &'a self,
        owner: &'a str,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>> {
        self.inner.fact_search(owner, text, limit)
    }
    fn message_search<'a>(
        &'a self,
        session: &'a SessionKey,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        self.inner.message_search(session, text, limit)
    }
}

impl Portable for Flaky {
    fn export(
        &self,
        after: Option<ExportCursor>,
        bytes: usize,
    ) -> BoxFuture<'_, Result<(Vec<Record>, Option<ExportCursor>), StoreError>> {
        self.inner.export(after, bytes)
    }
    fn import(&self, records: Vec<Record>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.import(records)
    }
}

impl Store for Flaky {
    fn take_over(&self) -> BoxFuture<'_, Result<Epoch, StoreError>> {
        self.write(move || self.inner.take_over())
    }
    fn accept(&self, accept: Accept) -> BoxFuture<'_, Result<Accepted, StoreError>> {
        self.write(move || self.inner.accept(accept))
    }
    fn append(&self, step: Step) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write(move || self.inner.append(step))
    }
    fn dispatch(&self, dispatch: Dispatch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write(move || self.inner.dispatch(dispatch))
    }
    fn answered(&self, answered: CallAnswered) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write(move || self.inner.answered(answered))
    }
    fn finish(&self, end: TurnEnd) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write(move || self.inner.finish(end))
    }
    fn open_turns(&self, after: Option<OpenTurn>, limit: usize) -> BoxFuture<'_, Result<Vec<OpenTurn>, StoreError>> {
        self.read(move || self.inner.open_turns(after, limit))
    }
    fn resume(&self, resume: Resume) -> BoxFuture<'_, Result<Option<TurnState>, StoreError>> {
        self.write(move || self.inner.resume(resume))
    }
    fn recent<'a>(
        &'a self,
        session: &'a SessionKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        self.read(move || self.inner.recent(session, limit))
    }
    fn history<'a>(
        &'a self,
        session: &'a SessionKey,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<StoredMessage, Position>, StoreError>> {
        self.read(move || self.inner.history(session, before, limit))
    }
    fn events<'a>(
        &'a self,
        session: &'a SessionKey,
        turn: Option<TurnId>,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Event>>, StoreError>> {
        self.read(move || self.inner.events(session, turn, after, limit))
    }
    fn reserve_seq(&self, count: u64) -> BoxFuture<'_, Result<Seq, StoreError>> {
        self.write(move || self.inner.reserve_seq(count))
    }
    fn session<'a>(&'a self, session: &'a SessionKey) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreError>> {
        self.read(move || self.inner.session(session))
    }
    fn sessions<'a>(
        &'a self,
        after: Option<&'a SessionKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SessionRecord, SessionKey>, StoreError>> {
        self.read(move || self.inner.sessions(after, limit))
    }
    fn reset<'a>(&'a self, session: &'a SessionKey, now: Timestamp) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.read(move || self.inner.reset(session, now))
    }
    fn delete<'a>(&'a self, session: &'a SessionKey, epoch: Epoch) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.write(move || self.inner.delete(session, epoch))
    }
    fn retain(&self, retention: Retention) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.read(move || self.inner.retain(retention))
    }
    fn health(&self) -> Health {
        self.inner.health()
    }
    fn permanence(&self) -> Permanence {
        Permanence::Durable
    }
}
