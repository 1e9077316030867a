//! Plugins, from the config to what clients are told of them.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tracing::info;

use super::CliError;
use crate::config::{Config, PluginName};
use crate::gateway::PluginDirectory;
use crate::home::Home;
use crate::runtime::{Linkage, Plugin, PluginSpec, Runtime, Secrets, Services, Source, Toolbox};
use crate::secrets;

/// Loads every plugin of the config. One that cannot be loaded keeps the gateway from starting.
pub(super) async fn load(config: &Config, services: Services, home: &Home) -> Result<Toolbox, CliError> {
    let runtime = runtime(config, services)?;
    let mut plugins = Vec::with_capacity(config.plugins.len());
    for plugin in &config.plugins {
        let mut spec = PluginSpec::from_config(plugin).map_err(usage)?;
        spec.secrets = Secrets(secrets::resolve(&spec.name, &spec.grants.secrets, home).await?);
        let plugin = runtime.load(spec).await.map_err(usage)?;
        let tools: Vec<_> = plugin.tools().iter().map(|tool| tool.name().to_owned()).collect();
        info!(plugin = %plugin.name(), kind = ?plugin.kind(), tools = tools.join(" "), "loaded");
        plugins.push(plugin);
    }
    Toolbox::new(plugins).map_err(usage)
}

/// Loads one component file to look at it, with the limits that the config gives to plugins.
pub(super) async fn load_file(path: &Path, config: &Config) -> Result<Arc<Plugin>, CliError> {
    let spec = PluginSpec {
        limits: config.limits.plugin,
        linkage: Linkage::Refusing,
        ..PluginSpec::new(name_of(path), Source::File(path.to_owned()))
    };
    runtime(config, Services::detached())?.load(spec).await.map_err(CliError::failed)
}

fn runtime(config: &Config, services: Services) -> Result<Runtime, CliError> {
    Runtime::new(&config.limits, services).map_err(CliError::failed)
}

fn usage(error: crate::runtime::LoadError) -> CliError {
    CliError::Usage(error.to_string())
}

/// A name for a file that has none in a config: its own, as far as a name can hold it.
fn name_of(path: &Path) -> PluginName {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let valid = |letter: char| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' };
    let name: String = stem.chars().map(valid).take(64).collect();
    name.trim_start_matches(['-', '_']).parse().unwrap_or_else(|_| PluginName::unnamed())
}

/// The plugins of a running gateway.
pub(super) struct Directory {
    tools: Toolbox,
}

impl Directory {
    pub(super) fn new(tools: Toolbox) -> Self {
        Self { tools }
    }
}

impl PluginDirectory for Directory {
    fn list(&self) -> Vec<Value> {
        let short = |plugin: &Arc<Plugin>| {
            let info = plugin.info();
            json!({
                "name": info.name,
                "kind": info.kind,
                "source": info.source,
                "size": info.size,
                "sha256": info.sha256,
                "tools": info.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(),
                "calls": info.calls,
                "failures": info.failures,
            })
        };
        self.tools.plugins().iter().map(short).collect()
    }

    fn inspect(&self, name: &str) -> Option<Value> {
        let plugin = self.tools.plugins().iter().find(|plugin| plugin.name().as_str() == name)?;
        serde_json::to_value(plugin.info()).ok()
    }
}
