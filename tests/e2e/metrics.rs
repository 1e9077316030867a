//! `/metrics`, and what else an owner sees of the plugins' limits.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde_json::json;

use crate::harness::{Client, Gateway, Wire, exoclaw, fetch};
use crate::sandbox::{component, obedient, plugin, with_hostile};

/// The samples of a page, by name and labels.
type Samples = BTreeMap<String, f64>;

/// Reads a page as the format's description has it, and takes nothing that it does not allow:
/// https://prometheus.io/docs/instrumenting/exposition_formats/, "Text format details".
fn parse(page: &str) -> Samples {
    assert!(page.ends_with('\n'), "the last line ends");
    let mut samples = Samples::new();
    let mut families = HashSet::new();
    let (mut helped, mut family, mut kind) = (String::new(), String::new(), String::new());
    for line in page.trim_end_matches('\n').split('\n') {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a help text");
            assert!(!text.is_empty() && is_name(name), "{line}");
            helped = name.to_owned();
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, word) = of.split_once(' ').expect("a type");
            assert_eq!(name, helped, "the help comes first");
            assert!(["counter", "gauge"].contains(&word), "{line}");
            assert_eq!(word == "counter", name.ends_with("_total"), "{line}");
            assert!(families.insert(name.to_owned()), "the lines of {name} stand together");
            (family, kind) = (name.to_owned(), word.to_owned());
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a value");
            let value: f64 = value.parse().expect("a number");
            assert!(value.is_finite() && (kind != "counter" || value >= 0.0), "{line}");
            let (name, labels) = sample
                .split_once('{')
                .map_or((sample, None), |(name, rest)| (name, Some(rest.strip_suffix('}').expect("the labels end"))));
            assert_eq!(name, family, "{line}");
            if let Some(labels) = labels {
                check_labels(labels);
            }
            assert!(samples.insert(sample.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    samples
}

fn is_name(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    !text.is_empty() && text.chars().all(is_letter) && !text.starts_with(|first: char| first.is_ascii_digit())
}

/// `a="b",c="d"`, with `\\`, `\"` and `\n` escaped and nothing else.
fn check_labels(labels: &str) {
    let mut rest = labels;
    let mut names = HashSet::new();
    loop {
        let (name, value) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name) && names.insert(name), "{labels}");
        let mut letters = value.char_indices();
        let end = loop {
            match letters.next().expect("the value ends") {
                (end, '"') => break end,
                (_, '\\') => assert!(matches!(letters.next(), Some((_, '\\' | '"' | 'n'))), "{labels}"),
                _ => {}
            }
        };
        rest = &value[end + 1..];
        if rest.is_empty() {
            return;
        }
        rest = rest.strip_prefix(',').expect("a comma");
    }
}

async fn scrape(gateway: &Gateway) -> Samples {
    let page = gateway.get("/metrics").await;
    assert_eq!(page.status, 200, "{}", page.body);
    parse(&page.body)
}

#[tokio::test]
async fn metrics_count_what_became_of_each_call() {
    let provider = obedient(Wire::Anthropic).await;
    let gateway = with_hostile(&provider, "time = \"300ms\"").await;
    let before = scrape(&gateway).await;
    assert_eq!(before["exoclaw_build_info{version=\"0.1.0\"}"], 1.0);
    assert_eq!(before["exoclaw_ready"], 1.0);
    assert_eq!(before["exoclaw_turns{state=\"running\"}"], 0.0);

    let mut client = Client::connect(&gateway).await;
    for tool in ["answer", "trap", "answer", "spin", "unsupported"] {
        client.ask(tool).await.done();
    }
    let after = scrape(&gateway).await;
    let grown = |name: &str| after[name] - before[name];
    let calls = |outcome| grown(&format!("exoclaw_plugin_calls_total{{plugin=\"hostile\",outcome=\"{outcome}\"}}"));
    assert_eq!([calls("ok"), calls("error"), calls("failure")], [2.0, 1.0, 2.0]);
    let failures = |class| grown(&format!("exoclaw_plugin_failures_total{{plugin=\"hostile\",class=\"{class}\"}}"));
    assert_eq!([failures("trap_unreachable"), failures("timeout"), failures("exit")], [1.0, 1.0, 0.0]);
    assert!(grown("exoclaw_plugin_cpu_seconds_total{plugin=\"hostile\"}") > 0.0);
    assert!(grown("exoclaw_plugin_run_seconds_total{plugin=\"hostile\"}") >= 0.3);
    assert!(after["exoclaw_plugin_memory_peak_bytes{plugin=\"hostile\"}"] >= 65_536.0);
    assert_eq!(after["exoclaw_plugin_calls_running{plugin=\"hostile\"}"], 0.0);
    assert_eq!(after["exoclaw_connections"], 1.0 + 1.0, "the client's, and the one that asks");
    assert_eq!(after["exoclaw_pool_slots"], after["exoclaw_pool_slots_free"]);
    assert_eq!(after["exoclaw_pool_used{kind=\"component_instance\"}"], 0.0);
    assert!(after["exoclaw_pool_warm{kind=\"memory\"}"] > 0.0);
}

#[tokio::test]
async fn metrics_are_for_whoever_may_use_the_gateway() {
    const TOKEN: &str = "token-KEYKEYKEY-of-the-gateway";
    let open = Gateway::builder().start().await;
    let asked = async |gateway: &Gateway, headers: &[(&str, &str)]| {
        fetch(gateway.address(), "/metrics", headers).await.expect("an answer").status
    };
    assert_eq!(asked(&open, &[]).await, 200);
    assert_eq!(asked(&open, &[("x-forwarded-for", "192.0.2.1")]).await, 401, "it is not local");
    assert_eq!(asked(&open, &[("host", "evil.example")]).await, 403);
    assert_eq!(asked(&open, &[("origin", "https://evil.example")]).await, 403);
    assert_eq!(asked(&open, &[("authorization", "Bearer nothing")]).await, 401);

    let closed = Gateway::builder().env("EXOCLAW_TOKEN", TOKEN).start().await;
    assert_eq!(asked(&closed, &[]).await, 401);
    assert_eq!(asked(&closed, &[("authorization", "Bearer wrong")]).await, 401);
    assert_eq!(asked(&closed, &[("authorization", &format!("Bearer {TOKEN}"))]).await, 200);
    let refused = fetch(closed.address(), "/metrics", &[]).await.expect("an answer").body;
    assert!(refused.contains("Bearer") && !refused.contains("exoclaw_"), "{refused}");
}

#[tokio::test]
async fn a_plugin_in_quarantine_is_shown_as_such_and_the_others_work() {
    let provider = obedient(Wire::OpenAi).await;
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let plugins =
        plugin("hostile", &component(folder.path(), "hostile"), "") + &plugin("clock", Path::new("bundled:clock"), "");
    let mut gateway = Gateway::builder().provider(&provider).plugins(&plugins).start().await;
    let mut client = Client::connect(&gateway).await;
    for _ in 0..5 {
        client.ask("trap").await.done();
    }
    let shown = client.ask("answer").await;
    let [(_, text, true)] = &shown.results()[..] else { panic!("{:?}", shown.results()) };
    assert!(text.contains("keeps failing") && text.contains("panicked or aborted"), "{text}");
    let healthy = client.ask("current_time").await;
    assert!(matches!(&healthy.results()[..], [(_, _, false)]), "{:?}", healthy.results());

    let status = client.call("status", json!({})).await.expect("a status");
    assert_eq!(status["quarantined"], json!(["hostile"]));
    let list = client.call("plugin.list", json!({})).await.expect("plugins");
    let [clock, hostile] = &list["plugins"].as_array().expect("plugins")[..] else { panic!("{list}") };
    assert_eq!((&clock["state"], &clock["quarantine"]), (&json!("ready"), &json!(null)));
    assert_eq!(hostile["state"], "quarantined");
    let quarantine = &hostile["quarantine"];
    assert!(quarantine["until"].as_u64() > quarantine["since"].as_u64(), "{quarantine}");
    assert_eq!(hostile["counts"]["failures"]["trap_unreachable"], 5);
    let whole = client.call("plugin.inspect", json!({"name": "hostile"})).await.expect("a plugin");
    assert_eq!((&whole["state"], &whole["counts"]["quarantines"]), (&json!("quarantined"), &json!(1)));

    let metrics = scrape(&gateway).await;
    assert_eq!(metrics["exoclaw_plugin_quarantined{plugin=\"hostile\"}"], 1.0);
    assert_eq!(metrics["exoclaw_plugin_quarantined{plugin=\"clock\"}"], 0.0);
    let cli = exoclaw(gateway.home(), &["plugin", "list", "--url", &gateway.url()]).await;
    let cli = cli.stdout();
    assert!(cli.contains("quarantined"), "{cli}");

    let logs = gateway.kill();
    let warnings: Vec<_> = logs.iter().filter(|line| line.contains("in quarantine")).collect();
    assert!(matches!(&warnings[..], [one] if one.contains("WARN") && one.contains("hostile")), "{warnings:?}");
}

#[tokio::test]
async fn a_plugin_logs_what_its_limit_allows_and_nothing_where_that_is_nothing() {
    let provider = obedient(Wire::Anthropic).await;
    for (limit, lines) in [("10KiB", 2), ("0KiB", 0)] {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let path = component(folder.path(), "hostile");
        let plugin = plugin("hostile", &path, &format!("[plugins.limits]\nlog = \"{limit}\""));
        let builder = Gateway::builder().provider(&provider).plugins(&plugin);
        let mut gateway = builder.env("EXOCLAW_LOG", "info,exoclaw::guest=debug").start().await;
        let mut client = Client::connect(&gateway).await;
        client.ask("shout 100").await.done();
        let logs = gateway.kill();
        assert_eq!(logs.iter().filter(|line| line.contains("aaaa")).count(), lines, "{limit}");
        let notices = logs.iter().filter(|line| line.contains("the rest is dropped")).count();
        assert_eq!(notices, usize::from(lines > 0), "{limit}");
    }
}
