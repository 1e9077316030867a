//! `exoclaw plugin inspect`: what a plugin is and could do, in plain words.

use std::fmt::Write as _;

use serde_json::Value;

use crate::kit::view::{HintsView, LackView, LimitsView, PluginView, ToolView};
use crate::text;

/// Characters of one name, and of one line of text.
const NAME: usize = 120;
const LINE: usize = 2_000;

/// Where a plugin is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Here, only to be described.
    Here,
    /// In a gateway, which calls it.
    Running,
}

/// Sentences about a plugin. Nothing of its own text is obeyed.
pub(super) fn describe(plugin: &PluginView, seen: Seen) -> String {
    let mut out = String::new();
    let what = match (plugin.kind.as_str(), &plugin.channel) {
        ("channel", Some(channel)) => format!("a channel for {}", name(&channel.platform)),
        ("channel", None) => "a channel".to_owned(),
        ("tool", _) => "a tool plugin".to_owned(),
        (kind, _) => name(kind),
    };
    let _ = writeln!(out, "{} is {what}: {}", name(&plugin.name), name(&plugin.source));
    let _ = writeln!(out, "  {} bytes, SHA-256 {}", plugin.size, name(&plugin.sha256));
    let _ = writeln!(out, "  exports {}\n", list(plugin.exports.iter()));
    if !plugin.tools.is_empty() {
        out.push_str("The model may call\n");
        plugin.tools.iter().for_each(|one| tool(&mut out, one));
    }
    channel(&mut out, plugin);
    out.push_str("It could\n");
    let powers = plugin.powers();
    if powers.is_empty() {
        out.push_str("  do nothing but calculate\n");
    }
    for (means, imports) in powers {
        let _ = writeln!(out, "  {}  ({})", text::one_line(means, LINE), list(imports));
    }
    asks(&mut out, plugin);
    lacks(&mut out, &plugin.lacks);
    let mut inert = plugin.inert().peekable();
    if inert.peek().is_some() {
        let _ = writeln!(out, "\nAsked for by its standard library, and empty here\n  {}", list(inert));
    }
    limits(&mut out, &plugin.limits);
    if seen == Seen::Running {
        let _ = writeln!(out, "\nSince it was loaded\n  {} calls, {} without an answer", plugin.calls, plugin.failures);
    }
    if let Some(quarantine) = &plugin.quarantine {
        let reason = text::one_line(&quarantine.reason, LINE);
        let _ = writeln!(out, "  it failed too often and is not called for a while; the last time: {reason}");
    }
    out
}

fn limits(out: &mut String, limits: &LimitsView) {
    let (memory, result) = (name(&limits.memory), name(&limits.result));
    // An older gateway does not say it.
    let cpu = if limits.cpu_ms > 0 { format!(" ({} ms of a processor)", limits.cpu_ms) } else { String::new() };
    let _ = writeln!(
        out,
        "\nOne call may take\n  {memory} of memory, {} ms{cpu}, and return {result}; {} calls at once",
        limits.time_ms, limits.concurrency
    );
}

fn tool(out: &mut String, tool: &ToolView) {
    let title = tool.title.as_deref().map(|title| format!("  ({})", name(title))).unwrap_or_default();
    let _ = writeln!(out, "  {}{title}", name(&tool.name));
    let _ = writeln!(out, "      {}", text::one_line(&tool.description, LINE));
    let _ = writeln!(out, "      takes: {}", arguments(&tool.input_schema));
    let _ = writeln!(out, "      {}\n", hints(tool.hints));
}

/// `city (string), days (integer, may be left out)`.
fn arguments(schema: &Value) -> String {
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required.as_str() == Some(name)))
    };
    let kind = |schema: &Value| match &schema["type"] {
        Value::String(kind) => name(kind),
        Value::Array(kinds) => list(kinds.iter().filter_map(Value::as_str)),
        _ => "anything".to_owned(),
    };
    let properties = schema["properties"].as_object().into_iter().flatten();
    let arguments: Vec<String> = properties
        .map(|(argument, schema)| {
            let rest = if required(argument) { "" } else { ", may be left out" };
            format!("{} ({}{rest})", name(argument), kind(schema))
        })
        .collect();
    if arguments.is_empty() { "no arguments".to_owned() } else { arguments.join(", ") }
}

fn hints(hints: HintsView) -> String {
    let said: Vec<&str> = hints.words().into_iter().filter_map(|(said, words)| said.then_some(words)).collect();
    match (said.is_empty(), hints.believed) {
        (true, _) => "it promises nothing: it may change things, and reach anything that it is granted".to_owned(),
        (false, true) => format!("it promises that it {}", said.join(", ")),
        (false, false) => format!("it promises that it {}; the host does not count on it", said.join(", ")),
    }
}

fn channel(out: &mut String, plugin: &PluginView) {
    let Some(channel) = &plugin.channel else { return };
    let verified = match channel.webhook["verification"]["by"].as_str() {
        None => "It has no webhook".to_owned(),
        Some("none") => "It has a webhook whose calls are not verified".to_owned(),
        Some(by) => format!("It has a webhook; calls are verified by {}", name(by)),
    };
    let _ = writeln!(out, "{verified}");
    let features = channel.features.as_object().into_iter().flatten();
    let features: Vec<String> = features
        .filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)))
        .map(|(feature, value)| match value {
            Value::Bool(true) => name(feature),
            value => format!("{} {}", name(feature), name(&value.to_string())),
        })
        .collect();
    if !features.is_empty() {
        let _ = writeln!(out, "Its platform has {}", features.join(", "));
    }
    out.push('\n');
}

fn asks(out: &mut String, plugin: &PluginView) {
    if plugin.hosts.is_empty() && plugin.secrets.is_empty() {
        return;
    }
    out.push_str("\nIt asks for\n");
    for host in &plugin.hosts {
        let _ = writeln!(out, "  the host {}", name(host));
    }
    for secret in &plugin.secrets {
        let _ = writeln!(out, "  the secret {}, which it never sees", name(secret));
    }
}

fn lacks(out: &mut String, lacks: &[LackView]) {
    if lacks.is_empty() {
        return;
    }
    let needed: Vec<&str> = lacks.iter().filter(|lack| lack.needed).map(|lack| lack.what.as_str()).collect();
    out.push_str("\nIt lacks these grants; to give them, write under its [[plugins]] in the config\n");
    out.push_str("  [plugins.grants]\n");
    for lack in lacks {
        let _ = writeln!(out, "  {}", text::escape(&lack.line, &[]));
    }
    if !needed.is_empty() {
        let _ = writeln!(out, "Without {} it is not loaded", list(needed));
    }
}

fn name(text: &str) -> String {
    text::one_line(text, NAME)
}

fn list<'a>(items: impl IntoIterator<Item = impl AsRef<str> + 'a>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| name(item.as_ref())).collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn described(json: Value) -> String {
        describe(&serde_json::from_value(json).unwrap(), Seen::Running)
    }

    #[test]
    fn a_tool_is_told_in_sentences() {
        let text = described(json!({
            "name": "weather", "kind": "tool", "source": "weather.wasm", "sha256": "ab", "size": 5,
            "exports": ["exoclaw:plugin/tool@0.1.0"],
            "imports": [
                { "name": "wasi:http/types@0.2.4", "means": "send HTTP requests" },
                { "name": "wasi:http/outgoing-handler@0.2.4", "means": "send HTTP requests" },
                { "name": "wasi:cli/exit@0.2.6", "inert": true },
            ],
            "hosts": ["api.example.com"], "secrets": ["key"],
            "calls": 7, "failures": 3, "quarantine": { "reason": "the plugin\ncrashed" },
            "limits": { "memory": "64MiB", "time_ms": 5000, "cpu_ms": 900, "result": "1MiB", "concurrency": 4 },
            "lacks": [{ "what": "requests to api.example.com", "line": "http = [\"api.example.com\"]", "needed": true }],
            "tools": [{ "name": "forecast", "description": "Tells\nthe weather.", "hints": { "read_only": true },
                "input_schema": { "properties": { "city": { "type": "string" }, "days": { "type": "integer" } }, "required": ["city"] } }],
        }));
        for line in [
            "weather is a tool plugin: weather.wasm\n",
            "      Tells the weather.\n      takes: city (string), days (integer, may be left out)\n",
            "      it promises that it changes nothing; the host does not count on it\n",
            "It could\n  send HTTP requests  (wasi:http/types@0.2.4, wasi:http/outgoing-handler@0.2.4)\n",
            "It asks for\n  the host api.example.com\n  the secret key, which it never sees\n",
            "  [plugins.grants]\n  http = [\"api.example.com\"]\nWithout requests to api.example.com it is not loaded\n",
            "empty here\n  wasi:cli/exit@0.2.6\n",
            "  64MiB of memory, 5000 ms (900 ms of a processor), and return 1MiB; 4 calls at once\n",
            "  7 calls, 3 without an answer\n  it failed too often and is not called for a while; the last time: the plugin crashed\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_channel_is_told_in_sentences_and_nothing_of_it_is_obeyed() {
        let text = described(json!({
            "name": "x", "kind": "channel", "source": "a\u{1b}[2J",
            "channel": { "platform": "irc", "webhook": { "verification": { "by": "none" } },
                         "features": { "typing_ms": 4000, "reactions": true, "threads": false } },
        }));
        assert!(text.starts_with("x is a channel for irc: a\\u{1b}[2J\n"), "{text}");
        assert!(
            text.contains("a webhook whose calls are not verified\nIts platform has reactions, typing_ms 4000\n"),
            "{text}"
        );
        assert!(text.contains("do nothing but calculate"), "{text}");
    }
}
