//! Costs to the nano-dollar.

use proptest::prelude::*;

use super::*;
use crate::config::{Config, ProviderKind};
use crate::store::Timestamp;

fn table(config: &str) -> PriceTable {
    let config = Config::parse(config, std::path::Path::new("/etc/exoclaw/config.toml"));
    PriceTable::new(&config.unwrap_or_else(|errors| panic!("{errors}")).prices).expect("the bundled table")
}

fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect("a moment");
    Timestamp(u64::try_from(moment.as_millisecond()).expect("after 1970"))
}

fn noon() -> Timestamp {
    at("2026-11-22T12:00:00Z")
}

fn price(kind: ProviderKind, model: &str) -> Price {
    let provider = if kind == ProviderKind::Anthropic { "anthropic" } else { "openai" };
    table("").find(kind, provider, model, noon()).unwrap_or_else(|| panic!("a price of {model}")).clone()
}

fn usage(input: u64, output: u64, read: u64, written: u64, hour: u64) -> TokenUsage {
    TokenUsage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: read,
        cache_write_tokens: written,
        cache_write_1h_tokens: hour,
        ..TokenUsage::default()
    }
}

fn nanos(price: &Price, usage: TokenUsage) -> u64 {
    price.cost(&usage).cost.as_nanos()
}

#[test]
fn real_counts_of_anthropic_cost_what_its_price_list_says() {
    // The usage of an example in Anthropic's documentation of prompt caching: 2,048 input, 503 output, 1,800 read,
    // 248 written, of which 100 for an hour.
    let sonnet = price(ProviderKind::Anthropic, "claude-sonnet-4-5-20250929");
    // 2,048 × 3,000 + 503 × 15,000 + 1,800 × 300 + 148 × 3,750 + 100 × 6,000
    assert_eq!(nanos(&sonnet, usage(2_048, 503, 1_800, 248, 100)), 15_384_000);
    let opus = price(ProviderKind::Anthropic, "claude-opus-5");
    assert_eq!(nanos(&opus, usage(25, 150, 2_000, 0, 0)), 125_000 + 3_750_000 + 1_000_000);
    assert_eq!(sonnet.version(), table("").version());
}

#[test]
fn real_counts_of_openai_cost_what_its_price_list_says() {
    // prompt_tokens 2,006 with 1,920 cached, completion_tokens 300 with reasoning in them.
    let gpt = price(ProviderKind::OpenAi, "gpt-4o-2024-08-06");
    let counts = TokenUsage { reasoning_tokens: 256, ..usage(86, 300, 1_920, 0, 0) };
    assert_eq!(nanos(&gpt, counts), 215_000 + 3_000_000 + 2_400_000);
    // A snapshot with prices of its own, and no discount for the cache.
    let first = price(ProviderKind::OpenAi, "gpt-4o-2024-05-13");
    assert_eq!(nanos(&first, usage(1, 1, 1, 0, 0)), 5_000 + 15_000 + 5_000);
    let nano = price(ProviderKind::OpenAi, "gpt-5-nano");
    assert_eq!(nanos(&nano, usage(3, 0, 1, 0, 0)), 150 + 5);
}

#[test]
fn a_call_is_rounded_up_once_and_not_each_of_its_parts() {
    // A thousandth of a nano-dollar a token, for input and for output.
    let tiny = table("[prices]\n'openai/tiny' = { input = 0.000001, output = '0.000001' }");
    let tiny = tiny.find(ProviderKind::OpenAi, "openai", "tiny", noon()).expect("a price");
    assert_eq!(nanos(tiny, usage(1, 1, 0, 0, 0)), 1);
    assert_eq!(nanos(tiny, usage(500, 500, 0, 0, 0)), 1);
    assert_eq!(nanos(tiny, usage(500, 501, 0, 0, 0)), 2);
    assert_eq!(nanos(tiny, usage(0, 0, 0, 0, 0)), 0);
}

#[test]
fn a_call_of_one_token_more_than_the_tier_pays_its_price_for_everything() {
    let gpt = price(ProviderKind::OpenAi, "gpt-5.6");
    let below = usage(200_000, 1_000, 71_000, 1_000, 0);
    assert_eq!(nanos(&gpt, below), 1_000_000_000 + 30_000_000 + 35_500_000 + 6_250_000);
    let above = usage(200_000, 1_000, 71_001, 1_000, 0);
    assert_eq!(nanos(&gpt, above), 2_000_000_000 + 45_000_000 + 71_001_000 + 12_500_000);
    // What is reserved goes by the same boundary.
    assert_eq!(gpt.most(272_000, 0, Caching::Off).as_nanos(), 1_360_000_000);
    assert_eq!(gpt.most(272_001, 0, Caching::Off).as_nanos(), 2_720_010_000);
    let haiku = price(ProviderKind::Anthropic, "claude-haiku-5-5");
    assert_eq!(nanos(&haiku, usage(100_000, 10, 0, 0, 0)), 10_005_000);
    assert_eq!(nanos(&haiku, usage(100_001, 10, 0, 0, 0)), 50_025_500);
}

#[test]
fn a_price_holds_from_midnight_of_its_date() {
    let table = table("");
    let read = |moment| {
        let price = table.find(ProviderKind::Anthropic, "anthropic", "claude-sonnet-5-5", at(moment)).expect("a price");
        price.cost(&usage(0, 0, 1_000_000, 0, 0)).cost.to_string()
    };
    assert_eq!(read("2026-10-06T23:59:59.999Z"), "$0.20");
    assert_eq!(read("2026-10-07T00:00:00Z"), "$0.10");
    let input = |moment| {
        let price = table.find(ProviderKind::OpenAi, "openai", "gpt-5.6-sol", at(moment)).expect("a price");
        price.cost(&usage(100_000, 0, 0, 0, 0)).cost.to_string()
    };
    assert_eq!(input("2026-08-20T23:59:59Z"), "$0.50");
    assert_eq!(input("2026-08-21T00:00:00Z"), "$0.40");
    assert_eq!(input("2026-11-22T00:00:00Z"), "$0.50");
}

#[test]
fn what_nobody_said_a_price_of_has_none() {
    let table = table("");
    let find = |kind, model| table.find(kind, "p", model, noon()).is_some();
    assert!(!find(ProviderKind::OpenAi, "llama3.3"));
    assert!(!find(ProviderKind::OpenAi, "claude-opus-5"));
    assert!(!find(ProviderKind::OpenAi, "gpt-5-"));
    assert!(!find(ProviderKind::OpenAi, "gpt-5-pro"));
    assert!(!find(ProviderKind::OpenAi, "gpt-5-123"));
    assert!(find(ProviderKind::OpenAi, "gpt-5-2025-08-07"));
    assert!(find(ProviderKind::Anthropic, "claude-3-5-haiku-latest"));
    assert!(!find(ProviderKind::OpenAi, "é-2025-08-07"));
}

#[test]
fn the_owners_price_goes_before_the_tables_and_the_nearest_pattern_before_the_others() {
    let table = table(
        "[providers.ollama]\nkind = 'openai'\n[prices]\n\
         'ollama/*' = { input = 0, output = 0 }\n'ollama/big*' = { input = 1, output = 0 }\n\
         'ollama/big-model' = { input = 2, output = 0 }\n'ollama/big-model-2026-01-02' = { input = 3, output = 0 }\n\
         'openai/gpt-4o' = { input = 0.123456789, output = 1, cache_read = 0.5, cache_write = 2, cache_write_1h = 4, \
         tiers = [{ above = 10, input = 9, output = 9 }] }",
    );
    let input = |provider, model| {
        let price = table.find(ProviderKind::OpenAi, provider, model, noon()).expect("a price");
        assert_eq!(price.version(), "config");
        price.cost(&usage(10, 0, 0, 0, 0)).cost.as_nanos()
    };
    assert_eq!(input("ollama", "llama3.3:70b"), 0);
    assert_eq!(input("ollama", "bigger"), 10_000);
    assert_eq!(input("ollama", "big-model-2025-01-02"), 20_000);
    assert_eq!(input("ollama", "big-model-2026-01-02"), 30_000);
    assert_eq!(input("openai", "gpt-4o-2024-08-06"), 1_235);
    let own = table.find(ProviderKind::OpenAi, "openai", "gpt-4o", noon()).expect("a price");
    assert_eq!(nanos(own, usage(0, 1, 2, 3, 1)), 1_000 + 1_000 + 4_000 + 4_000);
    assert_eq!(nanos(own, usage(11, 0, 0, 0, 0)), 99_000);
    let bundled = table.find(ProviderKind::OpenAi, "other", "gpt-4o", noon()).expect("a price");
    assert_eq!(bundled.version(), table.version());
}

#[test]
fn the_cache_saves_what_reading_saves_less_what_writing_costs() {
    let sonnet = price(ProviderKind::Anthropic, "claude-sonnet-4-5");
    let saving = |usage| sonnet.cost(&usage).cache_saving;
    assert_eq!(saving(usage(10, 10, 0, 0, 0)), 0);
    assert_eq!(saving(usage(0, 0, 1_000, 0, 0)), 1_000 * 2_700);
    assert_eq!(saving(usage(0, 0, 0, 1_000, 0)), -1_000 * 750);
    assert_eq!(saving(usage(0, 0, 0, 1_000, 1_000)), -1_000 * 3_000);
    assert_eq!(saving(usage(0, 0, u64::MAX, 0, 0)), 0, "both are more than fits");
}

#[test]
fn every_entry_of_the_table_has_a_source_that_can_be_looked_up() {
    let data: toml::Table = toml::from_str(include_str!("../prices.toml")).expect("toml");
    for entry in data["models"].as_array().expect("a list") {
        let source = entry["source"].as_str().expect("a text");
        assert!(source.starts_with("https://"), "{entry:?}");
    }
}

fn rates() -> impl Strategy<Value = Rates> {
    let rate = || prop_oneof![Just(0_u64), 1..1_000_u64, 1..100_000_000_000_u64].prop_map(NanoDollars::from_nanos);
    (rate(), rate(), rate(), rate(), rate()).prop_map(|(input, output, cache_read, cache_write, cache_write_1h)| {
        Rates { input, output, cache_read, cache_write, cache_write_1h }
    })
}

proptest! {
    /// Whatever the cache does, a call costs no more than was reserved for its tokens.
    #[test]
    fn no_call_costs_more_than_the_most(
        rates in rates(),
        tier in proptest::option::of((1..100_000_u64, rates())),
        (input, read, written, hour, output) in (0..50_000_u64, 0..50_000_u64, 0..50_000_u64, 0..60_000_u64, 0..50_000_u64),
    ) {
        let tiers = tier.map(|(above, rates)| PriceTier { above, rates }).into_iter().collect();
        let price = Price::new(rates, tiers, "v".into());
        let used = usage(input, output, read, written, hour);
        let all = input + read + written;
        prop_assert!(price.cost(&used).cost <= price.most(all, output, Caching::Long));
        let short = usage(input, output, read, written, 0);
        prop_assert!(price.cost(&short).cost <= price.most(all, output, Caching::Short));
        let off = usage(input, output, read, 0, 0);
        prop_assert!(price.cost(&off).cost <= price.most(input + read, output, Caching::Off));
    }

    /// The longest answer fits, and one token more does not.
    #[test]
    fn the_longest_output_is_the_longest(rates in rates(), input in 0..1_000_000_u64, budget in 0..100_000_000_000_u64) {
        let price = Price::new(rates, Vec::new(), "v".into());
        let budget = NanoDollars::from_nanos(budget);
        match price.longest_output(input, budget, Caching::Long) {
            None => prop_assert!(price.most(input, 0, Caching::Long) > budget),
            Some(u64::MAX) => prop_assert_eq!(rates.output, NanoDollars::ZERO),
            Some(longest) => {
                prop_assert!(price.most(input, longest, Caching::Long) <= budget);
                prop_assert!(price.most(input, longest + 1, Caching::Long) > budget);
            }
        }
    }
}
