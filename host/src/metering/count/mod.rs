//! Counting the tokens of a request before it is sent.

mod encoding;
mod pairs;
mod vocabulary;

pub use encoding::Encoding;
