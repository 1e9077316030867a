//! What is granted, and what is not.

use super::*;

#[test]
fn without_budgets_everything_is_granted_and_nothing_is_counted() {
    let mut desk = Desk::new("");
    let (_, granted) = desk.begin(CALL).expect("a grant");
    assert_eq!((granted.max_tokens, granted.reserved_cost), (1_000, "0.018".parse().ok()));
    assert_eq!(desk.status(), []);
}

#[test]
fn a_call_is_shortened_to_what_is_left_and_refused_where_that_makes_no_sense() {
    let mut desk = Desk::new("daily = 5_000");
    desk.spend(CALL, 1_000, 1_000);
    // 3,000 are left: all of one call, and half of another.
    assert_eq!(desk.begin(CALL).expect("a grant").1.max_tokens, 1_000);
    let (_, late) = desk.ask(Want { input: 600, ..CALL });
    assert_eq!(late.expect("a grant").max_tokens, 400);
    let shortage = desk.refused(Want { input: 1, least: 1, ..CALL });
    assert_eq!(
        shortage.to_string(),
        "the daily budget of everything has too little left: 2000 tokens of 5000 tokens are used, 3000 tokens are set \
         aside for calls under way, and this call needs at least 2 tokens; it begins anew at 2026-11-23T00:00:00Z"
    );
    assert!(shortage.is_momentary());
}

#[test]
fn a_short_answer_that_is_all_that_was_wanted_makes_sense() {
    let mut desk = Desk::new("total = 110");
    let want = Want { input: 100, max: 10, least: 256, ..CALL };
    assert_eq!(desk.begin(want).expect("a grant").1.max_tokens, 10);
    assert!(desk.ask(want).1.is_err());
}

#[test]
fn a_refused_call_sets_nothing_aside_in_any_scope() {
    let mut desk =
        Desk::new("daily = 10_000\n[budgets.agents.default]\ndaily = 100\n[budgets.agents.coder]\ndaily = 9_000");
    desk.refused(CALL);
    assert_eq!(
        desk.shown(),
        [
            "daily everything: 0 tokens + 0 tokens of 10000 tokens",
            "daily agent coder: 0 tokens + 0 tokens of 9000 tokens",
            "daily agent default: 0 tokens + 0 tokens of 100 tokens",
        ]
    );
}

#[test]
fn money_is_spent_to_the_last_nano_dollar_and_not_beyond() {
    // 1,000 in cost $0.003; what is left buys 133.3 tokens out.
    let mut desk = Desk::new("daily_usd = 0.005");
    let (id, granted) = desk.begin(Want { least: 100, ..CALL }).expect("a grant");
    assert_eq!((granted.max_tokens, granted.reserved_cost), (133, "0.004995".parse().ok()));
    desk.settle(id, used(1_000, 133));
    let shortage = desk.refused(Want { input: 2, least: 0, max: 0, ..CALL });
    assert_eq!((shortage.used.to_string(), shortage.needed.to_string()), ("$0.004995".into(), "$0.000006".into()));
    assert!(!shortage.is_momentary());
    assert!(desk.begin(Want { input: 1, least: 0, max: 0, ..CALL }).is_ok());
}

#[test]
fn what_may_be_written_to_the_cache_is_reserved_at_that_price() {
    let reserved = |caching| price().most(1_000, 0, caching).to_string();
    assert_eq!([Caching::Off, Caching::Short, Caching::Long].map(reserved), ["$0.003", "$0.00375", "$0.006"]);
}

#[test]
fn a_price_that_is_not_known_is_refused_under_a_budget_in_dollars_alone() {
    let unpriced = Want { priced: false, ..CALL };
    let mut desk = Desk::new("monthly = 100_000\n[budgets.plugins.clock]\nmonthly_usd = 5");
    assert_eq!(desk.begin(unpriced).expect("a grant").1.reserved_cost, None);
    let error = desk.ask(Want { plugin: Some("clock"), ..unpriced }).1.expect_err("a refusal");
    assert_eq!(
        error.to_string(),
        "the monthly budget of plugin clock is in dollars, and the price of anthropic/claude is not known: say under \
         [prices] in the config what a million tokens cost, \"anthropic/claude\" = { input = DOLLARS, output = DOLLARS }"
    );
    assert!(desk.begin(Want { plugin: Some("clock"), ..CALL }).is_ok());
}

#[test]
fn the_refusal_tells_the_budget_that_begins_anew_last() {
    let mut desk = Desk::new("daily = 10\nmonthly = 10\n[budgets.agents.default]\ndaily = 10");
    let shortage = desk.refused(CALL);
    assert_eq!((shortage.period, shortage.resets_at), (Period::Month, Some(at("2026-12-01T00:00:00Z"))));
    let mut desk = Desk::new("daily = 10\nsession = 10\nmonthly = 10");
    let shortage = desk.refused(CALL);
    assert_eq!((shortage.period, shortage.resets_at), (Period::Total, None));
    assert!(shortage.to_string().ends_with("it does not begin anew by itself: raise it in [budgets]"), "{shortage}");
}

#[test]
fn each_session_agent_channel_peer_and_plugin_has_a_sum_of_its_own() {
    let mut desk = Desk::new(
        "session = 9_000\n[budgets.agents.coder]\ntotal = 9_001\n[budgets.channels.clock]\ntotal = 9_002\n\
         [budgets.peers]\ndaily = 9_003\n[budgets.peers.'clock:a:b']\ntotal = 9_004\n[budgets.plugins.echo]\ntotal = 9_005",
    );
    desk.spend(Want { session: "coder:clock:x:a%3Ab", ..CALL }, 100, 1);
    desk.spend(Want { session: "default:clock:x:a%3Ab", ..CALL }, 200, 2);
    desk.spend(Want { session: "default:websocket:local:main", plugin: Some("echo"), ..CALL }, 300, 3);
    assert_eq!(
        desk.shown(),
        [
            "total session coder:clock:x:a%3Ab: 101 tokens + 0 tokens of 9000 tokens",
            "total session default:clock:x:a%3Ab: 202 tokens + 0 tokens of 9000 tokens",
            "total session default:websocket:local:main: 303 tokens + 0 tokens of 9000 tokens",
            "total agent coder: 101 tokens + 0 tokens of 9001 tokens",
            "total channel clock: 303 tokens + 0 tokens of 9002 tokens",
            "daily peer clock:x:a:b: 303 tokens + 0 tokens of 9003 tokens",
            "total peer clock:x:a:b: 303 tokens + 0 tokens of 9004 tokens",
            "daily peer websocket:local:main: 303 tokens + 0 tokens of 9003 tokens",
            "total plugin echo: 303 tokens + 0 tokens of 9005 tokens",
        ]
    );
}

#[test]
fn a_peer_may_be_let_off_what_holds_for_each() {
    let mut desk = Desk::new(
        "[budgets.peers]\ndaily = 10\n[budgets.peers.'clock:boss']\ndaily = 'none'\n[budgets.peers.'clock:guest']\ntotal = 5",
    );
    assert!(desk.begin(Want { session: "default:clock:x:boss", ..CALL }).is_ok());
    desk.refused(Want { session: "default:clock:x:other", ..CALL });
    assert_eq!(desk.refused(Want { session: "default:clock:x:guest", ..CALL }).limit, Quantity::Tokens(5));
}

#[test]
fn a_limit_of_nothing_lets_nothing_through() {
    let mut desk = Desk::new("[budgets.channels.websocket]\ntotal = 0");
    desk.refused(Want { input: 1, max: 0, ..CALL });
    assert!(desk.begin(Want { session: "default:clock:x:y", ..CALL }).is_ok());
}
