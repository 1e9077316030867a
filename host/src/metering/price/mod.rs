//! What a call costs: exact integers, rounded up once.

mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use table::{PriceTable, PriceTableError};

use crate::config::{PriceTier, Rates};
use crate::store::{NanoDollars, TokenUsage};

/// Prices are for so many tokens.
const PER: u128 = 1_000_000;

/// What one model costs at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    rates: Rates,
    /// By rising bounds.
    tiers: Vec<PriceTier>,
    version: Arc<str>,
}

/// What a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// All of it, rounded up to a whole nano-dollar.
    pub cost: NanoDollars,
    /// How many nano-dollars more the same tokens would have cost without the provider's cache. Negative where
    /// writing to it cost more than reading from it saved.
    pub cache_saving: i64,
}

/// What a call asks of the provider's cache, which says how dear its input can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caching {
    /// Nothing, and the provider does nothing by itself.
    Off,
    /// It may write to the cache for as long as the provider keeps it by itself.
    Short,
    /// It may write to the cache for the longer time.
    Long,
}

impl Price {
    /// A price of the owner's or the table's; `version` says of which.
    #[must_use]
    pub fn new(rates: Rates, mut tiers: Vec<PriceTier>, version: Arc<str>) -> Self {
        tiers.sort_by_key(|tier| tier.above);
        Self { rates, tiers, version }
    }

    /// Where the price comes from: the version of the bundled table, or `config`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What a call cost that consumed this.
    #[must_use]
    pub fn cost(&self, usage: &TokenUsage) -> Cost {
        let TokenUsage { input_tokens: plain, cache_read_tokens: read, cache_write_tokens: written, .. } = *usage;
        let long = written.min(usage.cache_write_1h_tokens);
        let input = plain.saturating_add(read).saturating_add(written);

        let rates = self.rates(input);
        let output = charge(usage.output_tokens, rates.output);
        let parts = [
            charge(plain, rates.input),
            charge(read, rates.cache_read),
            charge(written - long, rates.cache_write),
            charge(long, rates.cache_write_1h),
        ];
        let cost = round_up(parts.into_iter().fold(output, u128::saturating_add));
        let uncached = round_up(output.saturating_add(charge(input, rates.input)));
        let difference = i128::from(uncached.as_nanos()) - i128::from(cost.as_nanos());
        let bound = if difference < 0 { i64::MIN } else { i64::MAX };
        Cost { cost, cache_saving: i64::try_from(difference).unwrap_or(bound) }
    }

    /// The most that a call can cost that sends and receives so many tokens.
    #[must_use]
    pub fn most(&self, input: u64, output: u64, caching: Caching) -> NanoDollars {
        let rates = self.rates(input);
        round_up(charge(input, dearest_input(rates, caching)).saturating_add(charge(output, rates.output)))
    }

    /// The longest answer to so many tokens that certainly costs no more than `budget`. Nothing, where the input
    /// alone may cost more.
    #[must_use]
    pub fn longest_output(&self, input: u64, budget: NanoDollars, caching: Caching) -> Option<u64> {
        let rates = self.rates(input);
        let all = u128::from(budget.as_nanos()) * PER;
        let left = all.checked_sub(charge(input, dearest_input(rates, caching)))?;
        match left.checked_div(u128::from(rates.output.as_nanos())) {
            None => Some(u64::MAX),
            Some(longest) => Some(u64::try_from(longest).unwrap_or(u64::MAX)),
        }
    }

    /// The rates of a call of so many input tokens.
    fn rates(&self, input: u64) -> &Rates {
        let tier = self.tiers.iter().rev().find(|tier| input > tier.above);
        tier.map_or(&self.rates, |tier| &tier.rates)
    }
}

fn dearest_input(rates: &Rates, caching: Caching) -> NanoDollars {
    let plain = rates.input.max(rates.cache_read);
    match caching {
        Caching::Off => plain,
        Caching::Short => plain.max(rates.cache_write),
        Caching::Long => plain.max(rates.cache_write).max(rates.cache_write_1h),
    }
}

/// Tokens at a rate, in millionths of a nano-dollar.
fn charge(tokens: u64, rate: NanoDollars) -> u128 {
    u128::from(tokens) * u128::from(rate.as_nanos())
}

fn round_up(millionths: u128) -> NanoDollars {
    u64::try_from(millionths.div_ceil(PER)).map_or(NanoDollars::MAX, NanoDollars::from_nanos)
}
