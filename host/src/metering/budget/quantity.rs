//! What is spent: tokens and money.

use std::fmt;

use crate::store::{NanoDollars, Spent, TokenUsage};

/// What was spent, or is set aside: both of it, whatever is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    /// Input, cached input and output tokens together.
    pub(super) tokens: u64,
    /// What is known of their cost.
    pub(super) cost: NanoDollars,
}

impl From<Spent> for Amount {
    fn from(spent: Spent) -> Self {
        Self { tokens: spent.tokens, cost: spent.cost }
    }
}

impl Amount {
    /// What a call consumed. One whose cost is not known adds none.
    pub(super) fn of(usage: &TokenUsage, cost: Option<NanoDollars>) -> Self {
        Self { tokens: usage.total(), cost: cost.unwrap_or_default() }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), cost: self.cost.saturating_add(other.cost) }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_sub(other.tokens), cost: self.cost.saturating_sub(other.cost) }
    }

    pub(super) fn in_unit(self, unit: Unit) -> Quantity {
        match unit {
            Unit::Tokens => Quantity::Tokens(self.tokens),
            Unit::Usd => Quantity::Cost(self.cost),
        }
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Tokens.
    Tokens,
    /// Money.
    Usd,
}

impl Unit {
    /// `tokens` or `usd`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Usd => "usd",
        }
    }
}

/// So much of a unit. Shown as `1200 tokens` or `$0.25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// So many tokens.
    Tokens(u64),
    /// So much money.
    Cost(NanoDollars),
}

impl Quantity {
    /// What it counts.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Self::Tokens(_) => Unit::Tokens,
            Self::Cost(_) => Unit::Usd,
        }
    }

    /// Tokens, or nano-dollars.
    #[must_use]
    pub fn amount(self) -> u64 {
        match self {
            Self::Tokens(tokens) => tokens,
            Self::Cost(cost) => cost.as_nanos(),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokens(1) => f.write_str("1 token"),
            Self::Tokens(tokens) => write!(f, "{tokens} tokens"),
            Self::Cost(cost) => cost.fmt(f),
        }
    }
}
