//! One outgoing HTTP stack for the process.
//!
//! [`Client`] holds the pool, the trust store and the settings of every connection that the host
//! opens to a web service; whoever calls one gets a clone of it. [`sse`] reads the streams of
//! events that such services answer with.

mod body;
mod client;
mod connect;
mod error;
pub mod sse;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trust;

pub use body::{Bounded, read_bounded};
pub use client::{Client, Deadlines, Request, Response};
pub use error::{NetError, TimeoutPhase};
