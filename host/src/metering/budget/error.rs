//! Why a call is refused, and what the owner is warned of.

use std::fmt;

use super::{Period, Quantity, Scope, WindowQuery};
use crate::config::Percent;
use crate::store::Timestamp;

/// Why a call may not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// A budget has too little left.
    #[error(transparent)]
    Exhausted(Box<Shortage>),
    /// A budget is in dollars, and nobody knows what the call would cost.
    #[error(
        "the {period} budget of {scope} is in dollars, and the price of {provider}/{model} is not known: \
         say under [prices] in the config what a million tokens cost, \
         \"{provider}/{model}\" = {{ input = DOLLARS, output = DOLLARS }}"
    )]
    PriceUnknown {
        /// Whose budget.
        scope: Scope,
        /// How long it runs.
        period: Period,
        /// The provider's name in the config.
        provider: String,
        /// The model.
        model: String,
    },
    /// What was spent before has not been loaded of these windows: load it, and ask again.
    #[error("what was spent before is not loaded yet")]
    NotLoaded(Vec<WindowQuery>),
}

/// A budget that has too little left for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Whose budget.
    pub scope: Scope,
    /// How long it runs.
    pub period: Period,
    /// What was spent of it.
    pub used: Quantity,
    /// What is set aside for calls under way.
    pub reserved: Quantity,
    /// The least that the call needs.
    pub needed: Quantity,
    /// All of it.
    pub limit: Quantity,
    /// When it begins anew; absent where it never does.
    pub resets_at: Option<Timestamp>,
}

impl Shortage {
    /// Whether the call may fit as soon as those under way have ended.
    #[must_use]
    pub fn is_momentary(&self) -> bool {
        self.used.amount().saturating_add(self.needed.amount()) <= self.limit.amount()
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, period, used, reserved, needed, limit, resets_at } = self;
        write!(f, "the {period} budget of {scope} has too little left: {used} of {limit} are used")?;
        if reserved.amount() > 0 {
            write!(f, ", {reserved} are set aside for calls under way")?;
        }
        write!(f, ", and this call needs at least {needed}; ")?;
        match resets_at.and_then(moment) {
            Some(moment) => write!(f, "it begins anew at {moment}"),
            None => f.write_str("it does not begin anew by itself: raise it in [budgets]"),
        }
    }
}

impl std::error::Error for Shortage {}

/// A part of a limit is spent, of which the owner wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Whose budget.
    pub scope: Scope,
    /// How long it runs.
    pub period: Period,
    /// The part.
    pub threshold: Percent,
    /// What is spent of it.
    pub used: Quantity,
    /// All of it.
    pub limit: Quantity,
    /// When it begins anew; absent where it never does.
    pub resets_at: Option<Timestamp>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, period, threshold, used, limit, resets_at } = self;
        write!(f, "{threshold} of the {period} budget of {scope} are spent: {used} of {limit}")?;
        match resets_at.and_then(moment) {
            Some(moment) => write!(f, "; it begins anew at {moment}"),
            None => Ok(()),
        }
    }
}

fn moment(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()
}
