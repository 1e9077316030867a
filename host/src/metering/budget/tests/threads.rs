//! Calls that really are side by side.

use std::sync::{Barrier, Mutex};

use super::*;

const THREADS: u64 = 64;
const CALLS: u64 = 40;

/// Numbers that look like chance.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn hundreds_of_calls_at_once_never_overspend_together() {
    let budgets = Budgets::new(config("daily = 200_000\nsession = 9_000\n[budgets.agents.default]\ndaily_usd = 1.5"));
    let books = Mutex::new(Books::default());
    let start = Barrier::new(THREADS.try_into().expect("a few"));
    let now = at("2026-11-22T12:00:00Z");
    let price = price();

    let one = |thread: u64| {
        let mut chance = thread + 1;
        start.wait();
        for index in 0..CALLS {
            let session =
                SessionKey::new("default", "clock", "x", &format!("p{}", next(&mut chance) % 40)).expect("a key");
            let scopes = CallScopes::new(&session, &CallCause::Message);
            let id = ModelCallId { turn: TurnId::new(now, thread), index: u32::try_from(index).expect("a few") };
            let (input, max) = (next(&mut chance) % 500, u32::try_from(next(&mut chance) % 500).expect("a few"));
            let ask = Ask {
                id,
                scopes: &scopes,
                provider: "p",
                model: "m",
                estimated_input: input,
                max_tokens: max,
                least_output: 20,
                price: Some(&price),
                caching: Caching::Long,
            };
            let granted = loop {
                match budgets.reserve(&ask, now) {
                    Err(BudgetError::NotLoaded(queries)) => {
                        for query in queries {
                            let spent = books.lock().expect("books").spent(&query.scope, query.span);
                            budgets.load(&query, spent, now);
                        }
                    }
                    other => break other,
                }
            };
            let Ok(granted) = granted else { continue };
            let mut call = ModelCall {
                id,
                session,
                provider: "p".into(),
                model: "m".into(),
                cause: CallCause::Message,
                estimate: used(input, granted.max_tokens.into()),
                reserved_cost: granted.reserved_cost,
                at: now,
            };
            call.estimate.cache_write_tokens = 0;
            books.lock().expect("books").begin(call);
            if next(&mut chance).is_multiple_of(8) {
                books.lock().expect("books").settle(id, TokenUsage::default(), Some(NanoDollars::ZERO));
                budgets.release(id);
            } else {
                let usage = used(input, next(&mut chance) % (u64::from(granted.max_tokens) + 1));
                let cost = Some(price.cost(&usage).cost);
                books.lock().expect("books").settle(id, usage, cost);
                let _ = budgets.settle(id, &usage, cost);
            }
        }
    };
    std::thread::scope(|scope| {
        (0..THREADS).for_each(|thread| {
            drop(scope.spawn({
                let one = &one;
                move || one(thread)
            }))
        })
    });

    let books = books.into_inner().expect("books");
    let rows = budgets.status(now);
    assert!(rows.iter().any(|row| row.left().amount() < 1_000), "no limit was ever near: {rows:?}");
    for row in rows {
        let span = Span::ALL;
        assert_eq!(row.used, books.spent(&row.scope, span).in_unit(row.limit.unit()), "{row:?}");
        assert_eq!(row.reserved.amount(), 0, "{row:?}");
        assert!(row.used.amount() <= row.limit.amount(), "{row:?}");
    }
}
