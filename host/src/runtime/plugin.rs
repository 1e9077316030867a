//! A loaded plugin, and what can be said of it.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::config::PluginName;
use crate::store::Timestamp;

use super::cache::CodeOrigin;
use super::channel::{ChannelPlugin, ChannelSide};
use super::counts::PluginCounts;
use super::imports::{Import, Provision};
use super::invoke::Invoker;
use super::looks::{self, ChannelInfo, LackInfo};
use super::readings::QuarantineInfo;
use super::tool::{Tool, ToolInfo, ToolSide};

/// A component that was loaded: what it is stays as it was, whatever becomes of its file.
pub struct Plugin {
    pub(super) invoker: Invoker,
    pub(super) side: Side,
    /// As JSON, as the guest is given them.
    pub(super) settings: String,
    pub(super) source: String,
    pub(super) size: usize,
    pub(super) sha256: [u8; 32],
    pub(super) code: CodeOrigin,
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<String>,
}

/// The world that a plugin is of.
pub(super) enum Side {
    Tool(ToolSide),
    Channel(Arc<ChannelSide>),
}

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// `tool-plugin`.
    Tool,
    /// `channel-plugin`.
    Channel,
}

impl Plugin {
    /// Its name in the config.
    #[must_use]
    pub fn name(&self) -> &PluginName {
        self.invoker.plugin()
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> PluginKind {
        match self.side {
            Side::Tool(_) => PluginKind::Tool,
            Side::Channel(_) => PluginKind::Channel,
        }
    }

    /// Where its machine code came from.
    #[must_use]
    pub fn code(&self) -> CodeOrigin {
        self.code
    }

    /// Its tools, in its own order; none of a channel.
    #[must_use]
    pub fn tools(self: &Arc<Self>) -> Vec<Tool> {
        Tool::all(self)
    }

    /// The channel that it is.
    #[must_use]
    pub fn channel(self: &Arc<Self>) -> Option<ChannelPlugin> {
        ChannelPlugin::of(self)
    }

    /// Everything about it, as of now.
    #[must_use]
    pub fn info(&self) -> PluginInfo {
        let (settings_schema, tools, hosts, secrets) = match &self.side {
            Side::Tool(side) => {
                let tools = side.tools.iter().map(|tool| tool.info()).collect();
                (&side.settings_schema, tools, side.hosts.clone(), side.secrets.clone())
            }
            Side::Channel(side) => {
                let setup = side.setup();
                (&side.settings_schema, Vec::new(), setup.origins.clone(), setup.secrets.clone())
            }
        };
        let counts = self.invoker.counts();
        let quarantine = self.quarantine();
        let limits = self.invoker.limits();
        PluginInfo {
            name: self.name().to_string(),
            kind: self.kind(),
            source: self.source.clone(),
            size: self.size,
            sha256: hex(&self.sha256),
            code: self.code,
            imports: self.imports.iter().map(ImportInfo::of).collect(),
            hosts,
            secrets,
            lacks: self.lacks(),
            channel: match &self.side {
                Side::Channel(side) => Some(ChannelInfo::of(side.platform(), side.setup())),
                Side::Tool(_) => None,
            },
            exports: self.exports.clone(),
            tools,
            settings_schema: settings_schema.text().clone(),
            limits: LimitsInfo {
                memory: limits.memory.to_string(),
                time_ms: u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX),
                cpu_ms: u64::try_from(limits.cpu.as_millis()).unwrap_or(u64::MAX),
                result: limits.result.to_string(),
                host_calls: limits.host_calls,
                log: limits.log.to_string(),
                concurrency: limits.concurrency,
                rate: limits.rate,
            },
            state: if quarantine.is_some() { PluginState::Quarantined } else { PluginState::Ready },
            quarantine,
            calls: counts.calls(),
            failures: counts.failed(),
            counts,
        }
    }

    /// Why it is not called, and until when; nothing where it is.
    #[must_use]
    pub fn quarantine(&self) -> Option<QuarantineInfo> {
        self.invoker.quarantine().map(|quarantine| QuarantineInfo::at(quarantine, Instant::now(), Timestamp::now()))
    }

    /// Lets it be called again at once, whatever it did before.
    pub fn reset_quarantine(&self) {
        self.invoker.reset_quarantine();
    }
}

impl Plugin {
    fn lacks(&self) -> Vec<LackInfo> {
        let (kind, hosts, secrets) = match &self.side {
            Side::Tool(side) => (PluginKind::Tool, &side.hosts, &side.secrets),
            Side::Channel(side) => (PluginKind::Channel, &side.setup().origins, &side.setup().secrets),
        };
        looks::lacks(kind, hosts, secrets, &self.imports, &self.invoker.reach().grants)
    }

    /// Whether the same call may find another world: it reaches something that changes.
    #[must_use]
    pub fn varies(&self) -> bool {
        self.imports.iter().any(|import| import.provision.varies())
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({}, {:?}, {})", self.name(), self.kind(), self.source)
    }
}

/// What `plugin.list` and `plugin.inspect` show.
#[derive(Debug, Clone, Serialize)]
pub struct PluginInfo {
    /// Its name in the config.
    pub name: String,
    /// What it is.
    pub kind: PluginKind,
    /// `bundled:NAME` or the file's path.
    pub source: String,
    /// Of the component, in bytes.
    pub size: usize,
    /// Of the component, in hexadecimal.
    pub sha256: String,
    /// Whether its machine code was compiled when it was loaded, or found on disk.
    pub code: CodeOrigin,
    /// What it imports, and how each import is met.
    pub imports: Vec<ImportInfo>,
    /// Hosts that it says it needs.
    pub hosts: Vec<String>,
    /// Secrets that it says it needs.
    pub secrets: Vec<String>,
    /// What it imports or asks for and was not granted.
    pub lacks: Vec<LackInfo>,
    /// What a channel is; absent for tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelInfo>,
    /// What it exports.
    pub exports: Vec<String>,
    /// Its tools; empty for a channel.
    pub tools: Vec<ToolInfo>,
    /// JSON Schema of its `settings`.
    pub settings_schema: Arc<RawValue>,
    /// What one call may take.
    pub limits: LimitsInfo,
    /// Whether it is called.
    pub state: PluginState,
    /// Why it is not, and until when.
    pub quarantine: Option<QuarantineInfo>,
    /// Calls since it was loaded, those of the load included.
    pub calls: u64,
    /// Those of them that the plugin did not answer: trapped, timed out, out of bounds.
    pub failures: u64,
    /// What became of them, and what they took.
    pub counts: PluginCounts,
}

/// Whether a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginState {
    /// It is.
    Ready,
    /// It failed too often in a row, and is left alone for a while.
    Quarantined,
}

/// An import.
#[derive(Debug, Clone, Serialize)]
pub struct ImportInfo {
    /// The interface, with its version.
    pub name: String,
    /// It is linked, since standard libraries ask for it, and reaches nothing.
    pub inert: bool,
    /// In plain words, what the plugin can do with it.
    pub means: &'static str,
}

impl ImportInfo {
    fn of(import: &Import) -> Self {
        Self { name: import.name.clone(), inert: import.provision == Provision::Inert, means: import.provision.means() }
    }
}

/// Limits, as the config writes them.
#[derive(Debug, Clone, Serialize)]
pub struct LimitsInfo {
    /// `64MiB`.
    pub memory: String,
    /// Milliseconds.
    pub time_ms: u64,
    /// Milliseconds of a processor.
    pub cpu_ms: u64,
    /// `1MiB`.
    pub result: String,
    /// Calls of the host.
    pub host_calls: u32,
    /// `64KiB`.
    pub log: String,
    /// Calls at once.
    pub concurrency: usize,
    /// Calls a minute.
    pub rate: u32,
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
