//! The types of the configuration, with their defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::budgets::BudgetsConfig;
use super::channels::{ChannelConfig, DeliveryConfig};
use super::grants::GrantsConfig;
use super::prices::PriceConfig;
use super::storage::StorageConfig;

/// Everything that the owner can decide.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[gateway]`: where clients connect.
    pub gateway: GatewayConfig,
    /// `[agent]` under the name `default`, and each of `[agents.NAME]`, whole: what a table of
    /// theirs leaves out is already filled in from `[agent]`.
    pub agents: BTreeMap<AgentName, AgentConfig>,
    /// `[providers.NAME]`, with `anthropic` and `openai` there by themselves.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// `[[plugins]]`. A file that has none gets the bundled `echo`, `clock` and `calculator`.
    pub plugins: Vec<PluginConfig>,
    /// `[[bindings]]`: which agent answers whom.
    pub bindings: Vec<BindingConfig>,
    /// `[channels.NAME]`, by the name of the plugin.
    pub channels: BTreeMap<PluginName, ChannelConfig>,
    /// `[delivery]`.
    pub delivery: DeliveryConfig,
    /// `[budgets]`.
    pub budgets: BudgetsConfig,
    /// `[prices]`.
    pub prices: Vec<PriceConfig>,
    /// `[storage]`.
    pub storage: StorageConfig,
    /// `[net]`.
    pub net: NetConfig,
    /// `[limits]`.
    pub limits: LimitsConfig,
    /// `[telemetry]`.
    pub telemetry: TelemetryConfig,
}

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayConfig {
    /// The address to listen on. Every address but loopback needs a token.
    pub host: IpAddr,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// The environment variable that holds the token; else `~/.exoclaw/credentials/gateway.key`.
    pub token_env: String,
    /// Names, besides the address itself and `localhost`, that a `Host` header may carry.
    pub allowed_hosts: Vec<String>,
    /// Web origins that may connect, such as `https://chat.example`.
    pub allowed_origins: Vec<String>,
    /// Connections at once; more are refused with 503.
    pub max_connections: usize,
    /// The largest WebSocket message or request body.
    pub max_message: ByteSize,
    /// How long a connection may take to send `auth`, and a request its head.
    pub auth_timeout: Duration,
    /// How long a client may take to accept what is sent to it, before it is disconnected.
    pub write_timeout: Duration,
    /// Events that wait for a slow client before it gets `chat.lagged`.
    pub queue: usize,
    /// Subscriptions of one connection.
    pub max_subscriptions: usize,
    /// How long running turns may take to finish after SIGTERM.
    pub drain_timeout: Duration,
    /// A plugin whose file changes is loaded anew by itself.
    pub watch_plugins: bool,
}

/// `[agent]` or `[agents.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentConfig {
    /// Models to ask, the first first, the others when it fails: `PROVIDER/MODEL`. Empty: the
    /// provider for which a key is found, with its usual model.
    pub models: Vec<ModelName>,
    /// The system prompt.
    pub system: Option<String>,
    /// A file with the system prompt, read at start.
    pub soul: Option<PathBuf>,
    /// The most tokens of one answer.
    pub max_tokens: u32,
    /// Tokens of an answer that the model may think; 0 for none.
    pub thinking_tokens: u32,
    /// Randomness; the provider's default where absent.
    pub temperature: Option<f64>,
    /// Tokens of earlier conversation that are sent along.
    pub context_tokens: u32,
    /// How long a provider is asked to keep what the next request will begin with.
    pub prompt_cache: PromptCache,
    /// Calls of the model in one turn.
    pub max_steps: u32,
    /// Times that one turn may make the same call with the same arguments.
    pub max_repeats: u32,
    /// How long a turn may take.
    pub turn_timeout: Duration,
    /// The tools that it may use; absent for every loaded one.
    pub tools: Option<Vec<String>>,
    /// `[agent.retention]`: what is kept of its sessions.
    pub retention: RetentionConfig,
}

/// How long a provider is asked to keep the beginning of a request, which costs more once and less each
/// time that it is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PromptCache {
    /// `"off"`: nothing is kept on request. What a provider keeps by itself is its own affair.
    Off,
    /// `"5m"`: five minutes after its last use.
    FiveMinutes,
    /// `"1h"`: an hour after its last use.
    OneHour,
}

/// `[agent.retention]` or `[agents.NAME.retention]`. Absent means without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetentionConfig {
    /// How old a message may get.
    pub max_age: Option<Duration>,
    /// The messages of one session together.
    pub max_size: Option<ByteSize>,
}

/// `[providers.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderConfig {
    /// The wire that it speaks.
    pub kind: ProviderKind,
    /// Without the path of the call: `https://api.anthropic.com`, `http://localhost:11434/v1`.
    pub base_url: String,
    /// The environment variable with the key; else `~/.exoclaw/credentials/NAME.key`. Empty:
    /// the service needs none.
    pub api_key_env: String,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the service may be silent, before and during its answer.
    pub idle_timeout: Duration,
    /// Attempts after the first.
    pub max_retries: u32,
}

/// A provider's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions, and what is compatible with it.
    OpenAi,
}

/// `PROVIDER/MODEL`: the model is what stands behind the first slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelName {
    /// A name among `[providers]`.
    pub provider: String,
    /// The model, as the provider names it.
    pub model: String,
}

/// `[[plugins]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConfig {
    /// Its name here: in logs, in session keys, on the command line.
    pub name: PluginName,
    /// Where it comes from.
    pub path: PluginPath,
    /// The SHA-256 that the file must have.
    pub sha256: Option<[u8; 32]>,
    /// Handed to the plugin, as JSON.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Its hints (`read-only`, `idempotent`) count even where its grants could write.
    pub trust_hints: bool,
    /// What it may reach.
    pub grants: GrantsConfig,
    /// What one call may take.
    pub limits: PluginLimits,
}

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginPath {
    /// `bundled:NAME`: in the binary.
    Bundled(String),
    /// A file; a relative one is sought beside the config file.
    File(PathBuf),
}

/// `[plugins.limits]`; what is left out comes from `[limits.plugin]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginLimits {
    /// Linear memory of one call, all its memories together.
    pub memory: ByteSize,
    /// Wall time of one call.
    pub time: Duration,
    /// Time that a processor spends on one call.
    pub cpu: Duration,
    /// What one call may return, and what it may be given.
    pub result: ByteSize,
    /// Calls of the host in one call.
    pub host_calls: u32,
    /// What one call may log.
    pub log: ByteSize,
    /// The body of one of its HTTP requests, and of the response.
    pub body: ByteSize,
    /// All that it keeps in its store, over all scopes.
    pub store: ByteSize,
    /// One file that it makes.
    pub file: ByteSize,
    /// Calls at once.
    pub concurrency: usize,
    /// Calls in a minute.
    pub rate: u32,
}

/// `[[bindings]]`: the agent for what matches every part that is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingConfig {
    /// A name among the agents.
    pub agent: AgentName,
    /// The channel's name.
    pub channel: Option<String>,
    /// The account on it.
    pub account: Option<String>,
    /// The team.
    pub team: Option<String>,
    /// The guild.
    pub guild: Option<String>,
    /// The peer.
    pub peer: Option<String>,
}

/// `[net]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetConfig {
    /// PEM certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Of a store in memory: its sessions; past it, the one idle longest goes.
    pub sessions: usize,
    /// Of a store in memory: messages of one session's history.
    pub messages: usize,
    /// Turns that run at once, over all sessions.
    pub turns: usize,
    /// Messages that wait in one session.
    pub queued: usize,
    /// Messages that wait over all sessions.
    pub queued_total: usize,
    /// What a user's message may hold.
    pub content: ByteSize,
    /// The files of all sessions together.
    pub files: ByteSize,
    /// The files of one session together.
    pub session_files: ByteSize,
    /// `[limits.plugin]`: a plugin's limits, where it has none of its own.
    pub plugin: PluginLimits,
}

/// `[telemetry]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// What is logged: `info`, or a filter such as `info,exoclaw::provider=debug`.
    pub log: String,
    /// How.
    pub format: LogFormat,
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// A size in bytes: `64MiB`, `256KiB`, `1GiB`, `4096B`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// As a length in memory.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 && n % (1 << 30) == 0 => write!(f, "{}GiB", n >> 30),
            n if n >= 1 << 20 && n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n if n >= 1 << 10 && n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An agent's name: `[a-z0-9][a-z0-9_-]{0,63}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentName(Arc<str>);

/// A plugin's name: `[a-z0-9][a-z0-9_-]{0,63}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginName(Arc<str>);

/// A text that is no name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no name: up to 64 of a-z, 0-9, `_` and `-`, the first a letter or digit")]
pub struct NameError(String);

/// Whether a text is a name: `[a-z0-9][a-z0-9_-]{0,63}`. Names are parts of file names, too.
pub(super) fn is_name(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = text.bytes().next().is_some_and(valid);
    first && text.len() <= 64 && text.bytes().all(|byte| valid(byte) || byte == b'_' || byte == b'-')
}

fn name(text: &str) -> Result<Arc<str>, NameError> {
    if is_name(text) { Ok(text.into()) } else { Err(NameError(text.chars().take(80).collect())) }
}

macro_rules! name_type {
    ($type:ident) => {
        impl $type {
            /// The name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                name(text).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(AgentName);
name_type!(PluginName);

impl PluginName {
    /// For a component that nobody has named.
    #[must_use]
    pub fn unnamed() -> Self {
        Self("unnamed".into())
    }
}

impl AgentName {
    /// The agent of `[agent]`.
    #[must_use]
    pub fn default_agent() -> Self {
        Self("default".into())
    }
}

impl Default for Config {
    fn default() -> Self {
        let bundled = |plugin: &str| PluginConfig {
            name: PluginName(plugin.into()),
            path: PluginPath::Bundled(plugin.into()),
            sha256: None,
            settings: serde_json::Map::new(),
            trust_hints: false,
            grants: GrantsConfig::default(),
            limits: PluginLimits::default(),
        };
        Self {
            gateway: GatewayConfig::default(),
            agents: BTreeMap::from([(AgentName::default_agent(), AgentConfig::default())]),
            providers: BTreeMap::from([
                ("anthropic".to_owned(), ProviderConfig::of(ProviderKind::Anthropic)),
                ("openai".to_owned(), ProviderConfig::of(ProviderKind::OpenAi)),
            ]),
            plugins: ["echo", "clock", "calculator"].map(bundled).into(),
            bindings: Vec::new(),
            channels: BTreeMap::new(),
            delivery: DeliveryConfig::default(),
            budgets: BudgetsConfig::default(),
            prices: Vec::new(),
            storage: StorageConfig::default(),
            net: NetConfig::default(),
            limits: LimitsConfig::default(),
            telemetry: TelemetryConfig { log: "info".into(), format: LogFormat::Auto },
        }
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 7200,
            token_env: "EXOCLAW_TOKEN".into(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_connections: 16_384,
            max_message: ByteSize::mib(1),
            auth_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            queue: 256,
            max_subscriptions: 64,
            drain_timeout: Duration::from_secs(20),
            watch_plugins: true,
        }
    }
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            system: None,
            soul: None,
            max_tokens: 4096,
            thinking_tokens: 0,
            temperature: None,
            context_tokens: 4000,
            prompt_cache: PromptCache::FiveMinutes,
            max_steps: 20,
            max_repeats: 3,
            turn_timeout: Duration::from_secs(600),
            tools: None,
            retention: RetentionConfig::default(),
        }
    }
}

impl ProviderConfig {
    /// The defaults of a kind.
    #[must_use]
    pub fn of(kind: ProviderKind) -> Self {
        let (base_url, api_key_env) = match kind {
            ProviderKind::Anthropic => ("https://api.anthropic.com", "ANTHROPIC_API_KEY"),
            ProviderKind::OpenAi => ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        };
        Self {
            kind,
            base_url: base_url.into(),
            api_key_env: api_key_env.into(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            max_retries: 2,
        }
    }
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(64),
            time: Duration::from_secs(5),
            cpu: Duration::from_secs(2),
            result: ByteSize::mib(1),
            host_calls: 100_000,
            log: ByteSize::kib(64),
            body: ByteSize::mib(8),
            store: ByteSize::mib(16),
            file: ByteSize::mib(32),
            concurrency: 32,
            rate: 6_000,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            sessions: 1_000,
            messages: 2_000,
            turns: 256,
            queued: 32,
            queued_total: 4_096,
            content: ByteSize::kib(256),
            files: ByteSize::mib(256),
            session_files: ByteSize::mib(64),
            plugin: PluginLimits::default(),
        }
    }
}
