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

/// A call that reached no provider.
fn fail(budgets: &Budgets, books: &Mutex<Books>, id: ModelCallId) {
    books.lock().expect("books").settle(id, TokenUsage::default(), Some(NanoDollars::ZERO));
    budgets.release(id);
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
        let mut open: Vec<(ModelCallId, u64, u32)> = Vec::new();
        let end = |(id, input, max): (ModelCallId, u64, u32), chance: &mut u64| {
            let said = match next(chance) % 4 {
                0 => return fail(&budgets, &books, id),
                1 => next(chance) % (u64::from(max) + 1),
                _ => max.into(),
            };
            let usage = used(input, said);
            let cost = Some(price.cost(&usage).cost);
            books.lock().expect("books").settle(id, usage, cost);
            let _ = budgets.settle(id, &usage, cost);
        };
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
                            let spent = books.lock().expect("books").sum(&query.scope, query.span);
                            budgets.load(&query, spent, now);
                        }
                    }
                    other => break other,
                }
            };
            if let Ok(granted) = granted {
                books.lock().expect("books").begin(ModelCall {
                    id,
                    session,
                    provider: "p".into(),
                    model: "m".into(),
                    cause: CallCause::Message,
                    estimate: used(input, granted.max_tokens.into()),
                    reserved_cost: granted.reserved_cost,
                    at: now,
                });
                open.push((id, input, granted.max_tokens));
            }
            if open.len() > 4 {
                let index = usize::try_from(next(&mut chance)).expect("31 bits") % open.len();
                end(open.swap_remove(index), &mut chance);
            }
        }
        open.into_iter().for_each(|call| end(call, &mut chance));
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
    let near = |row: &BudgetRow| row.left().amount() < row.limit.amount() / 10;
    assert!(rows.iter().any(near), "no limit was ever near: {rows:?}");
    for row in rows {
        let span = Span::ALL;
        assert_eq!(row.used, books.spent(&row.scope, span).in_unit(row.limit.unit()), "{row:?}");
        assert_eq!(row.reserved.amount(), 0, "{row:?}");
        assert!(row.used.amount() <= row.limit.amount(), "{row:?}");
    }
}
