//! A gateway without plugins, for benches of the wire.
#![allow(dead_code, reason = "each bench uses what it needs")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use exoclaw::agent::{Dispatcher, Parts};
use exoclaw::channel::NoChannels;
use exoclaw::config::{ByteSize, Config, NetConfig};
use exoclaw::gateway::{Gateway, GatewayState, PluginDirectory, ReloadError, ReloadReport};
use exoclaw::net::Client;
use exoclaw::provider::scripted::ScriptedModel;
use exoclaw::provider::{Jitter, Providers};
use exoclaw::runtime::{Readings, Registry};
use exoclaw::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use exoclaw::store::{DynStore, Epoch, MemoryLimits, MemoryStore, Timestamp};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use serde_json::Value;
use tempfile::TempDir;
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
    serve(Config::default(), &Providers::new([]), in_memory())
}

/// Starts a gateway that keeps nothing, whose agents ask a scripted model that says its words without a pause.
/// The model ends when it is dropped.
pub(crate) async fn scripted() -> (ScriptedModel, SocketAddr) {
    scripted_on(in_memory()).await
}

/// The same on this store.
pub(crate) async fn scripted_on(store: DynStore) -> (ScriptedModel, SocketAddr) {
    let model = ScriptedModel::start(Duration::ZERO).await.expect("a port");
    let name = ScriptedModel::model_name();
    let mut config = Config::default();
    config.providers.insert(name.provider.clone(), model.provider_config());
    for agent in config.agents.values_mut() {
        agent.models = vec![name.clone()];
    }
    let client = Client::new(&NetConfig::default()).expect("a client");
    let providers = Providers::from_config(&config, &client, |_, _| None).expect("providers");
    let address = serve(config, &providers, store);
    (model, address)
}

fn in_memory() -> DynStore {
    Arc::new(MemoryStore::new(MemoryLimits::default()))
}

/// A new store in a file of this folder.
pub(crate) fn in_file(folder: &Path, durability: Durability) -> DynStore {
    let path = folder.join("exoclaw.db");
    let (files, session_files) = (ByteSize::mib(256), ByteSize::mib(64));
    Arc::new(SqliteStore::open(SqliteOptions { path, durability, files, session_files }).expect("a new store"))
}

/// A folder on a disk: the system's own for temporary files is often none.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// Resident memory of this process in KiB, by `/proc` (proc(5)).
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Starts a gateway on a free port.
fn serve(mut config: Config, providers: &Providers, store: DynStore) -> SocketAddr {
    config.gateway.port = 0;
    let parts = Parts {
        config: &config,
        store,
        epoch: Epoch(1),
        courier: Arc::new(()),
        attachments: Arc::new(()),
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
        channels: Arc::new(NoChannels),
        post: Arc::default(),
    };
    let gateway = Gateway::bind(&config.gateway, None, state).expect("a free port");
    let address = gateway.local_addr();
    tokio::spawn(gateway.serve(CancellationToken::new()));
    address
}
