//! The ledger, in maps. It outlives sessions, and so it is bounded by itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use futures_util::future::BoxFuture;

use super::usage::{self, Sums};
use super::{MemoryStore, State, done, page};
use crate::store::{
    Ledger, LedgerEntry, LedgerFilter, LedgerRecord, ModelCall, ModelCallEnd, ModelCallId, Page, StoreError,
    TokenFactor, TurnId, UsageKey, UsageQuery, UsageRow,
};

/// Records that are kept of calls that ended, and as many of calls whose end never came. The oldest
/// go: some 40 MB of the one and of the other.
const MOST: usize = 100_000;

/// The records, and what is added up of them.
#[derive(Debug)]
pub(super) struct Records {
    records: BTreeMap<ModelCallId, LedgerRecord>,
    /// In the order in which they ended.
    settled: VecDeque<ModelCallId>,
    unsettled: BTreeSet<ModelCallId>,
    most: usize,
    sums: Sums,
}

impl Default for Records {
    fn default() -> Self {
        Self::bounded(MOST)
    }
}

impl Records {
    fn bounded(most: usize) -> Self {
        let (records, settled, unsettled) = (BTreeMap::new(), VecDeque::new(), BTreeSet::new());
        Self { records, settled, unsettled, most, sums: Sums::default() }
    }

    /// Makes a change.
    pub(super) fn apply(&mut self, entry: LedgerEntry) {
        match entry {
            LedgerEntry::Begin(call) => self.insert(LedgerRecord { call, end: None }),
            LedgerEntry::Settle(end) => self.settle(end),
        }
    }

    fn settle(&mut self, end: ModelCallEnd) {
        let running = self.records.get_mut(&end.id).filter(|record| record.end.is_none());
        if let Some(record) = running {
            let end = end.bounded();
            self.unsettled.remove(&end.id);
            self.settled.push_back(end.id);
            self.sums.add(&record.call, &end);
            record.end = Some(end);
            self.forget();
        }
    }

    /// Takes a record in, unless there is one.
    pub(super) fn insert(&mut self, record: LedgerRecord) {
        let id = record.call.id;
        if self.records.contains_key(&id) {
            return;
        }
        let (call, end) = (record.call.bounded(), record.end.map(ModelCallEnd::bounded));
        match &end {
            Some(end) => {
                self.settled.push_back(id);
                self.sums.add(&call, end);
            }
            None => {
                self.unsettled.insert(id);
            }
        }
        self.records.insert(id, LedgerRecord { call, end });
        self.forget();
    }

    fn forget(&mut self) {
        if self.settled.len() > self.most
            && let Some(oldest) = self.settled.pop_front()
        {
            self.records.remove(&oldest);
        }
        if self.unsettled.len() > self.most
            && let Some(oldest) = self.unsettled.pop_first()
        {
            self.records.remove(&oldest);
        }
    }

    /// The calls of a turn that did not end.
    pub(super) fn unsettled(&self, turn: TurnId) -> Vec<ModelCall> {
        let all = ModelCallId { turn, index: 0 }..=ModelCallId { turn, index: u32::MAX };
        let records = self.unsettled.range(all).filter_map(|id| self.records.get(id));
        records.map(|record| record.call.clone()).collect()
    }

    /// All calls that did not end, behind `after`, in the order of their ids.
    fn all_unsettled(&self, after: Option<ModelCallId>) -> impl Iterator<Item = &ModelCall> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = self.unsettled.range((from, Bound::Unbounded));
        ids.filter_map(|id| self.records.get(id)).map(|record| &record.call)
    }

    /// The records behind `after`, in the order of their ids.
    pub(super) fn after(&self, after: Option<ModelCallId>) -> impl Iterator<Item = &LedgerRecord> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.records.range((from, Bound::Unbounded)).map(|(_, record)| record)
    }

    /// How many calls a turn began.
    pub(super) fn begun(&self, turn: TurnId) -> u32 {
        let all = ModelCallId { turn, index: 0 }..=ModelCallId { turn, index: u32::MAX };
        self.records.range(all).next_back().map_or(0, |(id, _)| id.index.saturating_add(1))
    }
}

impl Ledger for MemoryStore {
    fn ledger<'a>(
        &'a self,
        filter: &'a LedgerFilter,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord, ModelCallId>, StoreError>> {
        let LedgerFilter { session, since, until } = filter;
        let state = self.state();
        let wanted = state.ledger.after(after).filter(|LedgerRecord { call, .. }| {
            session.as_ref().is_none_or(|session| *session == call.session)
                && since.is_none_or(|since| call.at >= since)
                && until.is_none_or(|until| call.at < until)
        });
        let (items, more) = page(wanted.cloned(), limit);
        let next = items.last().filter(|_| more).map(|record| record.call.id);
        done(Ok(Page { items, next }))
    }

    fn unsettled(
        &self,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<ModelCall, ModelCallId>, StoreError>> {
        let (items, more) = page(self.state().ledger.all_unsettled(after).cloned(), limit);
        let next = items.last().filter(|_| more).map(|call| call.id);
        done(Ok(Page { items, next }))
    }

    fn settle(&self, ends: Vec<ModelCallEnd>) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut state = self.state();
        ends.into_iter().for_each(|end| state.ledger.settle(end));
        done(Ok(()))
    }

    fn usage(&self, query: UsageQuery) -> BoxFuture<'_, Result<Page<UsageRow, UsageKey>, StoreError>> {
        let state = self.state();
        done(Ok(usage::page(&state.ledger, &state.ledger.sums, &query)))
    }

    fn token_factors(&self) -> BoxFuture<'_, Result<Vec<TokenFactor>, StoreError>> {
        done(Ok(self.state().token_factors.values().cloned().collect()))
    }

    fn save_token_factor(&self, factor: TokenFactor) -> BoxFuture<'_, Result<(), StoreError>> {
        self.state().save_token_factor(factor);
        done(Ok(()))
    }
}

impl State {
    /// Keeps what was learnt of a model. There are as many as a config ever named.
    pub(super) fn save_token_factor(&mut self, factor: TokenFactor) {
        self.token_factors.insert((factor.provider.clone(), factor.model.clone()), factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{CallCause, CallOutcome, SessionKey, Timestamp, TokenUsage};

    #[test]
    fn the_oldest_records_go_and_calls_that_run_stay() {
        let mut records = Records::bounded(2);
        let id = |at| ModelCallId { turn: TurnId::new(Timestamp(at), 0), index: 0 };
        for at in 0..5 {
            let call = ModelCall {
                id: id(at),
                session: SessionKey::main("a"),
                provider: "p".into(),
                model: "m".into(),
                cause: CallCause::Message,
                estimate: TokenUsage::default(),
                reserved_cost: None,
                at: Timestamp(at),
            };
            records.apply(LedgerEntry::Begin(call));
            let end = ModelCallEnd {
                id: id(at),
                tokens: TokenUsage::default(),
                estimated: false,
                cost: None,
                price: None,
                cache_saving: None,
                outcome: CallOutcome::Finished,
                at: Timestamp(at),
            };
            if at > 0 {
                records.apply(LedgerEntry::Settle(end));
            }
        }
        let kept: Vec<_> = records.after(None).map(|record| record.call.id).collect();
        assert_eq!(kept, [id(0), id(3), id(4)]);
        assert_eq!(records.unsettled(id(0).turn).len(), 1);
    }
}
