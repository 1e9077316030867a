//! The tables that bear names or come in numbers: agents, providers, plugins, bindings.

use toml::de::{DeTable, DeValue};

use super::channels::ChannelConfig;
use super::grants::GrantsConfig;
use super::model::{
    AgentConfig, AgentName, BindingConfig, Config, PluginConfig, PluginLimits, PluginName, PluginPath, ProviderConfig,
    ProviderKind, is_name,
};
use super::problem::Problem;
use super::reader::{Field, Reader, field};
use super::value::{self, Node, Read};
use super::{grants_read, schema, sensitive, suggest};

/// `[agent]`.
pub(super) fn agent(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    read_agent(to.agents.entry(AgentName::default_agent()).or_default(), at, reader);
}

/// `[agents.NAME]`, each of which begins as a copy of `[agent]`.
pub(super) fn agents(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    let base = to.agents.get(&AgentName::default_agent()).cloned().unwrap_or_default();
    reader.named(at, |name, span, at, reader| match name.parse::<AgentName>() {
        Ok(name) if name == AgentName::default_agent() => {
            reader.problem(Problem::new(span, "the default agent has its own table").help("write [agent]"));
        }
        Ok(name) => {
            let mut agent = base.clone();
            read_agent(&mut agent, at, reader);
            to.agents.insert(name, agent);
        }
        Err(_) => reader.problem(Problem::new(span, value::NAME)),
    });
}

fn read_agent(agent: &mut AgentConfig, at: &Node<'_>, reader: &mut Reader<'_>) {
    reader.table(at, schema::AGENT, agent);
    let both = |key| reader.mark(&reader.path().key(key));
    if let Some((system, soul)) = both("system").zip(both("soul")) {
        let later = if soul.start > system.start { soul } else { system };
        reader.problem(Problem::new(later, "`system` and `soul` both give the system prompt").help("keep one of them"));
    }
}

/// `[providers.NAME]`: changes to `anthropic` and `openai`, or services of other names.
pub(super) fn providers(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    reader.named(at, |name, span, at, reader| {
        if !is_name(name) {
            return reader.problem(Problem::new(span, value::NAME));
        }
        let kind = at.get_ref().get("kind").map(value::provider_kind);
        let known = to.providers.get(name);
        let mut provider = match (kind, known) {
            (Some(Ok(kind)), Some(known)) if known.kind == kind => known.clone(),
            (None, Some(known)) => known.clone(),
            (Some(Ok(kind)), _) => ProviderConfig::of(kind),
            // Told when the table is read.
            (Some(Err(_)), _) => ProviderConfig::of(ProviderKind::OpenAi),
            (None, None) => {
                let missing = Problem::new(span, format!("`kind` is missing in {}", reader.path()));
                reader.gap(missing.help("write kind = \"openai\" for what speaks OpenAI's protocol"));
                ProviderConfig::of(ProviderKind::OpenAi)
            }
        };
        // A key goes to the service that it is named after, and to no other.
        provider.api_key_env = schema::key_variable(name);
        reader.table(at, schema::PROVIDER, &mut provider);
        to.providers.insert(name.to_owned(), provider);
    });
}

/// A plugin whose name and path are still to be found.
pub(super) struct PluginDraft {
    name: Option<PluginName>,
    path: Option<PluginPath>,
    sha256: Option<[u8; 32]>,
    settings: serde_json::Map<String, serde_json::Value>,
    trust_hints: bool,
    grants: GrantsConfig,
    limits: PluginLimits,
}

/// `[[plugins]]`.
pub(super) const PLUGIN: &[Field<PluginDraft>] = &[
    field("name", |to, at, reader| reader.some(&mut to.name, at, value::name)),
    field("path", |to, at, reader| match plugin_path(at, reader) {
        Ok(path) => to.path = Some(path),
        Err(problem) => reader.problem(problem),
    }),
    field("sha256", |to, at, reader| reader.some(&mut to.sha256, at, value::sha256)),
    field("settings", |to, at, reader| match at.get_ref().as_table() {
        Some(table) => to.settings = settings(table, reader),
        None => reader.problem(value::expected("a table such as { mode = \"poll\" }", at)),
    }),
    field("trust_hints", |to, at, reader| reader.one(&mut to.trust_hints, at, value::boolean)),
    field("grants", |to, at, reader| reader.table(at, grants_read::GRANTS, &mut to.grants)),
    field("limits", |to, at, reader| reader.table(at, schema::PLUGIN_LIMITS, &mut to.limits)),
];

/// All of `[[plugins]]`; with them, the bundled ones are no longer there by themselves.
pub(super) fn plugins(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    let limits = to.limits.plugin;
    to.plugins.clear();
    reader.tables(at, |at, reader| {
        let mut draft = PluginDraft {
            name: None,
            path: None,
            sha256: None,
            settings: serde_json::Map::new(),
            trust_hints: false,
            grants: GrantsConfig::default(),
            limits,
        };
        reader.table(at, PLUGIN, &mut draft);
        reader.require(at, "name", "write name = \"…\"");
        reader.require(at, "path", "write path = \"bundled:NAME\", or a file's path");
        if let (Some(name), Some(path)) = (draft.name, draft.path) {
            if to.plugins.iter().any(|other| other.name == name) {
                let span = reader.mark(&reader.path().key("name")).unwrap_or(at.span());
                reader.problem(Problem::new(span, "an earlier plugin has this name").help("each needs its own"));
            }
            let PluginDraft { sha256, settings, trust_hints, grants, limits, .. } = draft;
            to.plugins.push(PluginConfig { name, path, sha256, settings, trust_hints, grants, limits });
        }
    });
}

fn plugin_path(at: &Node<'_>, reader: &Reader<'_>) -> Read<PluginPath> {
    let text = value::text(at)?;
    match text.strip_prefix("bundled:") {
        Some(name) if is_name(name) => Ok(PluginPath::Bundled(name.to_owned())),
        Some(_) => Err(Problem::new(at.span(), "expected a bundled plugin's name after `bundled:`")),
        None => Ok(PluginPath::File(reader.resolve(&text))),
    }
}

/// A plugin's settings as JSON.
fn settings(table: &DeTable<'_>, reader: &mut Reader<'_>) -> serde_json::Map<String, serde_json::Value> {
    let mut map = serde_json::Map::new();
    for (key, value) in table {
        let secret = matches!(value.get_ref(), DeValue::String(_)) && sensitive::is_name(key.get_ref());
        if secret {
            let problem = Problem::new(key.span(), "keys do not belong in this file, and plugins never see them");
            reader.problem(problem.help(reader.remedy()));
        } else if let Some(value) = json(value, reader) {
            map.insert(key.get_ref().to_string(), value);
        }
    }
    map
}

/// The depth is bounded by TOML's parser, at 80.
fn json(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<serde_json::Value> {
    use serde_json::{Number, Value};
    let number = match node.get_ref() {
        DeValue::String(text) => return Some(Value::String(text.to_string())),
        DeValue::Boolean(boolean) => return Some(Value::Bool(*boolean)),
        DeValue::Datetime(datetime) => return Some(Value::String(datetime.to_string())),
        DeValue::Array(array) => {
            return Some(Value::Array(array.iter().filter_map(|value| json(value, reader)).collect()));
        }
        DeValue::Table(table) => return Some(Value::Object(settings(table, reader))),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Number::from),
        DeValue::Float(float) => float.as_str().parse().ok().and_then(Number::from_f64),
    };
    if number.is_none() {
        reader.problem(Problem::new(node.span(), "JSON, which plugins are given, has no such number"));
    }
    number.map(Value::Number)
}

/// A binding whose agent is still to be found.
#[derive(Default)]
pub(super) struct BindingDraft {
    agent: Option<AgentName>,
    channel: Option<String>,
    account: Option<String>,
    team: Option<String>,
    guild: Option<String>,
    peer: Option<String>,
}

/// `[[bindings]]`.
pub(super) const BINDING: &[Field<BindingDraft>] = &[
    field("agent", |to, at, reader| reader.some(&mut to.agent, at, value::name)),
    field("channel", |to, at, reader| reader.some(&mut to.channel, at, value::text)),
    field("account", |to, at, reader| reader.some(&mut to.account, at, value::text)),
    field("team", |to, at, reader| reader.some(&mut to.team, at, value::text)),
    field("guild", |to, at, reader| reader.some(&mut to.guild, at, value::text)),
    field("peer", |to, at, reader| reader.some(&mut to.peer, at, value::text)),
];

/// All of `[[bindings]]`.
pub(super) fn bindings(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    to.bindings.clear();
    reader.tables(at, |at, reader| {
        let mut draft = BindingDraft::default();
        reader.table(at, BINDING, &mut draft);
        reader.require(at, "agent", "write agent = \"…\"");
        let BindingDraft { agent: Some(agent), channel, account, team, guild, peer } = draft else { return };
        if !to.agents.contains_key(&agent) {
            let span = reader.mark(&reader.path().key("agent")).unwrap_or(at.span());
            let near = suggest::nearest(agent.as_str(), to.agents.keys().map(AgentName::as_str));
            reader.gap(Problem::new(span, format!("there is no agent `{agent}`")).help(match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("describe it in [agents.{agent}]"),
            }));
        }
        let binding = BindingConfig { agent, channel, account, team, guild, peer };
        if parts(&binding).iter().all(|part| part.is_none()) {
            let problem = Problem::new(at.span(), "this binding matches everyone, whom [agent] answers anyway");
            reader.gap(problem.help("name a channel, account, team, guild or peer"));
        } else if to.bindings.iter().any(|other| parts(other) == parts(&binding)) {
            reader.problem(Problem::new(at.span(), "an earlier binding matches the same").help("keep one of them"));
        }
        to.bindings.push(binding);
    });
}

/// `[channels.NAME]`, where NAME is a plugin.
pub(super) fn channels(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    reader.named(at, |name, span, at, reader| {
        let Ok(name) = name.parse::<PluginName>() else {
            return reader.problem(Problem::new(span, value::NAME));
        };
        if !to.plugins.iter().any(|plugin| plugin.name == name) {
            let near = suggest::nearest(name.as_str(), to.plugins.iter().map(|plugin| plugin.name.as_str()));
            reader.gap(Problem::new(span, format!("there is no plugin `{name}`")).help(match near {
                Some(near) => format!("did you mean [channels.{near}]?"),
                None => "a channel has the name of its plugin, in [[plugins]]".to_owned(),
            }));
        }
        let mut channel = ChannelConfig::default();
        reader.table(at, schema::CHANNEL, &mut channel);
        to.channels.insert(name, channel);
    });
}

/// What a binding matches.
fn parts(binding: &BindingConfig) -> [&Option<String>; 5] {
    let BindingConfig { agent: _, channel, account, team, guild, peer } = binding;
    [channel, account, team, guild, peer]
}
