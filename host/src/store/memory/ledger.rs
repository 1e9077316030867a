//! The ledger, in maps. It outlives sessions, and so it is bounded by itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use futures_util::future::BoxFuture;

use super::{MemoryStore, done, page};
use crate::store::{Ledger, LedgerEntry, LedgerFilter, LedgerRecord, ModelCall, ModelCallId, Page, StoreError, TurnId};

/// Records that are kept of calls that ended, and as many of calls whose end never came. The oldest
/// go: some 40 MB of the one and of the other.
const MOST: usize = 100_000;

/// The records.
#[derive(Debug)]
pub(super) struct Records {
    records: BTreeMap<ModelCallId, LedgerRecord>,
    /// In the order in which they ended.
    settled: VecDeque<ModelCallId>,
    unsettled: BTreeSet<ModelCallId>,
    most: usize,
}

impl Default for Records {
    fn default() -> Self {
        Self::bounded(MOST)
    }
}

impl Records {
    fn bounded(most: usize) -> Self {
        Self { records: BTreeMap::new(), settled: VecDeque::new(), unsettled: BTreeSet::new(), most }
    }

    /// Makes a change.
    pub(super) fn apply(&mut self, entry: LedgerEntry) {
        match entry {
            LedgerEntry::Begin(call) => self.insert(LedgerRecord { call, end: None }),
            LedgerEntry::Settle(end) => {
                let running = self.records.get_mut(&end.id).filter(|record| record.end.is_none());
                if let Some(record) = running {
                    self.unsettled.remove(&end.id);
                    self.settled.push_back(end.id);
                    record.end = Some(end);
                    self.forget();
                }
            }
        }
    }

    /// Takes a record in, unless there is one.
    pub(super) fn insert(&mut self, record: LedgerRecord) {
        let id = record.call.id;
        if self.records.contains_key(&id) {
            return;
        }
        if record.end.is_some() {
            self.settled.push_back(id);
        } else {
            self.unsettled.insert(id);
        }
        self.records.insert(id, record);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{CallCause, CallOutcome, ModelCallEnd, SessionKey, Timestamp, TokenUsage};

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
