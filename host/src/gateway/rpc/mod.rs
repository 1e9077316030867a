//! JSON-RPC 2.0: requests, answers, and the table of methods.
//!
//! Nothing here knows a socket. A method is a function from its typed parameters to an
//! [`Answer`]: a result for the client, and an [`Effect`] on the connection where it has one.

mod answer;
mod discover;
mod error;
mod methods;
mod params;
mod request;
mod table;

pub(super) use answer::{Effect, Proof, Replies, Reply, notification};
pub(super) use error::RpcError;
pub(super) use request::{Entry, Id, Incoming, Request, parse};
pub(super) use table::{Call, Methods};

/// What `auth` and `status` say of the protocol.
pub(super) const PROTOCOL: u32 = 1;
