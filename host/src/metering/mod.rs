//! Counting tokens.

mod estimate;

pub use estimate::{message_tokens, text_tokens};
