//! Counting tokens, what they cost, and what may be spent of them.
//!
//! [`Meter`] is what agents ask before and after each call of a model. It is made of parts that know nothing of each
//! other: [`Counter`] estimates a request that is about to be sent, [`PriceTable`] knows what models cost, and
//! [`Budgets`] what may still be spent. [`message_tokens`] and [`text_tokens`] say by length alone what a text is likely
//! to take, which is all that choosing a context needs.

mod budget;
mod count;
mod estimate;
mod meter;
mod price;
mod shown;
mod tally;
mod when;

pub use budget::{
    Ask, BudgetError, BudgetRow, Budgets, CallScopes, Granted, Period, Quantity, Scope, Shortage, Span, Unit, Warning,
    WindowQuery,
};
pub use count::{Asked, Certainty, Counter, Encoding, Estimate, FactorRecord};
pub use estimate::{message_tokens, text_tokens};
pub use meter::{Ended, Held, Meter, MeterError, Wanted};
pub use price::{Caching, Cost, Price, PriceTable, PriceTableError};
pub use tally::ModelTally;
pub use when::{WhenError, day, days, moment};
