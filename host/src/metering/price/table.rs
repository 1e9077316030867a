//! Finding a model's price: the owner's, else the bundled table's.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};

use super::Price;
use crate::config::{ModelPattern, PriceConfig, PriceTier, ProviderKind, Rates};
use crate::store::{NanoDollars, Timestamp};

/// The prices that ship.
const BUNDLED: &str = include_str!("../prices.toml");
/// The version of the owner's prices.
const CONFIG: &str = "config";

/// Every price that is known.
#[derive(Debug, Clone)]
pub struct PriceTable {
    /// Of the table.
    version: Arc<str>,
    /// By the protocol and the model's name; each by rising dates of effect.
    known: HashMap<(ProviderKind, String), Vec<Dated>>,
    /// By the provider's name.
    own: HashMap<String, Vec<(ModelPattern, Price)>>,
}

#[derive(Debug, Clone)]
struct Dated {
    from: Timestamp,
    price: Price,
}

/// Why a table of prices cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PriceTableError {
    /// It is not of the form that it should have.
    #[error("the table of prices is broken")]
    Form(#[from] toml::de::Error),
    /// A model stands in it twice.
    #[error("the table of prices has the model {model} twice")]
    Twice {
        /// The model.
        model: String,
    },
}

impl PriceTable {
    /// The bundled table under the owner's prices.
    ///
    /// # Errors
    /// The bundled table is broken.
    pub fn new(own: &[PriceConfig]) -> Result<Self, PriceTableError> {
        Self::read(BUNDLED, own)
    }

    fn read(table: &str, own: &[PriceConfig]) -> Result<Self, PriceTableError> {
        let table: Table = toml::from_str(table)?;
        let mut known = HashMap::new();
        for entry in table.models {
            let mut dated: Vec<Dated> = entry.prices.into_iter().map(|row| row.dated(&table.version)).collect();
            dated.sort_by_key(|dated| dated.from);
            for model in entry.models {
                if known.insert((entry.kind.into(), model.clone()), dated.clone()).is_some() {
                    return Err(PriceTableError::Twice { model });
                }
            }
        }
        let mut table = Self { version: table.version, known, own: HashMap::new() };
        for PriceConfig { provider, model, rates, tiers } in own {
            let price = Price::new(*rates, tiers.clone(), CONFIG.into());
            table.own.entry(provider.clone()).or_default().push((model.clone(), price));
        }
        Ok(table)
    }

    /// The version of the bundled table.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What a model of a provider costs at a time; nothing, where nobody said. The owner's price goes first:
    /// that of the very name, then that of the name without its date, then that of the longest prefix.
    #[must_use]
    pub fn find(&self, kind: ProviderKind, provider: &str, model: &str, at: Timestamp) -> Option<&Price> {
        self.own(provider, model).or_else(|| self.known(kind, model, at))
    }

    fn own(&self, provider: &str, model: &str) -> Option<&Price> {
        let rank = |pattern: &ModelPattern| match pattern {
            ModelPattern::Name(name) if name == model => Some((2, 0)),
            ModelPattern::Name(name) if base(model) == Some(name) => Some((1, 0)),
            ModelPattern::Prefix(prefix) if model.starts_with(&**prefix) => Some((0, prefix.len())),
            _ => None,
        };
        let fitting = self.own.get(provider)?.iter().filter_map(|(pattern, price)| Some((rank(pattern)?, price)));
        fitting.max_by_key(|&(rank, _)| rank).map(|(_, price)| price)
    }

    fn known(&self, kind: ProviderKind, model: &str, at: Timestamp) -> Option<&Price> {
        let named = |name: &str| self.known.get(&(kind, name.to_owned()));
        let dated = named(model).or_else(|| named(base(model)?))?;
        dated.iter().rev().find(|dated| dated.from <= at).map(|dated| &dated.price)
    }
}

/// The name of the model that a dated one is a snapshot of: what stands before `-20250929`, `-2024-08-06` or
/// `-latest`.
fn base(model: &str) -> Option<&str> {
    if let Some(base) = model.strip_suffix("-latest") {
        return Some(base);
    }
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let (before, last) = model.rsplit_once('-')?;
    if digits(last, 8) {
        return Some(before);
    }
    let (before, month) = before.rsplit_once('-')?;
    let (before, year) = before.rsplit_once('-')?;
    (digits(last, 2) && digits(month, 2) && digits(year, 4)).then_some(before)
}

/// The data file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    version: Arc<str>,
    models: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: Kind,
    models: Vec<String>,
    #[expect(dead_code, reason = "for whoever keeps the table; every entry must have it")]
    source: String,
    #[expect(dead_code, reason = "as `source`")]
    #[serde(deserialize_with = "date")]
    checked: Date,
    prices: Vec<Row>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Anthropic,
    OpenAi,
}

impl From<Kind> for ProviderKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Anthropic => Self::Anthropic,
            Kind::OpenAi => Self::OpenAi,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default, deserialize_with = "from")]
    from: Timestamp,
    #[serde(deserialize_with = "dollars")]
    input: NanoDollars,
    #[serde(deserialize_with = "dollars")]
    output: NanoDollars,
    #[serde(default, deserialize_with = "some_dollars")]
    cache_read: Option<NanoDollars>,
    #[serde(default, deserialize_with = "some_dollars")]
    cache_write: Option<NanoDollars>,
    #[serde(default, deserialize_with = "some_dollars")]
    cache_write_1h: Option<NanoDollars>,
    /// Of a tier.
    #[serde(default)]
    above: u64,
    #[serde(default)]
    tiers: Vec<Row>,
}

impl Row {
    fn rates(&self) -> Rates {
        let cache_write = self.cache_write.unwrap_or(self.input);
        Rates {
            input: self.input,
            output: self.output,
            cache_read: self.cache_read.unwrap_or(self.input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
        }
    }

    fn dated(self, version: &Arc<str>) -> Dated {
        let tiers = self.tiers.iter().map(|tier| PriceTier { above: tier.above, rates: tier.rates() }).collect();
        Dated { from: self.from, price: Price::new(self.rates(), tiers, Arc::clone(version)) }
    }
}

fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr<Err: std::fmt::Display>>(from: D) -> Result<T, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

fn dollars<'de, D: Deserializer<'de>>(from: D) -> Result<NanoDollars, D::Error> {
    parsed(from)
}

fn some_dollars<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NanoDollars>, D::Error> {
    parsed(from).map(Some)
}

fn date<'de, D: Deserializer<'de>>(from: D) -> Result<Date, D::Error> {
    parsed(from)
}

/// The beginning of a day, in UTC.
fn from<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let midnight = date(from)?.to_zoned(TimeZone::UTC).map_err(serde::de::Error::custom)?;
    let millisecond = midnight.timestamp().as_millisecond();
    u64::try_from(millisecond).map(Timestamp).map_err(|_| serde::de::Error::custom("prices begin after 1970"))
}
