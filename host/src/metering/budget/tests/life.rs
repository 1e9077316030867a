//! What is counted when: over midnights, warnings, repeats, crashes, and what is forgotten.

use std::time::Duration;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_day_begins_anew_at_the_owners_midnight_and_a_call_counts_for_the_day_it_began() {
    let mut desk = Desk::new("daily = 3_000\ntime_zone = 'Europe/Berlin'");
    desk.now = at("2026-11-22T22:59:59Z");
    let (late, _) = desk.begin(CALL).expect("a grant");
    assert_eq!(desk.refused(CALL).resets_at, Some(at("2026-11-22T23:00:00Z")));
    desk.now = at("2026-11-22T23:00:00Z");
    assert!(matches!(desk.budgets.windows_to_load(&scopes(CALL), desk.now)[..], [_]));
    desk.spend(CALL, 1_000, 500);
    desk.settle(late, used(1_000, 1_000));
    assert_eq!(desk.shown(), ["daily everything: 1500 tokens + 0 tokens of 3000 tokens"]);
    // What it was is in the ledger, on its own day.
    desk.now = at("2026-11-22T22:00:00Z");
    desk.crash();
    assert_eq!(desk.shown(), ["daily everything: 2000 tokens + 0 tokens of 3000 tokens"]);
}

fn scopes(want: Want) -> CallScopes {
    CallScopes::new(&want.session.parse().expect("a session"), &cause(want.plugin))
}

#[test]
fn a_threshold_is_told_once_and_of_several_the_highest() {
    let mut desk = Desk::new("warn_at = [100, 50, 80]\ndaily = 10_000\nmonthly_usd = 1");
    let told = |warnings: Vec<Warning>| warnings.iter().map(Warning::to_string).collect::<Vec<_>>();
    assert_eq!(told(desk.spend(CALL, 4_000, 999)), [""; 0]);
    assert_eq!(
        told(desk.spend(CALL, 1, 0)),
        [
            "50 % of the daily budget of everything are spent: 5000 tokens of 10000 tokens; it begins anew at 2026-11-23T00:00:00Z"
        ]
    );
    assert_eq!(told(desk.spend(CALL, 1, 0)), [""; 0]);
    // More than was set aside: past two thresholds at once.
    let both = desk.spend(Want { input: 1, max: 1, ..CALL }, 5_000, 0);
    assert_eq!(both.iter().map(|warning| warning.threshold.get()).collect::<Vec<_>>(), [100]);
    // Another day, and the month's money.
    desk.now = at("2026-11-23T12:00:00Z");
    let big = desk.spend(Want { input: 0, max: 1, ..CALL }, 0, 50_000);
    let told: Vec<_> =
        big.iter().map(|warning| (warning.period, warning.limit.unit(), warning.threshold.get())).collect();
    assert_eq!(told, [(Period::Day, Unit::Tokens, 100), (Period::Month, Unit::Usd, 50)]);
}

#[test]
fn what_was_told_before_a_restart_is_not_told_again() {
    let mut desk = Desk::new("daily = 10_000");
    assert_eq!(desk.spend(CALL, 8_000, 0).len(), 1);
    desk.crash();
    assert_eq!(desk.spend(CALL, 1, 0).len(), 0);
    assert_eq!(desk.status()[0].warned.map(crate::config::Percent::get), Some(80));
    assert_eq!(desk.spend(Want { input: 10, max: 10, ..CALL }, 2_000, 0).len(), 1);
}

#[test]
fn repeats_change_nothing() {
    let mut desk = Desk::new("daily = 10_000");
    let (id, granted) = desk.begin(CALL).expect("a grant");
    let session: SessionKey = CALL.session.parse().expect("a session");
    let scopes = CallScopes::new(&session, &CallCause::Message);
    let again = Ask {
        id,
        scopes: &scopes,
        provider: "p",
        model: "m",
        estimated_input: 9,
        max_tokens: 9,
        least_output: 9,
        price: None,
        caching: Caching::Off,
    };
    assert_eq!(desk.budgets.reserve(&again, desk.now), Ok(granted));
    assert_eq!(desk.shown(), ["daily everything: 0 tokens + 2000 tokens of 10000 tokens"]);
    for _ in 0..2 {
        desk.settle(id, used(100, 10));
        desk.budgets.release(id);
        assert_eq!(desk.shown(), ["daily everything: 110 tokens + 0 tokens of 10000 tokens"]);
    }
    let (id, _) = desk.begin(CALL).expect("a grant");
    for _ in 0..2 {
        desk.budgets.release(id);
        desk.settle(id, used(100, 10));
        assert_eq!(desk.shown(), ["daily everything: 110 tokens + 0 tokens of 10000 tokens"]);
    }
}

#[test]
fn a_crash_leaves_no_reservation_for_good_and_loses_none_that_counts() {
    let mut desk = Desk::new("session = 5_000\ndaily_usd = 1");
    desk.spend(CALL, 500, 100);
    let (open, _) = desk.begin(CALL).expect("a grant");
    // Set aside, but its record was not stored: no provider was asked.
    desk.ask(CALL).1.expect("a grant");
    desk.crash();
    assert_eq!(
        desk.shown(),
        [
            "daily everything: $0.003 + $0.018 of $1.00",
            "total session default:websocket:local:main: 600 tokens + 2000 tokens of 5000 tokens",
        ]
    );
    desk.settle(open, used(1_000, 1));
    desk.settle(open, used(1_000, 1));
    assert_eq!(
        desk.shown(),
        [
            "daily everything: $0.006015 + $0.00 of $1.00",
            "total session default:websocket:local:main: 1601 tokens + 0 tokens of 5000 tokens",
        ]
    );
}

#[test]
fn quiet_sessions_are_forgotten_and_found_again() {
    let mut desk = Desk::new("session = 5_000");
    let windows = |desk: &Desk| desk.budgets.status(desk.now).len();
    desk.spend(CALL, 500, 0);
    let (open, _) = desk.begin(Want { session: "default:websocket:local:open", ..CALL }).expect("a grant");
    desk.now = desk.now.plus(9 * MINUTE);
    desk.spend(Want { session: "default:websocket:local:other", ..CALL }, 1, 0);
    assert_eq!(windows(&desk), 3);
    desk.now = desk.now.plus(2 * MINUTE);
    desk.spend(Want { session: "default:websocket:local:other", ..CALL }, 1, 0);
    assert_eq!(windows(&desk), 2, "the one with a call under way stays, however long that takes");
    desk.settle(open, used(7, 0));
    assert_eq!(desk.begin(Want { max: 4_501, input: 0, ..CALL }).expect("a grant").1.max_tokens, 4_500);
}

#[test]
fn a_sum_that_may_be_too_old_is_not_taken() {
    let mut desk = Desk::new("session = 5_000");
    let session: SessionKey = CALL.session.parse().expect("a session");
    let scopes = CallScopes::new(&session, &CallCause::Message);
    // Asked for, and slow to come.
    let late = desk.budgets.windows_to_load(&scopes, desk.now);
    desk.spend(CALL, 4_000, 0);
    desk.now = desk.now.plus(11 * MINUTE);
    desk.spend(Want { session: "default:websocket:local:other", ..CALL }, 1, 0);
    for query in &late {
        desk.budgets.load(query, Spent::default(), desk.now);
    }
    assert_eq!(desk.budgets.windows_to_load(&scopes, desk.now).len(), 1);
    assert_eq!(desk.refused(CALL).used, Quantity::Tokens(4_000));
    // What is known already stays as it is.
    for query in desk.budgets.windows_to_load(&scopes, desk.now).iter().chain(&late) {
        desk.budgets.load(query, Spent::default(), desk.now);
    }
    assert_eq!(desk.refused(CALL).used, Quantity::Tokens(4_000));
}

#[test]
fn nothing_is_granted_before_what_was_spent_is_known() {
    let desk = Desk::new("daily = 10_000\nmonthly = 20_000");
    let session: SessionKey = CALL.session.parse().expect("a session");
    let scopes = CallScopes::new(&session, &CallCause::Message);
    let id = ModelCallId { turn: TurnId::new(Timestamp(1), 1), index: 0 };
    let ask = Ask {
        id,
        scopes: &scopes,
        provider: "p",
        model: "m",
        estimated_input: 1,
        max_tokens: 1,
        least_output: 1,
        price: None,
        caching: Caching::Off,
    };
    let Err(BudgetError::NotLoaded(queries)) = desk.budgets.reserve(&ask, desk.now) else { panic!("a grant") };
    assert_eq!(queries, desk.budgets.windows_to_load(&scopes, desk.now));
    let spans: Vec<_> = queries.iter().map(|query| (query.period, query.span.from, query.span.until)).collect();
    let days = (at("2026-11-22T00:00:00Z"), Some(at("2026-11-23T00:00:00Z")));
    let months = (at("2026-11-01T00:00:00Z"), Some(at("2026-12-01T00:00:00Z")));
    assert_eq!(spans, [(Period::Day, days.0, days.1), (Period::Month, months.0, months.1)]);
}
