//! Counting tokens, what they cost, and what may be spent of them.

mod budget;
mod count;
mod estimate;
mod meter;
mod price;
mod shim;
mod shown;
mod tally;
mod when;

pub use budget::{
    Ask, BudgetError, BudgetRow, Budgets, CallScopes, Granted, Period, Quantity, Scope, Shortage, Span, Spent, Unit,
    Warning, WindowQuery,
};
pub use count::Encoding;
pub use estimate::{message_tokens, text_tokens};
pub use meter::{Ended, Held, Meter, MeterError, Wanted};
pub use price::{Caching, Cost, Price, PriceTable, PriceTableError};
pub use tally::ModelTally;
pub use when::{WhenError, day, days, moment};
