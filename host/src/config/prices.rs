//! `[prices]`: what models cost, where the owner knows better than the bundled table.

use super::model::Config;
use super::problem::Problem;
use super::reader::{Field, Reader, field};
use super::suggest;
use super::value::{self, Node};
use crate::money::NanoDollars;

/// What a million tokens of each kind cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Input that no cache was asked about.
    pub input: NanoDollars,
    /// Output, with what the model thought.
    pub output: NanoDollars,
    /// Input read from the provider's cache.
    pub cache_read: NanoDollars,
    /// Input written to the cache for as long as the provider keeps it by itself: five minutes at Anthropic.
    pub cache_write: NanoDollars,
    /// Input written to the cache for the longer time: an hour at Anthropic.
    pub cache_write_1h: NanoDollars,
}

/// Rates for calls of much input. They hold for the whole call, not for what is above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceTier {
    /// Calls of more input tokens than this, cached ones included.
    pub above: u64,
    /// What they cost.
    pub rates: Rates,
}

/// `"PROVIDER/MODEL" = { … }` in `[prices]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceConfig {
    /// A name among `[providers]`.
    pub provider: String,
    /// Which of its models.
    pub model: ModelPattern,
    /// What they cost.
    pub rates: Rates,
    /// Other rates for calls of much input, by rising bounds.
    pub tiers: Vec<PriceTier>,
}

/// Which models a price is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModelPattern {
    /// This one, and its dated snapshots: `gpt-4o` is `gpt-4o-2024-08-06`, too.
    Name(String),
    /// Those whose names begin so: `gpt-5*`; all of them: `*`.
    Prefix(String),
}

impl ModelPattern {
    /// Reads `NAME`, or `PREFIX*`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Name(text.to_owned()),
        }
    }
}

/// Rates that are still to be completed.
#[derive(Default)]
pub(super) struct Draft {
    rates: RatesDraft,
    tiers: Vec<PriceTier>,
}

#[derive(Default)]
pub(super) struct RatesDraft {
    above: Option<u64>,
    input: Option<NanoDollars>,
    output: Option<NanoDollars>,
    cache_read: Option<NanoDollars>,
    cache_write: Option<NanoDollars>,
    cache_write_1h: Option<NanoDollars>,
}

impl RatesDraft {
    /// What is left out of a cache's rates costs what other input does.
    fn rates(&self) -> Option<Rates> {
        let (input, output) = self.input.zip(self.output)?;
        let cache_write = self.cache_write.unwrap_or(input);
        Some(Rates {
            input,
            output,
            cache_read: self.cache_read.unwrap_or(input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
        })
    }
}

/// `[prices.NAME]`.
pub(super) const PRICE: &[Field<Draft>] = &[
    field("input", |to, at, reader| reader.some(&mut to.rates.input, at, value::dollars)),
    field("output", |to, at, reader| reader.some(&mut to.rates.output, at, value::dollars)),
    field("cache_read", |to, at, reader| reader.some(&mut to.rates.cache_read, at, value::dollars)),
    field("cache_write", |to, at, reader| reader.some(&mut to.rates.cache_write, at, value::dollars)),
    field("cache_write_1h", |to, at, reader| reader.some(&mut to.rates.cache_write_1h, at, value::dollars)),
    field("tiers", tiers),
];

/// `[[prices.NAME.tiers]]`.
pub(super) const TIER: &[Field<RatesDraft>] = &[
    field("above", |to, at, reader| reader.some(&mut to.above, at, |n| value::integer(n, 1..=1_000_000_000))),
    field("input", |to, at, reader| reader.some(&mut to.input, at, value::dollars)),
    field("output", |to, at, reader| reader.some(&mut to.output, at, value::dollars)),
    field("cache_read", |to, at, reader| reader.some(&mut to.cache_read, at, value::dollars)),
    field("cache_write", |to, at, reader| reader.some(&mut to.cache_write, at, value::dollars)),
    field("cache_write_1h", |to, at, reader| reader.some(&mut to.cache_write_1h, at, value::dollars)),
];

const RATES: &str = "write { input = 1.25, output = 10 }: dollars for a million tokens";

fn tiers(to: &mut Draft, at: &Node<'_>, reader: &mut Reader<'_>) {
    reader.items(at, "a list such as [{ above = 272000, input = 10, output = 45 }]", |at, reader| {
        let mut draft = RatesDraft::default();
        reader.table(at, TIER, &mut draft);
        reader.require(at, "above", "write above = 272000: the input tokens past which these rates hold");
        reader.require(at, "input", RATES);
        reader.require(at, "output", RATES);
        let Some((above, rates)) = draft.above.zip(draft.rates()) else { return };
        if to.tiers.iter().any(|tier| tier.above == above) {
            return reader.problem(Problem::new(at.span(), "another tier begins at the same number of tokens"));
        }
        to.tiers.push(PriceTier { above, rates });
    });
    to.tiers.sort_by_key(|tier| tier.above);
}

/// All of `[prices]`.
pub(super) fn prices(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    reader.named(at, |name, span, at, reader| {
        let Some((provider, model)) = name.split_once('/').filter(|(provider, model)| {
            let star = model.find('*').is_none_or(|star| star + 1 == model.len());
            !provider.is_empty() && !model.is_empty() && star
        }) else {
            let problem = Problem::new(span, "expected \"PROVIDER/MODEL\", such as \"openai/gpt-5-mini\"");
            return reader.problem(problem.help("a `*` at its end stands for any: \"ollama/*\""));
        };
        if !to.providers.contains_key(provider) {
            let near = suggest::nearest(provider, to.providers.keys().map(String::as_str));
            reader.gap(Problem::new(span, "no provider has the name before the `/`").help(match near {
                Some(near) => format!("did you mean \"{near}/…\"?"),
                None => "name it in [providers.NAME]".to_owned(),
            }));
        }
        let mut draft = Draft::default();
        reader.table(at, PRICE, &mut draft);
        reader.require(at, "input", RATES);
        reader.require(at, "output", RATES);
        let Some(rates) = draft.rates.rates() else { return };
        let (provider, model) = (provider.to_owned(), ModelPattern::new(model));
        to.prices.push(PriceConfig { provider, model, rates, tiers: draft.tiers });
    });
}
