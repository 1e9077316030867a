//! What calls consumed, added up in a map. It outlives records, and is bounded by itself.

use std::collections::BTreeMap;

use super::ledger::Records;
use crate::store::usage::{QUARTER, Span, UsageRows, split};
use crate::store::{
    CallCause, ModelCall, ModelCallEnd, Page, SessionKey, UsageGroup, UsageKey, UsageQuery, UsageRow, UsageSums,
};

/// Sums that are kept, one for each kind of call in a quarter of an hour. Those of the oldest quarter go: some
/// 40 MB in all.
const MOST: usize = 100_000;

/// Which calls a sum is over, within its quarter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    session: SessionKey,
    cause: CallCause,
    provider: String,
    model: String,
}

/// The sums, by the beginning of their quarter.
#[derive(Debug)]
pub(super) struct Sums {
    quarters: BTreeMap<u64, BTreeMap<Kind, UsageSums>>,
    /// How many there are.
    sums: usize,
    most: usize,
}

impl Default for Sums {
    fn default() -> Self {
        Self { quarters: BTreeMap::new(), sums: 0, most: MOST }
    }
}

impl Kind {
    fn of(call: &ModelCall) -> Self {
        let ModelCall { session, cause, provider, model, .. } = call.clone();
        Self { session, cause, provider, model }
    }

    fn is_wanted(&self, query: &UsageQuery) -> bool {
        query.filter.admits(&self.session, &self.cause, &self.provider, &self.model)
    }

    fn key(&self, query: &UsageQuery) -> Option<UsageKey> {
        query.group.key(&self.session, &self.cause, &self.provider, &self.model)
    }
}

impl Sums {
    /// Adds a call that ended. Each is added once, by whoever keeps its record.
    pub(super) fn add(&mut self, call: &ModelCall, end: &ModelCallEnd) {
        let quarter = self.quarters.entry(call.at.0 - call.at.0 % QUARTER).or_default();
        let before = quarter.len();
        quarter.entry(Kind::of(call)).or_default().add(&UsageSums::of(call.at, end));
        self.sums += quarter.len() - before;
        if self.sums > self.most
            && let Some((_, oldest)) = self.quarters.pop_first()
        {
            self.sums -= oldest.len();
        }
    }

    fn within(&self, span: Span) -> impl Iterator<Item = (&Kind, &UsageSums)> {
        self.quarters.range(span).flat_map(|(_, quarter)| quarter)
    }
}

/// A page of sums.
pub(super) fn page(records: &Records, sums: &Sums, query: &UsageQuery) -> Page<UsageRow, UsageKey> {
    let mut rows = UsageRows::new();
    match &query.group {
        UsageGroup::Days(bounds) => {
            for (key, day) in query.days(bounds) {
                collect(records, sums, query, &day, &mut rows, |_| Some(key.clone()));
                if rows.len() > query.limit {
                    break;
                }
            }
        }
        _ => collect(records, sums, query, &query.span(), &mut rows, |kind| kind.key(query)),
    }
    query.page(rows)
}

/// Adds to rows what calls in a span consumed.
fn collect(
    records: &Records,
    sums: &Sums,
    query: &UsageQuery,
    span: &Span,
    rows: &mut UsageRows,
    key: impl Fn(&Kind) -> Option<UsageKey>,
) {
    let mut add = |kind: &Kind, sums: &UsageSums| {
        if let Some(key) = Some(kind).filter(|kind| kind.is_wanted(query)).and_then(&key) {
            rows.entry(key).or_default().add(sums);
        }
    };
    let (whole, edges) = split(span, QUARTER);
    if let Some(whole) = whole {
        sums.within(whole).for_each(|(kind, sums)| add(kind, sums));
    }
    if edges.is_empty() {
        return;
    }
    for record in records.after(None) {
        if let Some(end) = &record.end
            && edges.iter().any(|edge| edge.contains(&record.call.at.0))
        {
            add(&Kind::of(&record.call), &UsageSums::of(record.call.at, end));
        }
    }
}
