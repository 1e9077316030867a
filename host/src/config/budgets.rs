//! `[budgets]`: what may be spent, by whom, and who is told.

use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;

use super::model::{AgentName, Config, PluginName};
use super::problem::Problem;
use super::reader::{Field, Reader, field};
use super::suggest;
use super::value::{self, Node, Read};
use crate::money::NanoDollars;

/// The channel of clients that speak to the gateway itself.
const CLIENTS: &str = "websocket";
/// The most tokens that a budget can name.
const MAX_TOKENS: u64 = 1_000_000_000_000_000;

/// `[budgets]`. Every limit holds by itself: a call must fit into all that cover it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetsConfig {
    /// Where a day and a month begin at midnight.
    pub time_zone: TimeZone,
    /// Parts of a limit at which the owner is told, rising.
    pub warn_at: Vec<Percent>,
    /// Who is told besides the log.
    pub warn_to: Vec<WarnTo>,
    /// Of each session, from its beginning.
    pub session: Limit,
    /// Of everything together.
    pub all: Limits,
    /// `[budgets.agents.NAME]`.
    pub agents: BTreeMap<AgentName, Limits>,
    /// `[budgets.channels.NAME]`.
    pub channels: BTreeMap<String, Limits>,
    /// `[budgets.peers]`: of each who writes, by themselves, on each account of a channel.
    pub each_peer: Limits,
    /// `[budgets.peers."CHANNEL:PEER"]`, whole: what a table leaves out is filled in from `[budgets.peers]`.
    pub peers: BTreeMap<PeerName, Limits>,
    /// `[budgets.plugins.NAME]`: of the calls that read what this plugin's tools returned.
    pub plugins: BTreeMap<PluginName, Limits>,
}

/// The most that may be spent, in either unit or both. Absent means without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// Tokens: input, cached input and output together.
    pub tokens: Option<u64>,
    /// Money.
    pub cost: Option<NanoDollars>,
}

/// The limits of one of those who spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// From midnight to midnight.
    pub daily: Limit,
    /// From the first of a month to the next.
    pub monthly: Limit,
    /// In all.
    pub total: Limit,
}

/// A part of a limit: 1 to 100 hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u8);

impl Percent {
    /// The whole.
    pub const ALL: Self = Self(100);

    /// So many hundredths, if they are at least one and no more than the whole.
    #[must_use]
    pub const fn new(hundredths: u8) -> Option<Self> {
        match hundredths {
            1..=100 => Some(Self(hundredths)),
            _ => None,
        }
    }

    /// How many hundredths.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// Who writes, on which channel, whatever the account: `CHANNEL:PEER`, the peer as the platform names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerName {
    /// The channel's name.
    pub channel: String,
    /// The peer, which may contain anything.
    pub peer: String,
}

/// A conversation in which the owner is told: `AGENT:CHANNEL:ACCOUNT:PEER`, as sessions are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarnTo {
    /// The agent.
    pub agent: AgentName,
    /// The channel's name.
    pub channel: String,
    /// The account on the channel.
    pub account: String,
    /// The other side of the conversation.
    pub peer: String,
}

impl Default for BudgetsConfig {
    fn default() -> Self {
        Self {
            time_zone: TimeZone::UTC,
            warn_at: vec![Percent(80), Percent::ALL],
            warn_to: Vec::new(),
            session: Limit::default(),
            all: Limits::default(),
            agents: BTreeMap::new(),
            channels: BTreeMap::new(),
            each_peer: Limits::default(),
            peers: BTreeMap::new(),
            plugins: BTreeMap::new(),
        }
    }
}

/// `[budgets]`, without the tables for some.
pub(super) const BUDGETS: &[Field<Config>] = &[
    field("time_zone", |to, at, reader| reader.one(&mut to.budgets.time_zone, at, time_zone)),
    field("warn_at", |to, at, reader| {
        reader.list(&mut to.budgets.warn_at, at, |n| value::integer(n, 1..=100).map(Percent));
        to.budgets.warn_at.sort_unstable();
    }),
    field("warn_to", |to, at, reader| {
        let agents = &to.agents;
        reader.list(&mut to.budgets.warn_to, at, |node| warn_to(node, agents.keys()));
    }),
    field("session", |to, at, reader| reader.one(&mut to.budgets.session.tokens, at, tokens)),
    field("session_usd", |to, at, reader| reader.one(&mut to.budgets.session.cost, at, cost)),
    field("daily", |to, at, reader| reader.one(&mut to.budgets.all.daily.tokens, at, tokens)),
    field("daily_usd", |to, at, reader| reader.one(&mut to.budgets.all.daily.cost, at, cost)),
    field("monthly", |to, at, reader| reader.one(&mut to.budgets.all.monthly.tokens, at, tokens)),
    field("monthly_usd", |to, at, reader| reader.one(&mut to.budgets.all.monthly.cost, at, cost)),
    field("total", |to, at, reader| reader.one(&mut to.budgets.all.total.tokens, at, tokens)),
    field("total_usd", |to, at, reader| reader.one(&mut to.budgets.all.total.cost, at, cost)),
    field("agents", agents),
    field("channels", channels),
    field("peers", peers),
    field("plugins", plugins),
];

/// `[budgets.agents.NAME]` and its like.
pub(super) const LIMITS: &[Field<Limits>] = &[
    field("daily", |to, at, reader| reader.one(&mut to.daily.tokens, at, tokens)),
    field("daily_usd", |to, at, reader| reader.one(&mut to.daily.cost, at, cost)),
    field("monthly", |to, at, reader| reader.one(&mut to.monthly.tokens, at, tokens)),
    field("monthly_usd", |to, at, reader| reader.one(&mut to.monthly.cost, at, cost)),
    field("total", |to, at, reader| reader.one(&mut to.total.tokens, at, tokens)),
    field("total_usd", |to, at, reader| reader.one(&mut to.total.cost, at, cost)),
];

fn tokens(node: &Node<'_>) -> Read<Option<u64>> {
    value::bound(node, |node| value::integer(node, 0..=MAX_TOKENS))
}

fn cost(node: &Node<'_>) -> Read<Option<NanoDollars>> {
    value::bound(node, value::dollars)
}

fn time_zone(node: &Node<'_>) -> Read<TimeZone> {
    let text = value::text(node)?;
    // What means the machine's own zone would differ between machines.
    let known = Some(text.as_str()).filter(|text| !text.eq_ignore_ascii_case("local"));
    known.and_then(|text| TimeZone::get(text).ok()).ok_or_else(|| {
        let problem = Problem::new(node.span(), "expected a time zone of the IANA database");
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        match suggest::nearest(&text, names.iter().map(String::as_str)) {
            Some(near) => problem.help(format!("did you mean \"{near}\"?")),
            None => problem.help("write \"Europe/Berlin\", \"America/New_York\" or the like"),
        }
    })
}

fn warn_to<'a>(node: &Node<'_>, agents: impl Iterator<Item = &'a AgentName>) -> Read<WarnTo> {
    let problem = |what: &str| Problem::new(node.span(), what.to_owned());
    let text = value::text(node)?;
    let part = |part: &str| {
        let decoded = percent_decode_str(part).decode_utf8().ok()?;
        (!decoded.is_empty()).then(|| decoded.into_owned())
    };
    // Long enough for every platform, and short enough for a session's key.
    let parts = Some(text.split(':').collect::<Vec<_>>()).filter(|_| text.len() <= 300);
    let parts = match parts.as_deref() {
        Some(&[agent, channel, account, peer]) => part(agent).zip(part(channel)).zip(part(account).zip(part(peer))),
        _ => None,
    };
    let Some(((agent, channel), (account, peer))) = parts else {
        return Err(problem("expected a session such as \"default:telegram:bot:123456789\"")
            .help("it is AGENT:CHANNEL:ACCOUNT:PEER, as the log names sessions"));
    };
    let agent: AgentName = agent.parse().map_err(|_| problem(value::NAME))?;
    let names: Vec<&str> = agents.map(AgentName::as_str).collect();
    if !names.contains(&agent.as_str()) {
        return Err(problem("the session's agent does not exist").help(
            match suggest::nearest(agent.as_str(), names) {
                Some(near) => format!("did you mean \"{near}:…\"?"),
                None => format!("describe it in [agents.{agent}]"),
            },
        ));
    }
    Ok(WarnTo { agent, channel, account, peer })
}

fn agents(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    reader.named(at, |name, span, at, reader| {
        let Ok(name) = name.parse::<AgentName>() else { return reader.problem(Problem::new(span, value::NAME)) };
        if !to.agents.contains_key(&name) {
            let near = suggest::nearest(name.as_str(), to.agents.keys().map(AgentName::as_str));
            reader.gap(Problem::new(span, format!("there is no agent `{name}`")).help(match near {
                Some(near) => format!("did you mean [budgets.agents.{near}]?"),
                None => format!("describe it in [agents.{name}]"),
            }));
        }
        reader.table(at, LIMITS, to.budgets.agents.entry(name).or_default());
    });
}

fn plugins(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    reader.named(at, |name, span, at, reader| {
        let Ok(name) = name.parse::<PluginName>() else { return reader.problem(Problem::new(span, value::NAME)) };
        let plugins = || to.plugins.iter().map(|plugin| plugin.name.as_str());
        if !plugins().any(|plugin| plugin == name.as_str()) {
            let near = suggest::nearest(name.as_str(), plugins());
            reader.gap(Problem::new(span, format!("there is no plugin `{name}`")).help(match near {
                Some(near) => format!("did you mean [budgets.plugins.{near}]?"),
                None => "it needs a place in [[plugins]]".to_owned(),
            }));
        }
        reader.table(at, LIMITS, to.budgets.plugins.entry(name).or_default());
    });
}

fn channels(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    reader.named(at, |name, span, at, reader| {
        if let Some(problem) = unknown_channel(to, name, span) {
            reader.gap(problem);
        }
        reader.table(at, LIMITS, to.budgets.channels.entry(name.to_owned()).or_default());
    });
}

fn peers(to: &mut Config, at: &Node<'_>, reader: &mut Reader<'_>) {
    reader.table_beside_named(at, LIMITS, &mut to.budgets.each_peer);
    let each = to.budgets.each_peer;
    reader.named_beside(at, LIMITS, |name, span, at, reader| {
        let parts = name.split_once(':').filter(|(channel, peer)| !channel.is_empty() && !peer.is_empty());
        let Some((channel, peer)) = parts else {
            let problem = Problem::new(span, "expected a key of [budgets.peers], or a peer's table");
            return reader.problem(problem.help("a peer is \"CHANNEL:PEER\": [budgets.peers.\"telegram:123456789\"]"));
        };
        if let Some(problem) = unknown_channel(to, channel, span) {
            reader.gap(problem);
        }
        let name = PeerName { channel: channel.to_owned(), peer: peer.to_owned() };
        let mut limits = each;
        reader.table(at, LIMITS, &mut limits);
        to.budgets.peers.insert(name, limits);
    });
}

/// A channel is a plugin, that of clients, or one that a binding names for them.
fn unknown_channel(config: &Config, name: &str, span: std::ops::Range<usize>) -> Option<Problem> {
    let plugins = config.plugins.iter().map(|plugin| plugin.name.as_str());
    let bound = config.bindings.iter().filter_map(|binding| binding.channel.as_deref());
    let known: Vec<&str> = plugins.chain(bound).chain([CLIENTS]).collect();
    if known.contains(&name) {
        return None;
    }
    let shown = crate::text::one_line(name, 60);
    Some(Problem::new(span, format!("there is no channel `{shown}`")).help(match suggest::nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("a channel has the name of its plugin, in [[plugins]]; that of clients is `{CLIENTS}`"),
    }))
}
