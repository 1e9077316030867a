//! Counting tokens, and what may be spent of them.

mod budget;
mod estimate;
mod price;

pub use budget::{
    Ask, BudgetError, BudgetRow, Budgets, CallScopes, Granted, Period, Quantity, Scope, Shortage, Span, Unit, Warning,
    WindowQuery,
};
pub use estimate::{message_tokens, text_tokens};
pub use price::{Caching, Cost, Price, PriceTable, PriceTableError};
