//! Where clients connect: HTTP, and JSON-RPC 2.0 over WebSocket.
//!
//! Each connection is one task that owns its socket, its requests and its feeds of events, and
//! shares nothing with others but what it reads. A client that is slow, silent or hostile costs a
//! bounded amount of memory and nobody else's time. `docs/protocol.md` describes the wire.

mod access;
mod connection;
mod feed;
mod health;
mod http;
mod listener;
mod metrics;
mod reload;
mod rpc;
mod server;
mod socket;
mod webhook;
mod work;

pub use access::RuleError;
pub use reload::{PluginReload, ReloadError, ReloadOutcome, ReloadReport};
use server::Shared;
pub use server::{Gateway, GatewayError, GatewayState, PluginDirectory, Readiness};

#[cfg(test)]
mod tests;
