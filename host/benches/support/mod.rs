//! A gateway without plugins, for benches of the wire.
#![allow(dead_code, reason = "each bench uses what it needs")]

use std::net::SocketAddr;
use std::sync::Arc;

use exoclaw::agent::{Dispatcher, Parts};
use exoclaw::config::Config;
use exoclaw::gateway::{Gateway, GatewayState, PluginDirectory};
use exoclaw::provider::{Jitter, Providers};
use exoclaw::runtime::Toolbox;
use exoclaw::store::{MemoryLimits, MemoryStore, Timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

struct NoPlugins;

impl PluginDirectory for NoPlugins {
    fn list(&self) -> Vec<Value> {
        Vec::new()
    }

    fn inspect(&self, _: &str) -> Option<Value> {
        None
    }
}

/// Starts a gateway without models on a free port. To be called within a runtime, which it lives
/// as long as.
pub(crate) fn gateway() -> SocketAddr {
    serve(Config::default(), &Providers::new([]))
}

/// Starts a gateway on a free port.
pub(crate) fn serve(mut config: Config, providers: &Providers) -> SocketAddr {
    config.gateway.port = 0;
    let parts = Parts {
        config: &config,
        store: Arc::new(MemoryStore::new(MemoryLimits::default())),
        providers,
        jitter: Arc::new(Jitter::seeded(1)),
        tools: &Toolbox::default(),
    };
    let state = GatewayState {
        dispatcher: Dispatcher::new(parts).expect("the config fits together"),
        plugins: Arc::new(NoPlugins),
        started_at: Timestamp::now(),
        version: "bench",
        demo: None,
        storage: "memory".into(),
    };
    let gateway = Gateway::bind(&config.gateway, None, state).expect("a free port");
    let address = gateway.local_addr();
    tokio::spawn(gateway.serve(CancellationToken::new()));
    address
}
