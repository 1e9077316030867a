//! `wasi:http`: requests of plugins, through the host's one HTTP stack and within their grants.
//!
//! A request leaves when a grant allows its method, origin and path, and the address that is
//! connected to is one that the grant's scope allows. What is asked is what was checked: the host
//! writes the origin into the request itself, resolves its name once, filters the addresses, and
//! connects to one of those. Both bodies are streamed, counted and bounded; everything ends with
//! the call at the latest.

mod body;
mod boundary;
mod fault;
mod handler;
pub(super) mod headers;
mod hooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::http::types;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::grants::Services;
use super::state::State;
use crate::config::{GrantsConfig, Host, HttpGrant, Origin};
use crate::net::{GuardedClient, Policy, Scope};

use hooks::Hooks;

/// The most that the headers of one request or response may take, as they lie in memory.
pub(super) const MAX_FIELDS: usize = 32 << 10;

/// Links `wasi:http`'s outgoing half.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    handler::link(linker)?;
    types::add_to_linker::<State, WasiHttp>(linker, &types::LinkOptions::default(), State::http)
}

/// One plugin's way out: its connections are shared by its calls, and by nobody else's.
#[derive(Default)]
pub(super) struct Egress {
    /// Shared with what is under way when the plugin is replaced.
    pub(super) client: Option<Arc<GuardedClient>>,
}

impl Egress {
    /// None at all, where nothing is granted or the gateway lends no client.
    pub(super) fn new(grants: &GrantsConfig, services: &Services) -> Self {
        let http = grants.http.clone();
        let client = services.client.as_ref().filter(|_| !http.is_empty());
        Self { client: client.map(|client| Arc::new(client.guarded(policy(http)))) }
    }
}

/// As these grants say.
pub(super) fn policy(grants: Vec<HttpGrant>) -> Policy {
    Arc::new(move |origin| scope(&grants, origin))
}

/// How far these grants go to an origin. Connections are shared over paths and methods, so any
/// grant of the origin counts.
fn scope(grants: &[HttpGrant], origin: &Origin) -> Option<Scope> {
    let mut matching = grants.iter().filter(|grant| grant.origin.matches(origin)).peekable();
    matching.peek()?;
    Some(match origin.host {
        // An address is only ever matched by a grant that names it.
        Host::Address(address) => Scope::Exactly(address),
        Host::Name(_) if matching.any(|grant| grant.private) => Scope::Private,
        Host::Name(_) => Scope::Public,
    })
}

/// What one call holds of HTTP.
pub(super) struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
}

impl State {
    /// Bytes that the call has sent and received by HTTP: bodies as they went over the wire, heads
    /// as HTTP/1.1 writes them.
    pub(super) fn egress_bytes(&self) -> u64 {
        self.http.as_ref().map_or(0, |http| http.hooks.traffic().bytes())
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let make = || {
            let mut context = WasiHttpCtx::new();
            context.set_field_size_limit(MAX_FIELDS);
            Box::new(Http { context, hooks: Hooks::new(self.reach.clone(), self.caller.is_some(), self.started) })
        };
        let http = self.http.get_or_insert_with(make);
        WasiHttpCtxView { hooks: &mut http.hooks, table: &mut self.table, ctx: &mut http.context }
    }
}

/// Counts what goes over the wire for one call.
#[derive(Debug, Default)]
struct Traffic(AtomicU64);

impl Traffic {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(uri: &str) -> Origin {
        Origin::of(&uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_scope_is_that_of_the_grants_of_an_origin() {
        let grant = |origin: &str, private| HttpGrant { private, ..HttpGrant::of(origin.parse().unwrap()) };
        let grants = [
            grant("api.example.com", false),
            grant("http://nas.lan", false),
            grant("http://nas.lan", true),
            grant("http://127.0.0.1:8080", false),
            grant("http://[fd00::1]", true),
        ];
        let scope = |uri| scope(&grants, &origin(uri));
        assert_eq!(scope("https://api.example.com/x"), Some(Scope::Public));
        assert_eq!(scope("http://nas.lan/"), Some(Scope::Private));
        assert_eq!(scope("http://127.0.0.1:8080/"), Some(Scope::Exactly("127.0.0.1".parse().unwrap())));
        assert_eq!(scope("http://[fd00::1]/"), Some(Scope::Exactly("fd00::1".parse().unwrap())));
        for other in ["http://api.example.com/", "http://127.0.0.1/", "https://8.8.8.8/", "http://[::1]/"] {
            assert_eq!(scope(other), None, "{other}");
        }
    }
}
