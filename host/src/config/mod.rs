//! The owner's file, read once into types that cannot be wrong.
//!
//! [`Config`] is what a file means; [`Config::default`] is what no file means. A file with
//! mistakes gives [`ConfigErrors`]: every one of them, each with its place, what was expected,
//! and the line, in which whatever may be a key is hidden.

mod budgets;
mod channels;
mod check;
mod excerpt;
pub mod filter;
mod grants;
mod grants_read;
mod load;
mod model;
mod origin;
mod parse;
mod prices;
mod problem;
mod reader;
mod schema;
mod sections;
mod sensitive;
mod storage;
mod suggest;
mod syntax;
mod value;

#[cfg(test)]
mod tests;

pub use budgets::{BudgetsConfig, Limit, Limits, PeerName, Percent, WarnTo};
pub use channels::{ChannelConfig, DeliveryConfig, UnknownDelivery, WhoMayWrite};
pub use grants::{Access, DirGrant, GrantsConfig, HttpGrant, SecretGrant, SecretPlace, SecretSource};
pub use load::{FileOrigin, LoadError, Loaded};
pub use model::{
    AgentConfig, AgentName, BindingConfig, ByteSize, Config, GatewayConfig, LimitsConfig, LogFormat, ModelName,
    NameError, NetConfig, PluginConfig, PluginLimits, PluginName, PluginPath, PromptCache, ProviderConfig,
    ProviderKind, RetentionConfig, TelemetryConfig,
};
pub use origin::{Host, HostPattern, Origin, OriginError, OriginPattern, Scheme};
pub use prices::{ModelPattern, PriceConfig, PriceTier, Rates};
pub use problem::{ConfigError, ConfigErrors};
pub use storage::{Durability, NoHome, ShownUrl, StorageConfig, StorageUrl, StorageUrlError};
