//! Plugins, from the config to what clients are told of them.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::CliError;
use super::reload::{LastReload, Reloads};
use crate::config::{Config, Loaded, PluginConfig, PluginName};
use crate::gateway::{PluginDirectory, ReloadError, ReloadReport};
use crate::home::Home;
use crate::net::Client;
use crate::runtime::egress_secrets;
use crate::runtime::{
    CodeCache, Linkage, Plugin, PluginInfo, PluginSpec, Readings, Registry, Runtime, Secrets, Services, Source, Toolbox,
};
use crate::store::{MemoryLimits, MemoryStore, SessionKey, Timestamp};

/// Loads at once. Each holds a component and its code; one at a time compiles.
const LOADS: usize = 4;

/// What a gateway starts with.
pub(super) struct Plugins {
    /// Where plugins are loaded, now and later.
    pub(super) runtime: Runtime,
    /// Those of the config.
    pub(super) tools: Toolbox,
}

/// Loads every plugin of the config. One that cannot be loaded keeps the gateway from starting.
pub(super) async fn load(config: &Config, services: Services, home: &Home) -> Result<Plugins, CliError> {
    let runtime = runtime(config, services)?.with_code_cache(code_cache(home).await);
    let loads = stream::iter(config.plugins.iter().map(|plugin| load_one(&runtime, plugin, home))).buffered(LOADS);
    let loads = loads.inspect_ok(|plugin| {
        let tools: Vec<_> = plugin.tools().iter().map(|tool| tool.name().to_owned()).collect();
        info!(plugin = %plugin.name(), kind = ?plugin.kind(), code = ?plugin.code(), tools = tools.join(" "), "loaded");
    });
    let tools = Toolbox::new(loads.try_collect().await?).map_err(usage)?;
    Ok(Plugins { runtime, tools })
}

/// Loads a plugin as its table has it, with its secrets as they are now.
pub(super) async fn load_one(runtime: &Runtime, plugin: &PluginConfig, home: &Home) -> Result<Arc<Plugin>, CliError> {
    let mut spec = PluginSpec::from_config(plugin).map_err(usage)?;
    spec.secrets = found_secrets(&spec, home).await?;
    runtime.load(spec).await.map_err(usage)
}

/// The secrets that a plugin was granted.
pub(super) async fn found_secrets(spec: &PluginSpec, home: &Home) -> Result<Secrets, CliError> {
    Ok(Secrets(egress_secrets::resolve(&spec.name, &spec.grants.secrets, home).await?))
}

/// The owner's compiled code. Without a home there is none; where its folder cannot be trusted,
/// that is told, and plugins are compiled instead.
pub(super) async fn code_cache(home: &Home) -> Option<CodeCache> {
    let folder = home.code_cache()?;
    match tokio::task::spawn_blocking(move || CodeCache::open(&folder)).await.ok()? {
        Ok(cache) => Some(cache),
        Err(error) => {
            warn!(%error, "compiled code is not kept; plugins are compiled at every start");
            None
        }
    }
}

/// Loads one component to look at it, with the limits that the config gives to plugins.
pub(super) async fn look_at(source: Source, name: PluginName, loaded: &Loaded) -> Result<Arc<Plugin>, CliError> {
    let limits = loaded.config.limits.plugin;
    let spec = PluginSpec { limits, linkage: Linkage::Refusing, ..PluginSpec::new(name, source) };
    let runtime = runtime(&loaded.config, Services::detached())?.with_code_cache(code_cache(&loaded.home).await);
    runtime.load(spec).await.map_err(CliError::failed)
}

/// Where components are tried, apart from any gateway: with a store in memory, a way out where
/// there is need of one, and room for so many calls at once. It has this session.
pub(super) async fn workshop(
    loaded: &Loaded,
    session: &SessionKey,
    way_out: bool,
    at_once: usize,
) -> Result<Runtime, CliError> {
    let mut config = loaded.config.clone();
    config.limits.turns = config.limits.turns.max(at_once);
    let store = MemoryStore::new(MemoryLimits::default());
    store.open_session(session, Timestamp::now()).map_err(CliError::failed)?;
    let client = way_out.then(|| Client::new(&config.net)).transpose().map_err(CliError::failed)?;
    let services = Services { store: Arc::new(store), client };
    Ok(runtime(&config, services)?.with_code_cache(code_cache(&loaded.home).await))
}

/// Whether the config has a plugin of this name.
pub(super) fn is_configured(name: &str, loaded: &Loaded) -> bool {
    loaded.config.plugins.iter().any(|plugin| plugin.name.as_str() == name)
}

/// A plugin of the config as a gateway loads it, but for its secrets, which are still to be found.
pub(super) async fn configured(name: &str, loaded: &Loaded) -> Result<PluginSpec, CliError> {
    let plugin = loaded.config.plugins.iter().find(|plugin| plugin.name.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = loaded.config.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        CliError::Usage(format!("the config has no plugin `{name}`; it has {}", known.join(", ")))
    })?;
    PluginSpec::from_config(plugin).map_err(usage)
}

pub(super) fn runtime(config: &Config, services: Services) -> Result<Runtime, CliError> {
    Runtime::new(&config.limits, services).map_err(CliError::failed)
}

fn usage(error: crate::runtime::LoadError) -> CliError {
    CliError::Usage(error.to_string())
}

/// A name for a file that has none in a config: its own, as far as a name can hold it.
pub(super) fn name_of(path: &Path) -> PluginName {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let valid = |letter: char| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' };
    let name: String = stem.chars().map(valid).take(64).collect();
    name.trim_start_matches(['-', '_']).parse().unwrap_or_else(|_| PluginName::unnamed())
}

/// The plugins of a running gateway.
pub(super) struct Directory {
    plugins: Registry,
    reloads: Reloads,
}

impl Directory {
    pub(super) fn new(plugins: Registry, reloads: Reloads) -> Self {
        Self { plugins, reloads }
    }
}

impl PluginDirectory for Directory {
    fn list(&self) -> Vec<Value> {
        let short = |plugin: &Arc<Plugin>| {
            let info = plugin.info();
            let mut short = json!({
                "name": info.name,
                "kind": info.kind,
                "source": info.source,
                "size": info.size,
                "sha256": info.sha256,
                "tools": info.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(),
                "state": info.state,
                "quarantine": info.quarantine,
                "calls": info.calls,
                "failures": info.failures,
                "counts": info.counts,
            });
            if let Some(last) = self.reloads.last(plugin.name()) {
                short["last_reload"] = json!(last);
            }
            short
        };
        self.plugins.snapshot().plugins().iter().map(short).collect()
    }

    fn inspect(&self, name: &str) -> Option<Value> {
        #[derive(Serialize)]
        struct Inspected {
            #[serde(flatten)]
            info: PluginInfo,
            #[serde(skip_serializing_if = "Option::is_none")]
            last_reload: Option<LastReload>,
        }
        let plugins = self.plugins.snapshot();
        let plugin = plugins.plugin(name)?;
        serde_json::to_value(Inspected { info: plugin.info(), last_reload: self.reloads.last(plugin.name()) }).ok()
    }

    fn reload(&self, name: Option<String>) -> BoxFuture<'static, Result<ReloadReport, ReloadError>> {
        self.reloads.reload(name)
    }

    fn readings(&self) -> Readings {
        Readings::of(self.plugins.snapshot().plugins())
    }
}
