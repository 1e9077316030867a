//! Every table and key of the file, with how it is read and what bounds it.

use std::time::Duration;

use super::channels::{ChannelConfig, DeliveryConfig};
use super::model::{
    AgentConfig, ByteSize, Config, GatewayConfig, LimitsConfig, NetConfig, PluginLimits, ProviderConfig,
    RetentionConfig, TelemetryConfig,
};
use super::reader::{Field, field};
use super::storage::StorageConfig;
use super::{budgets, grants_read, prices, sections, value};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A hundred years: what would have to be kept longer is kept without end.
const CENTURY: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// What a table may hold.
pub(super) struct Table {
    /// As it is written: `[gateway]`, `[agents.NAME]`, `[[plugins]]`.
    pub(super) header: String,
    pub(super) keys: Vec<&'static str>,
}

/// Every table that this version knows.
pub(super) fn tables() -> Vec<Table> {
    fn table<T>(header: &str, fields: &'static [Field<T>]) -> Table {
        Table { header: header.to_owned(), keys: fields.iter().map(|field| field.name).collect() }
    }
    vec![
        table("[gateway]", GATEWAY),
        table("[agent]", AGENT),
        table("[agent.retention]", RETENTION),
        table("[agents.NAME]", AGENT),
        table("[agents.NAME.retention]", RETENTION),
        table("[providers.NAME]", PROVIDER),
        table("[channels.NAME]", CHANNEL),
        table("[delivery]", DELIVERY),
        table("[storage]", STORAGE),
        table("[net]", NET),
        table("[limits]", LIMITS),
        table("[limits.plugin]", PLUGIN_LIMITS),
        table("[telemetry]", TELEMETRY),
        table("[[plugins]]", sections::PLUGIN),
        table("[plugins.limits]", PLUGIN_LIMITS),
        table("[plugins.grants]", grants_read::GRANTS),
        table("[[plugins.grants.http]]", grants_read::HTTP),
        table("[plugins.grants.secrets.NAME]", grants_read::SECRET),
        table("[[plugins.grants.dirs]]", grants_read::DIR),
        table("[[bindings]]", sections::BINDING),
        table("[budgets]", budgets::BUDGETS),
        table("[budgets.agents.NAME]", budgets::LIMITS),
        table("[budgets.channels.NAME]", budgets::LIMITS),
        table("[budgets.peers]", budgets::LIMITS),
        table("[budgets.peers.NAME]", budgets::LIMITS),
        table("[budgets.plugins.NAME]", budgets::LIMITS),
        table("[prices.NAME]", prices::PRICE),
        table("[[prices.NAME.tiers]]", prices::TIER),
    ]
}

/// The variable that a provider's key is looked for in: `ANTHROPIC_API_KEY`.
pub(super) fn key_variable(provider: &str) -> String {
    format!("{}_API_KEY", provider.to_ascii_uppercase().replace('-', "_"))
}

/// The file's top level. `agent` stands before `agents`, `limits` before `plugins`: the later
/// inherit from the earlier.
pub(super) const ROOT: &[Field<Config>] = &[
    field("gateway", |to, at, reader| reader.table(at, GATEWAY, &mut to.gateway)),
    field("agent", sections::agent),
    field("agents", sections::agents),
    field("providers", sections::providers),
    field("storage", |to, at, reader| reader.table(at, STORAGE, &mut to.storage)),
    field("net", |to, at, reader| reader.table(at, NET, &mut to.net)),
    field("limits", |to, at, reader| {
        reader.table(at, LIMITS, &mut to.limits);
        // Those that are there by themselves inherit, too; the file's own are still to come.
        to.plugins.iter_mut().for_each(|plugin| plugin.limits = to.limits.plugin);
    }),
    field("telemetry", |to, at, reader| reader.table(at, TELEMETRY, &mut to.telemetry)),
    field("plugins", sections::plugins),
    field("bindings", sections::bindings),
    field("channels", sections::channels),
    field("delivery", |to, at, reader| reader.table(at, DELIVERY, &mut to.delivery)),
    field("budgets", |to, at, reader| reader.table(at, budgets::BUDGETS, to)),
    field("prices", prices::prices),
];

const GATEWAY: &[Field<GatewayConfig>] = &[
    field("host", |to, at, reader| reader.one(&mut to.host, at, value::address)),
    field("port", |to, at, reader| reader.one(&mut to.port, at, |n| value::integer(n, 0..=65_535))),
    field("token_env", |to, at, reader| reader.one(&mut to.token_env, at, value::variable)),
    field("allowed_hosts", |to, at, reader| reader.list(&mut to.allowed_hosts, at, value::host)),
    field("allowed_origins", |to, at, reader| reader.list(&mut to.allowed_origins, at, value::origin)),
    field("max_connections", |to, at, reader| {
        reader.one(&mut to.max_connections, at, |n| value::integer(n, 1..=1_000_000))
    }),
    field("max_message", |to, at, reader| {
        reader.one(&mut to.max_message, at, |n| value::size(n, ByteSize::kib(4)..=ByteSize::mib(64)));
    }),
    field("auth_timeout", |to, at, reader| reader.one(&mut to.auth_timeout, at, |n| value::duration(n, 60 * SECOND))),
    field("write_timeout", |to, at, reader| reader.one(&mut to.write_timeout, at, |n| value::duration(n, HOUR))),
    field("queue", |to, at, reader| reader.one(&mut to.queue, at, |n| value::integer(n, 1..=65_536))),
    field("max_subscriptions", |to, at, reader| {
        reader.one(&mut to.max_subscriptions, at, |n| value::integer(n, 1..=65_536))
    }),
    field("drain_timeout", |to, at, reader| reader.one(&mut to.drain_timeout, at, |n| value::duration(n, HOUR))),
    field("watch_plugins", |to, at, reader| reader.one(&mut to.watch_plugins, at, value::boolean)),
];

pub(super) const AGENT: &[Field<AgentConfig>] = &[
    field("models", |to, at, reader| reader.list(&mut to.models, at, value::model)),
    field("system", |to, at, reader| {
        reader.some(&mut to.system, at, value::text);
        to.soul = None;
    }),
    field("soul", |to, at, reader| {
        reader.file(&mut to.soul, at);
        to.system = None;
    }),
    field("max_tokens", |to, at, reader| reader.one(&mut to.max_tokens, at, |n| value::integer(n, 1..=1_000_000))),
    field("thinking_tokens", |to, at, reader| {
        reader.one(&mut to.thinking_tokens, at, |n| value::integer(n, 0..=999_999))
    }),
    field("temperature", |to, at, reader| reader.some(&mut to.temperature, at, |n| value::number(n, 0.0..=2.0))),
    field("context_tokens", |to, at, reader| {
        reader.one(&mut to.context_tokens, at, |n| value::integer(n, 1..=10_000_000))
    }),
    field("prompt_cache", |to, at, reader| reader.one(&mut to.prompt_cache, at, value::prompt_cache)),
    field("max_steps", |to, at, reader| reader.one(&mut to.max_steps, at, |n| value::integer(n, 1..=1_000))),
    field("max_repeats", |to, at, reader| reader.one(&mut to.max_repeats, at, |n| value::integer(n, 1..=1_000))),
    field("turn_timeout", |to, at, reader| reader.one(&mut to.turn_timeout, at, |n| value::duration(n, DAY))),
    field("tools", |to, at, reader| reader.list(to.tools.get_or_insert_default(), at, value::tool)),
    field("retention", |to, at, reader| reader.table(at, RETENTION, &mut to.retention)),
];

const RETENTION: &[Field<RetentionConfig>] = &[
    field("max_age", |to, at, reader| {
        reader.one(&mut to.max_age, at, |n| value::bound(n, |n| value::duration_within(n, HOUR..=CENTURY)));
    }),
    field("max_size", |to, at, reader| {
        reader.one(&mut to.max_size, at, |n| {
            value::bound(n, |n| value::size(n, ByteSize::kib(64)..=ByteSize::mib(1 << 20)))
        });
    }),
];

pub(super) const PROVIDER: &[Field<ProviderConfig>] = &[
    field("kind", |to, at, reader| reader.one(&mut to.kind, at, value::provider_kind)),
    field("base_url", |to, at, reader| reader.one(&mut to.base_url, at, value::base_url)),
    field("api_key_env", |to, at, reader| reader.one(&mut to.api_key_env, at, value::variable)),
    field("connect_timeout", |to, at, reader| reader.one(&mut to.connect_timeout, at, |n| value::duration(n, HOUR))),
    field("idle_timeout", |to, at, reader| reader.one(&mut to.idle_timeout, at, |n| value::duration(n, HOUR))),
    field("max_retries", |to, at, reader| reader.one(&mut to.max_retries, at, |n| value::integer(n, 0..=20))),
];

pub(super) const CHANNEL: &[Field<ChannelConfig>] = &[
    field("direct", |to, at, reader| reader.one(&mut to.direct, at, value::who_may_write)),
    field("group", |to, at, reader| reader.one(&mut to.group, at, value::who_may_write)),
    field("broadcast", |to, at, reader| reader.one(&mut to.broadcast, at, value::who_may_post)),
    field("allow", |to, at, reader| reader.list(&mut to.allow, at, value::text)),
    field("group_allow", |to, at, reader| reader.list(&mut to.group_allow, at, value::text)),
    field("mention", |to, at, reader| reader.one(&mut to.mention, at, value::boolean)),
    field("reactions", |to, at, reader| reader.one(&mut to.reactions, at, value::boolean)),
    field("drafts", |to, at, reader| reader.one(&mut to.drafts, at, value::boolean)),
    field("webhook_url", |to, at, reader| reader.some(&mut to.webhook_url, at, value::base_url)),
    field("unsigned_webhook", |to, at, reader| reader.one(&mut to.unsigned_webhook, at, value::boolean)),
];

const DELIVERY: &[Field<DeliveryConfig>] = &[
    field("unknown", |to, at, reader| reader.one(&mut to.unknown, at, value::unknown_delivery)),
    field("give_up_after", |to, at, reader| reader.one(&mut to.give_up_after, at, |n| value::duration(n, 30 * DAY))),
];

const STORAGE: &[Field<StorageConfig>] = &[
    field("url", |to, at, reader| match value::storage_url(at, |path| reader.resolve(path)) {
        Ok(url) => to.url = url,
        Err(problem) => reader.problem(problem),
    }),
    field("durability", |to, at, reader| reader.one(&mut to.durability, at, value::durability)),
];

const NET: &[Field<NetConfig>] = &[field("ca_file", |to, at, reader| reader.file(&mut to.ca_file, at))];

const LIMITS: &[Field<LimitsConfig>] = &[
    field("sessions", |to, at, reader| reader.one(&mut to.sessions, at, |n| value::integer(n, 1..=1_000_000))),
    field("messages", |to, at, reader| reader.one(&mut to.messages, at, |n| value::integer(n, 2..=1_000_000))),
    field("turns", |to, at, reader| reader.one(&mut to.turns, at, |n| value::integer(n, 1..=100_000))),
    field("queued", |to, at, reader| reader.one(&mut to.queued, at, |n| value::integer(n, 1..=100_000))),
    field("queued_total", |to, at, reader| reader.one(&mut to.queued_total, at, |n| value::integer(n, 1..=1_000_000))),
    field("content", |to, at, reader| {
        reader.one(&mut to.content, at, |n| value::size(n, ByteSize::kib(1)..=ByteSize::mib(16)));
    }),
    field("files", |to, at, reader| {
        reader.one(&mut to.files, at, |n| value::size(n, ByteSize::kib(1)..=ByteSize::mib(1 << 20)));
    }),
    field("session_files", |to, at, reader| {
        reader.one(&mut to.session_files, at, |n| value::size(n, ByteSize::kib(1)..=ByteSize::mib(1 << 20)));
    }),
    field("plugin", |to, at, reader| reader.table(at, PLUGIN_LIMITS, &mut to.plugin)),
];

pub(super) const PLUGIN_LIMITS: &[Field<PluginLimits>] = &[
    // One page of WebAssembly to all that 32 bits can address.
    field("memory", |to, at, reader| {
        reader.one(&mut to.memory, at, |n| value::size(n, ByteSize::kib(64)..=ByteSize::mib(4096)));
    }),
    field("time", |to, at, reader| reader.one(&mut to.time, at, |n| value::duration(n, HOUR))),
    field("cpu", |to, at, reader| reader.one(&mut to.cpu, at, |n| value::duration(n, HOUR))),
    field("result", |to, at, reader| {
        reader.one(&mut to.result, at, |n| value::size(n, ByteSize::kib(1)..=ByteSize::mib(64)));
    }),
    field("host_calls", |to, at, reader| reader.one(&mut to.host_calls, at, |n| value::integer(n, 1..=1_000_000_000))),
    field("log", |to, at, reader| {
        reader.one(&mut to.log, at, |n| value::size(n, ByteSize(0)..=ByteSize::mib(16)));
    }),
    field("body", |to, at, reader| {
        reader.one(&mut to.body, at, |n| value::size(n, ByteSize::kib(1)..=ByteSize::mib(1024)));
    }),
    field("store", |to, at, reader| {
        reader.one(&mut to.store, at, |n| value::size(n, ByteSize::kib(1)..=ByteSize::mib(4096)));
    }),
    field("file", |to, at, reader| {
        reader.one(&mut to.file, at, |n| value::size(n, ByteSize::kib(1)..=ByteSize::mib(4096)));
    }),
    field("concurrency", |to, at, reader| reader.one(&mut to.concurrency, at, |n| value::integer(n, 1..=10_000))),
    field("rate", |to, at, reader| reader.one(&mut to.rate, at, |n| value::integer(n, 1..=1_000_000_000))),
];

const TELEMETRY: &[Field<TelemetryConfig>] = &[
    field("log", |to, at, reader| reader.one(&mut to.log, at, value::log_filter)),
    field("format", |to, at, reader| reader.one(&mut to.format, at, value::log_format)),
];
