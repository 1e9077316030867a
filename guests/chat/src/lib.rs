//! What channels share: a model's CommonMark in a platform's own markup, in parts that the platform
//! takes, and deliveries of several messages.
//!
//! A channel implements [`Dialect`] for its platform's markup, or takes [`Plain`] or [`Starred`];
//! [`render`] gives the parts of an answer. [`Shown`] knows which of them stand on the platform
//! already, and so what is to be sent, edited or deleted next. [`Turn`] is an event on its way through
//! a channel that keeps connections.

mod address;
mod dialect;
mod document;
mod http;
mod plain;
mod shown;
mod split;
mod starred;
mod table;
#[cfg(test)]
mod tests;
mod turn;
mod writer;

pub use address::{is_plain, is_within, origin_of, segment};
pub use dialect::{Dialect, Mark, Place};
pub use http::{Verdict, backoff_ms, header, origin, post_json, retry_after_ms, verdict};
pub use plain::Plain;
pub use shown::{Move, Shown};
pub use split::{Limit, Part, Unit, render};
pub use starred::Starred;
pub use turn::Turn;
