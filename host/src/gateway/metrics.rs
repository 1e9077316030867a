//! `/metrics`: what the gateway counts, in Prometheus' text format, version 0.0.4.
//!
//! Names and units follow Prometheus' conventions: `_total` for what only grows, seconds, bytes.
//! `docs/protocol.md` lists them.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::Shared;
use crate::agent::Load;
use crate::channel::{ChannelHealth, ChannelStatus};
use crate::metering::{BudgetRow, ModelTally, Quantity, Scope};
use crate::money::NanoDollars;
use crate::runtime::{PluginReading, PoolReading, Readings};
use crate::store::{Health, Timestamp};

/// Of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page, as of now.
pub(super) fn page(shared: &Shared) -> String {
    let state = &shared.state;
    let mut page = Page::default();
    page.gateway(&Gateway {
        version: state.version,
        started_at: state.started_at,
        ready: shared.unready().is_none(),
        store_healthy: shared.health() == Health::Well,
        connections: shared.connections(),
        sessions: state.dispatcher.hub().topics(),
        turns: state.dispatcher.load(),
    });
    let Readings { plugins, pool } = state.plugins.readings();
    page.plugins(&plugins);
    if let Some(pool) = &pool {
        page.pool(pool);
    }
    page.channels(&state.channels.channels());
    let meter = state.dispatcher.meter();
    page.models(&meter.tally());
    page.budgets(&meter.loaded_budgets(Timestamp::now()));
    page.text
}

/// What the gateway tells of itself.
struct Gateway<'a> {
    version: &'a str,
    started_at: Timestamp,
    ready: bool,
    store_healthy: bool,
    connections: usize,
    sessions: usize,
    turns: Load,
}

/// A page in the making: families one after the other, each with its samples together.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

/// A sample's value.
enum Value {
    Whole(u64),
    Seconds(Duration),
    Dollars(NanoDollars),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(u64::try_from(value).unwrap_or(u64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Seconds(value)
    }
}

impl From<NanoDollars> for Value {
    fn from(value: NanoDollars) -> Self {
        Self::Dollars(value)
    }
}

impl From<Quantity> for Value {
    fn from(value: Quantity) -> Self {
        match value {
            Quantity::Tokens(tokens) => Self::Whole(tokens),
            Quantity::Cost(cost) => Self::Dollars(cost),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Seconds(value) => write!(f, "{}", value.as_secs_f64()),
            Self::Dollars(value) => write!(f, "{}", value.to_f64()),
        }
    }
}

/// What a family's values do.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// They only grow, until the process ends or the plugin is loaded anew.
    Counter,
    /// They go up and down.
    Gauge,
}

/// The samples of one family.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {}\n# TYPE {name} {kind}", Escaped::Help(help));
        Family { text: &mut self.text, name }
    }

    fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, Kind::Gauge, help)
    }

    fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, Kind::Counter, help)
    }

    fn gateway(&mut self, gateway: &Gateway<'_>) {
        self.gauge("exoclaw_build_info", "1, with the version of the program.")
            .sample(&[("version", gateway.version)], 1_u64);
        self.gauge("process_start_time_seconds", "When the program started, since the Unix epoch.")
            .sample(&[], Duration::from_millis(gateway.started_at.0));
        self.gauge("exoclaw_ready", "1 while /readyz answers 200.").sample(&[], gateway.ready);
        self.gauge("exoclaw_store_healthy", "1 while the store stores what it is asked to.")
            .sample(&[], gateway.store_healthy);
        self.gauge("exoclaw_connections", "Open connections.").sample(&[], gateway.connections);
        self.gauge("exoclaw_sessions_active", "Sessions that are at work or watched.").sample(&[], gateway.sessions);
        self.gauge("exoclaw_turns", "Turns under way.")
            .sample(&[("state", "running")], gateway.turns.running)
            .sample(&[("state", "queued")], gateway.turns.queued);
    }

    fn plugins(&mut self, plugins: &[PluginReading]) {
        let mut calls = self.counter("exoclaw_plugin_calls_total", "Calls of a plugin that ended, by how they ended.");
        for PluginReading { name, counts, .. } in plugins {
            for (outcome, count) in [("ok", counts.ok), ("error", counts.errors), ("failure", counts.failed())] {
                calls.sample(&[("plugin", name), ("outcome", outcome)], count);
            }
        }
        let mut failures = self.counter("exoclaw_plugin_failures_total", "Calls without an answer, by class.");
        for PluginReading { name, counts, .. } in plugins {
            for (class, count) in &counts.failures {
                failures.sample(&[("plugin", name), ("class", class.name())], *count);
            }
        }
        let mut each = |kind, name, help, value: fn(&PluginReading) -> Value| {
            let mut family = self.family(name, kind, help);
            for plugin in plugins {
                family.sample(&[("plugin", &plugin.name)], value(plugin));
            }
        };
        each(Kind::Gauge, "exoclaw_plugin_calls_running", "Calls that run now.", |plugin| plugin.running.into());
        each(Kind::Counter, "exoclaw_plugin_cpu_seconds_total", "Time that processors spent on calls.", |plugin| {
            plugin.counts.cpu.into()
        });
        each(Kind::Counter, "exoclaw_plugin_run_seconds_total", "Time that calls held their slots.", |plugin| {
            plugin.counts.wall.into()
        });
        each(Kind::Gauge, "exoclaw_plugin_memory_peak_bytes", "The most memory that a call held.", |plugin| {
            plugin.counts.peak_memory.into()
        });
        each(Kind::Counter, "exoclaw_plugin_egress_bytes_total", "Bytes that calls sent and received.", |plugin| {
            plugin.counts.egress.into()
        });
        each(Kind::Gauge, "exoclaw_plugin_quarantined", "1 while the plugin is not called.", |plugin| {
            plugin.quarantine.is_some().into()
        });
        each(Kind::Counter, "exoclaw_plugin_quarantines_total", "Times that quarantine began or went on.", |plugin| {
            plugin.counts.quarantines.into()
        });
    }

    fn channels(&mut self, channels: &[ChannelStatus]) {
        let mut up = self.gauge("exoclaw_channel_ready", "1 while the channel hears and speaks.");
        for channel in channels {
            up.sample(&[("channel", &channel.name)], channel.health == ChannelHealth::Ready);
        }
        let mut events = self.counter("exoclaw_channel_events_total", "Events put to the channel's plugin.");
        for channel in channels {
            events.sample(&[("channel", &channel.name)], channel.received.events);
        }
        let mut messages =
            self.counter("exoclaw_channel_messages_total", "Messages that came, by what became of them.");
        for ChannelStatus { name, received, .. } in channels {
            for (outcome, count) in
                [("taken", received.messages), ("noted", received.noted), ("repeat", received.repeats)]
            {
                messages.sample(&[("channel", name), ("outcome", outcome)], count);
            }
        }
        let mut set_aside = self.counter("exoclaw_channel_set_aside_total", "Events that the plugin did not get past.");
        for channel in channels {
            set_aside.sample(&[("channel", &channel.name)], channel.received.set_aside);
        }
        let mut deliveries = self.counter("exoclaw_channel_deliveries_total", "Deliveries that ended, by how.");
        for ChannelStatus { name, sent, .. } in channels {
            for (outcome, count) in [("delivered", sent.delivered), ("dead", sent.dead), ("unknown", sent.unknown)] {
                deliveries.sample(&[("channel", name), ("outcome", outcome)], count);
            }
        }
        let mut calls = self.counter("exoclaw_webhook_calls_total", "Calls of a channel's webhook, by how they ended.");
        for ChannelStatus { name, webhook, .. } in channels {
            let Some(webhook) = webhook else { continue };
            let calls_of = &webhook.calls;
            for (outcome, count) in [
                ("taken", calls_of.taken),
                ("challenge", calls_of.challenges),
                ("replay", calls_of.replays),
                ("refused", calls_of.refused),
                ("malformed", calls_of.malformed),
                ("unavailable", calls_of.unavailable),
            ] {
                calls.sample(&[("channel", name), ("outcome", outcome)], count);
            }
        }
    }

    fn models(&mut self, models: &[(String, String, ModelTally)]) {
        let mut calls = self.counter("exoclaw_model_calls_total", "Calls of a model that ended, by how they ended.");
        for (provider, model, tally) in models {
            for (outcome, count) in
                [("finished", tally.finished), ("cut", tally.cut), ("failed", tally.failed), ("lost", tally.lost)]
            {
                calls.sample(&[("provider", provider), ("model", model), ("outcome", outcome)], count);
            }
        }
        let mut tokens =
            self.counter("exoclaw_model_tokens_total", "Tokens that calls consumed. No kind is part of another.");
        for (provider, model, ModelTally { tokens: counts, .. }) in models {
            for (kind, count) in [
                ("input", counts.input_tokens),
                ("output", counts.output_tokens),
                ("cache_read", counts.cache_read_tokens),
                ("cache_write", counts.cache_write_tokens),
            ] {
                tokens.sample(&[("provider", provider), ("model", model), ("kind", kind)], count);
            }
        }
        let mut costs =
            self.counter("exoclaw_model_cost_dollars_total", "What calls cost, as far as prices are known.");
        for (provider, model, tally) in models {
            costs.sample(&[("provider", provider), ("model", model)], tally.cost);
        }
    }

    /// Budgets that the config names; those of each session and peer would be too many.
    fn budgets(&mut self, rows: &[BudgetRow]) {
        let rows: Vec<_> =
            rows.iter().filter(|row| !matches!(row.scope, Scope::Session(_) | Scope::Peer { .. })).collect();
        let mut each = |name, help, value: fn(&BudgetRow) -> Quantity| {
            let mut family = self.gauge(name, help);
            for row in &rows {
                let (scope, of) = (row.scope.kind(), row.scope.name().unwrap_or_default());
                let period = row.period.to_string();
                let labels =
                    [("scope", scope), ("name", &of), ("period", &period), ("unit", row.limit.unit().as_str())];
                family.sample(&labels, value(row));
            }
        };
        each("exoclaw_budget_used", "What is used of a budget, in tokens or US dollars.", |row| row.used);
        each("exoclaw_budget_reserved", "What is set aside of it for calls under way.", |row| row.reserved);
        each("exoclaw_budget_limit", "What may be used.", |row| row.limit);
    }

    fn pool(&mut self, pool: &PoolReading) {
        self.gauge("exoclaw_pool_slots", "Places for calls of plugins.").sample(&[], pool.slots);
        self.gauge("exoclaw_pool_slots_free", "Places that nobody has.").sample(&[], pool.slots_free);
        self.gauge("exoclaw_pool_used", "What calls use of the pool.")
            .sample(&[("kind", "component_instance")], pool.component_instances)
            .sample(&[("kind", "core_instance")], pool.core_instances)
            .sample(&[("kind", "memory")], pool.memories)
            .sample(&[("kind", "table")], pool.tables)
            .sample(&[("kind", "stack")], pool.stacks);
        self.gauge("exoclaw_pool_warm", "What was used before and waits to be used again.")
            .sample(&[("kind", "memory")], pool.warm_memories)
            .sample(&[("kind", "table")], pool.warm_tables)
            .sample(&[("kind", "stack")], pool.warm_stacks);
        self.gauge("exoclaw_pool_warm_bytes", "Memory that this keeps meanwhile.").sample(&[], pool.warm_bytes);
    }
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) -> &mut Self {
        self.text.push_str(self.name);
        for (index, (name, label)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"{}\"", Escaped::Label(label));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{after} {}", value.into());
        self
    }
}

/// A text on its line. The format escapes quotes in labels, and must not in help.
enum Escaped<'a> {
    Help(&'a str),
    Label(&'a str),
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Help(text) | Self::Label(text)) = self;
        for letter in text.chars() {
            match (letter, self) {
                ('\\', _) => f.write_str(r"\\")?,
                ('\n', _) => f.write_str(r"\n")?,
                ('"', Self::Label(_)) => f.write_str("\\\"")?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_label_or_a_line_is_escaped() {
        let mut page = Page::default();
        page.gauge("x", "A \"help\"\nof \\ lines.").sample(&[("a", "b\"c\\d\ne"), ("f", "é")], 1_u64);
        assert_eq!(
            page.text,
            "# HELP x A \"help\"\\nof \\\\ lines.\n# TYPE x gauge\nx{a=\"b\\\"c\\\\d\\ne\",f=\"é\"} 1\n"
        );
    }

    #[test]
    fn seconds_are_written_without_an_exponent() {
        assert_eq!(Value::from(Duration::from_nanos(1)).to_string(), "0.000000001");
        assert_eq!(Value::from(Duration::from_millis(1_773_497_366_123)).to_string(), "1773497366.123");
        assert_eq!(Value::from(Duration::ZERO).to_string(), "0");
    }

    #[test]
    fn every_metric_is_in_the_documentation() {
        let mut page = Page::default();
        let turns = Load { running: 0, queued: 0 };
        let started_at = Timestamp(0);
        page.gateway(&Gateway {
            version: "0",
            started_at,
            ready: true,
            store_healthy: true,
            connections: 0,
            sessions: 0,
            turns,
        });
        page.plugins(&[]);
        page.models(&[]);
        page.budgets(&[]);
        page.pool(&PoolReading {
            slots: 1,
            slots_free: 1,
            component_instances: 0,
            core_instances: 0,
            memories: 0,
            tables: 0,
            stacks: 0,
            warm_memories: 0,
            warm_tables: 0,
            warm_stacks: 0,
            warm_bytes: 0,
        });
        page.channels(&[]);
        let documentation = include_str!("../../../docs/protocol.md");
        let names: Vec<&str> = page.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert!(names.len() > 15, "{names:?}");
        for name in names {
            let (name, kind) = name.split_once(' ').unwrap();
            assert!(documentation.contains(&format!("| `{name}`")), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        }
    }
}
