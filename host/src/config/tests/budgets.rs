//! `[budgets]` and `[prices]` as their owner writes them.

use super::*;
use crate::config::{Limit, Limits, ModelPattern, PeerName, Percent, PriceTier, Rates};
use crate::money::NanoDollars;

fn read(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// What is wrong with the only mistake of a text, and what to do.
fn wrong(text: &str) -> String {
    let errors = parse(text).expect_err(text);
    assert_eq!(errors.count(), 1, "{errors}");
    let (what, printed) = (errors.iter().next().map(|error| error.what().to_owned()), errors.to_string());
    let help = printed.rsplit_once('^').map_or("", |(_, help)| help.trim());
    format!("{} | {help}", what.unwrap_or_default())
}

fn dollars(text: &str) -> NanoDollars {
    text.parse().expect("dollars")
}

#[test]
fn one_line_sets_a_budget() {
    let budgets = read("[budgets]\ndaily_usd = 2.5").budgets;
    assert_eq!(budgets.all.daily, Limit { tokens: None, cost: Some(dollars("2.5")) });
    assert_eq!((budgets.all.monthly, budgets.session), (Limit::default(), Limit::default()));
    assert_eq!(budgets.warn_at.iter().map(|percent| percent.get()).collect::<Vec<_>>(), [80, 100]);
}

#[test]
fn amounts_are_read_as_they_are_written() {
    for (written, nanos) in [
        ("0.1", 100_000_000),
        ("0.000000001", 1),
        ("1_000.000_000_001", 1_000_000_000_001),
        ("12", 12_000_000_000),
        ("1e-3", 1_000_000),
        ("'$0.30'", 300_000_000),
        ("+0.7", 700_000_000),
        ("18446744073.709551615", u64::MAX),
    ] {
        let limit = read(&format!("[budgets]\ntotal_usd = {written}")).budgets.all.total;
        assert_eq!(limit.cost.map(NanoDollars::as_nanos), Some(nanos), "{written}");
    }
    for (written, what) in [
        ("0.0000000001", "an amount of money has at most 9 decimals"),
        ("-1", "an amount of money is not negative"),
        ("1e11", "an amount of money is at most 18446744073 dollars"),
        ("inf", "expected an amount of dollars such as 5 or 0.25"),
        ("'much'", "expected an amount of dollars such as 5 or 0.25"),
        ("true", "expected an amount of dollars such as 5 or 0.25, found true or false"),
    ] {
        let told = wrong(&format!("[budgets]\ntotal_usd = {written}"));
        assert_eq!(told, format!("{what} | \"none\" is without end"));
    }
}

#[test]
fn each_scope_has_limits_of_its_own() {
    let budgets = read(
        "[agents.coder]\n[budgets]\nsession = 1_000\nwarn_at = [100, 50]\ntime_zone = 'europe/berlin'\n\
         warn_to = ['default:clock:bot:12%3A3']\n[budgets.agents.coder]\ntotal = 1\n[budgets.channels.websocket]\ndaily = 2\n\
         [budgets.peers]\ndaily = 3\nmonthly_usd = 4\n[budgets.peers.'clock:a:b']\ndaily = 'none'\n[budgets.plugins.echo]\n\
         monthly = 5",
    )
    .budgets;
    let tokens = |tokens| Limit { tokens: Some(tokens), cost: None };
    assert_eq!(budgets.session, tokens(1_000));
    assert_eq!(budgets.warn_at.first().copied(), Percent::new(50));
    assert_eq!(budgets.time_zone.iana_name(), Some("Europe/Berlin"));
    let [told] = &budgets.warn_to[..] else { panic!("{:?}", budgets.warn_to) };
    assert_eq!((told.agent.as_str(), &*told.channel, &*told.account, &*told.peer), ("default", "clock", "bot", "12:3"));
    assert_eq!(budgets.agents.get("coder"), Some(&Limits { total: tokens(1), ..Limits::default() }));
    assert_eq!(budgets.channels.get("websocket"), Some(&Limits { daily: tokens(2), ..Limits::default() }));
    let monthly = Limit { tokens: None, cost: Some(dollars("4")) };
    assert_eq!(budgets.each_peer, Limits { daily: tokens(3), monthly, total: Limit::default() });
    // What the one does not say is what holds for each.
    let name = PeerName { channel: "clock".into(), peer: "a:b".into() };
    assert_eq!(budgets.peers.get(&name), Some(&Limits { monthly, ..Limits::default() }));
    assert_eq!(budgets.plugins.get("echo"), Some(&Limits { monthly: tokens(5), ..Limits::default() }));
}

#[test]
fn names_that_do_not_exist_are_answered_with_the_nearest() {
    for (text, told) in [
        ("[agents.coder]\n[budgets.agents.codr]", "there is no agent `codr` | did you mean [budgets.agents.coder]?"),
        ("[budgets.agents.x9]", "there is no agent `x9` | describe it in [agents.x9]"),
        ("[budgets.plugins.clok]", "there is no plugin `clok` | did you mean [budgets.plugins.clock]?"),
        ("[budgets.channels.websoket]", "there is no channel `websoket` | did you mean `websocket`?"),
        ("[budgets.peers.'clok:1']", "there is no channel `clok` | did you mean `clock`?"),
        (
            "[budgets.peers.ann]",
            "expected a key of [budgets.peers], or a peer's table | a peer is \"CHANNEL:PEER\": \
             [budgets.peers.\"telegram:123456789\"]",
        ),
        ("[budgets.peers]\ndialy = 1", "unknown key `dialy` in [budgets.peers] | did you mean `daily`?"),
        ("[budgets]\nhourly = 1", "unknown key `hourly` in [budgets]"),
        (
            "[budgets]\ntime_zone = 'Europe/Berln'",
            "expected a time zone of the IANA database | did you mean \"Europe/Berlin\"?",
        ),
        ("[budgets]\nwarn_to = ['defalt:a:b:c']", "the session's agent does not exist | did you mean \"default:…\"?"),
        (
            "[prices]\n'opnai/x' = { input = 1, output = 1 }",
            "no provider has the name before the `/` | did you mean \"openai/…\"?",
        ),
        ("[prices]\n'openai/x' = { input = 1 }", "`output` is missing in [prices.openai/x]"),
        (
            "[prices]\n'openai/x' = { input = 1, ouput = 1, output = 1 }",
            "unknown key `ouput` in [prices.openai/x] | did you mean `output`?",
        ),
        ("[prices]\ngpt-5 = { input = 1, output = 1 }", "expected \"PROVIDER/MODEL\", such as \"openai/gpt-5-mini\""),
        (
            "[prices]\n'openai/*-5' = { input = 1, output = 1 }",
            "expected \"PROVIDER/MODEL\", such as \"openai/gpt-5-mini\"",
        ),
    ] {
        let got = wrong(text);
        assert!(got.starts_with(told), "{text}:\n{got}\n{told}");
    }
}

#[test]
fn one_line_prices_a_model() {
    let config = read(
        "[providers.ollama]\nkind = 'openai'\n[prices]\n\"openai/my-model\" = { input = 1.25, output = 10 }\n\
         \"ollama/*\" = { input = 0, output = 0 }\n\"anthropic/a/b\" = { input = 1, output = 2, cache_read = 0.1, \
         cache_write = 1.25, tiers = [{ above = 200, input = 3, output = 4 }, { above = 100, input = 2, output = 3 }] }",
    );
    let [tiered, free, plain] = &config.prices[..] else { panic!("{:?}", config.prices) };
    let flat = |input, output| {
        let (input, output) = (dollars(input), dollars(output));
        Rates { input, output, cache_read: input, cache_write: input, cache_write_1h: input }
    };
    assert_eq!((&*plain.provider, &plain.model), ("openai", &ModelPattern::Name("my-model".into())));
    assert_eq!((plain.rates, &plain.tiers[..]), (flat("1.25", "10"), &[][..]));
    assert_eq!((&free.model, free.rates), (&ModelPattern::Prefix(String::new()), flat("0", "0")));
    assert_eq!(tiered.model, ModelPattern::Name("a/b".into()));
    let cache_write = dollars("1.25");
    let cached = Rates { cache_read: dollars("0.1"), cache_write, cache_write_1h: cache_write, ..flat("1", "2") };
    assert_eq!(tiered.rates, cached);
    let tier = |above, input, output| PriceTier { above, rates: flat(input, output) };
    assert_eq!(tiered.tiers, [tier(100, "2", "3"), tier(200, "3", "4")]);
}
