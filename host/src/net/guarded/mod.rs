//! A way out for those who are not trusted: each has connections of its own, and every address is
//! held against what the host allows before it is connected to.
//!
//! A [`GuardedClient`] resolves a name once for each connection, drops every address that its
//! policy forbids, and connects to one of those that are left. So a name server that answers
//! differently the next time, or that mixes a private address among public ones, gains nothing.
//! It follows no redirects, keeps no cookies and knows no proxies. Bodies are streamed both ways.
//! What is no exchange of requests gets a connection of its own, under the same policy.

mod body;
mod client;
mod connect;
mod dial;
mod error;
mod resolve;
mod socket;
mod stream;
mod tasks;
#[cfg(test)]
mod tests;

pub use body::ResponseBody;
pub use client::{GuardedClient, OutDeadlines, Policy, RequestBody};
pub use error::{Fault, OutError};
pub use resolve::{Resolve, SystemResolver};
pub use stream::{Spoken, Stream};
