//! A gateway without plugins and models, for benches of the wire alone.

use std::net::SocketAddr;
use std::sync::Arc;

use exoclaw::agent::Dispatcher;
use exoclaw::bus::Hub;
use exoclaw::config::GatewayConfig;
use exoclaw::gateway::{Gateway, GatewayState, PluginDirectory};
use exoclaw::store::{DynStore, MemoryLimits, MemoryStore, Timestamp};
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

fn dispatcher() -> Dispatcher {
    let store: DynStore = Arc::new(MemoryStore::new(MemoryLimits::default()));
    Dispatcher::idle(Hub::new(Arc::clone(&store), 256), store)
}

/// Starts a gateway on a free port. To be called within a runtime, which it lives as long as.
pub fn gateway() -> SocketAddr {
    let state = GatewayState {
        dispatcher: dispatcher(),
        plugins: Arc::new(NoPlugins),
        started_at: Timestamp::now(),
        version: "bench",
        demo: None,
        storage: "memory".into(),
    };
    let config = GatewayConfig { port: 0, ..GatewayConfig::default() };
    let gateway = Gateway::bind(&config, None, state).expect("a free port");
    let address = gateway.local_addr();
    tokio::spawn(gateway.serve(CancellationToken::new()));
    address
}
