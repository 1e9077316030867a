//! A gateway without plugins, for benches of the wire.
#![allow(dead_code, reason = "each bench uses what it needs")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use exoclaw::agent::{Dispatcher, Parts};
use exoclaw::config::{Config, NetConfig};
use exoclaw::gateway::{Gateway, GatewayState, PluginDirectory, ReloadError, ReloadReport};
use exoclaw::net::Client;
use exoclaw::provider::scripted::ScriptedModel;
use exoclaw::provider::{Jitter, Providers};
use exoclaw::runtime::{Readings, Registry};
use exoclaw::store::{Epoch, MemoryLimits, MemoryStore, Timestamp};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
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

    fn reload(&self, _: Option<String>) -> BoxFuture<'static, Result<ReloadReport, ReloadError>> {
        future::ready(Ok(ReloadReport::default())).boxed()
    }

    fn readings(&self) -> Readings {
        Readings::default()
    }
}

/// Starts a gateway without models on a free port. To be called within a runtime, which it lives
/// as long as.
pub(crate) fn gateway() -> SocketAddr {
    serve(Config::default(), &Providers::new([]))
}

/// Starts a gateway whose agents ask a scripted model that says its words without a pause. The
/// model ends when it is dropped.
pub(crate) async fn scripted() -> (ScriptedModel, SocketAddr) {
    let model = ScriptedModel::start(Duration::ZERO).await.expect("a port");
    let name = ScriptedModel::model_name();
    let mut config = Config::default();
    config.providers.insert(name.provider.clone(), model.provider_config());
    for agent in config.agents.values_mut() {
        agent.models = vec![name.clone()];
    }
    let client = Client::new(&NetConfig::default()).expect("a client");
    let providers = Providers::from_config(&config, &client, |_, _| None).expect("providers");
    let address = serve(config, &providers);
    (model, address)
}

/// Starts a gateway on a free port.
fn serve(mut config: Config, providers: &Providers) -> SocketAddr {
    config.gateway.port = 0;
    let parts = Parts {
        config: &config,
        store: Arc::new(MemoryStore::new(MemoryLimits::default())),
        epoch: Epoch(1),
        providers,
        jitter: Arc::new(Jitter::seeded(1)),
        tools: &Registry::default(),
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
