//! Counting tokens.

mod count;
mod estimate;

pub use count::Encoding;
pub use estimate::{message_tokens, text_tokens};
