//! Counting tokens, before a provider has.
//!
//! [`Counter`] estimates a request that is about to be sent; [`message_tokens`] and [`text_tokens`] say by length alone what
//! a text is likely to take, which is all that choosing a context needs.

mod count;
mod estimate;

pub use count::{Asked, Certainty, Counter, Encoding, Estimate, FactorRecord};
pub use estimate::{message_tokens, text_tokens};
