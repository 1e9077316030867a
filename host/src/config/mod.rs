//! The owner's file, read once into types that cannot be wrong.
//!
//! [`Config`] is what a file means; [`Config::default`] is what no file means.

mod model;

pub use model::{
    AgentConfig, AgentName, BindingConfig, ByteSize, Config, GatewayConfig, LimitsConfig, LogFormat, ModelName,
    NameError, NetConfig, PluginConfig, PluginLimits, PluginName, PluginPath, ProviderConfig, ProviderKind,
    StorageConfig, StorageUrl, TelemetryConfig,
};
