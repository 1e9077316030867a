//! Budgets as clients are shown them.

use super::budget::{BudgetError, BudgetRow, Quantity, Shortage};
use crate::store::{Amount, BudgetState};

impl From<Quantity> for Amount {
    fn from(quantity: Quantity) -> Self {
        match quantity {
            Quantity::Tokens(tokens) => Self::Tokens(tokens),
            Quantity::Cost(cost) => Self::Dollars(cost.to_f64()),
        }
    }
}

impl From<BudgetRow> for BudgetState {
    fn from(row: BudgetRow) -> Self {
        Self {
            scope: row.scope.kind().to_owned(),
            name: row.scope.name(),
            period: row.period.to_string(),
            unit: row.limit.unit().as_str().to_owned(),
            used: row.used.into(),
            reserved: row.reserved.into(),
            limit: row.limit.into(),
            resets_at: row.resets_at,
        }
    }
}

impl From<&Shortage> for BudgetState {
    fn from(shortage: &Shortage) -> Self {
        Self {
            scope: shortage.scope.kind().to_owned(),
            name: shortage.scope.name(),
            period: shortage.period.to_string(),
            unit: shortage.limit.unit().as_str().to_owned(),
            used: shortage.used.into(),
            reserved: shortage.reserved.into(),
            limit: shortage.limit.into(),
            resets_at: shortage.resets_at,
        }
    }
}

impl BudgetError {
    /// The budget that is too small, as it stands; nothing, where another thing is wrong.
    #[must_use]
    pub fn state(&self) -> Option<BudgetState> {
        match self {
            Self::Exhausted(shortage) => Some((&**shortage).into()),
            Self::PriceUnknown { .. } | Self::NotLoaded(_) => None,
        }
    }

    /// Whether the call may be made once those under way have ended.
    #[must_use]
    pub fn is_momentary(&self) -> bool {
        match self {
            Self::Exhausted(shortage) => shortage.is_momentary(),
            Self::PriceUnknown { .. } => false,
            Self::NotLoaded(_) => true,
        }
    }
}
