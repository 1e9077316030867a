//! One outgoing HTTP stack for the process.
//!
//! [`Client`] holds the pool, the trust store and the settings of every connection that the host
//! opens to a web service; whoever calls one gets a clone of it. [`GuardedClient`] is the way out of
//! those who are not trusted, held to the addresses that a [`Scope`] allows. [`sse`] reads the
//! streams of events that such services answer with.

mod address;
mod body;
mod client;
mod connect;
mod error;
mod guarded;
pub mod sse;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trust;

pub use address::{AddressKind, Scope};
pub use body::{Bounded, read_bounded};
pub use client::{Client, Deadlines, Request, Response};
pub use error::{NetError, TimeoutPhase};
pub use guarded::{
    Fault, GuardedClient, OutDeadlines, OutError, Policy, RequestBody, Resolve, ResponseBody, Spoken, Stream,
    SystemResolver,
};
