//! The store adds up what is counted here.

use super::*;
use crate::store::{CallOutcome, Ledger, LedgerRecord, MemoryLimits, MemoryStore, ModelCallEnd, Portable, Record};

#[tokio::test]
async fn a_window_is_the_same_sum_here_and_in_the_store() -> Result<(), Box<dyn std::error::Error>> {
    let mut desk = Desk::new(
        "session = 90_000\ndaily = 90_000\nmonthly_usd = 9\n[budgets.agents.coder]\ntotal = 90_001\n\
         [budgets.channels.clock]\ndaily_usd = 9\n[budgets.peers]\nmonthly = 90_003\n[budgets.plugins.echo]\ntotal = 90_005",
    );
    let others = Want { session: "coder:clock:x:a%3Ab", plugin: Some("echo"), ..CALL };
    for (at_time, want, input) in [
        ("2026-10-31T23:59:59.999Z", CALL, 1),
        ("2026-11-01T00:00:00Z", others, 10),
        ("2026-11-21T23:59:59.999Z", CALL, 100),
        ("2026-11-22T00:00:00Z", others, 1_000),
        ("2026-11-22T09:07:00Z", Want { session: "default:clock:y:a%3Ab", ..CALL }, 10_000),
    ] {
        desk.now = at(at_time);
        desk.spend(want, input, 1);
    }
    let store = MemoryStore::new(MemoryLimits::default());
    for Row { call, spent, .. } in desk.books.0.values() {
        let end = spent.map(|Amount { tokens, cost }| ModelCallEnd {
            id: call.id,
            tokens: used(tokens, 0),
            estimated: false,
            cost: Some(cost),
            price: Some("test".into()),
            cache_saving: Some(0),
            outcome: CallOutcome::Finished,
            at: call.at,
        });
        store.import(vec![Record::Ledger { entry: LedgerRecord { call: call.clone(), end } }]).await?;
    }
    let again = Budgets::new(desk.config.clone());
    let mut rows = 0;
    for call in desk.books.0.values() {
        for query in again.windows_to_load(&call.scopes, desk.now) {
            let spent = store.spent(query.filter(), Some(query.span.from), query.span.until).await?;
            again.load(&query, spent, desk.now);
        }
    }
    for row in again.status(desk.now) {
        let span = spans(&desk).into_iter().find(|(period, _)| *period == row.period).map(|(_, span)| span);
        let here = desk.books.spent(&row.scope, span.ok_or("a span")?).in_unit(row.limit.unit());
        assert_eq!(row.used, here, "{row:?}");
        assert!(row.used.amount() > 0, "{row:?}");
        rows += 1;
    }
    // Three sessions, the day and the month of all, an agent, a channel, three peers, a plugin.
    assert_eq!(rows, 3 + 2 + 1 + 1 + 3 + 1);
    Ok(())
}

fn spans(desk: &Desk) -> [(Period, Span); 3] {
    let mut calendar = super::super::calendar::Calendar::new(desk.config.time_zone.clone());
    [Period::Day, Period::Month, Period::Total].map(|period| (period, calendar.span(period, desk.now)))
}
