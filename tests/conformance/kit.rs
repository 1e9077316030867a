//! The conformance kit: what conforms passes, and what does not fails where it should.

use exoclaw::config::ByteSize;
use exoclaw::kit::{self, Options, Outcome, Report, events};
use exoclaw::runtime::Linkage;
use serde_json::json;

use super::*;

async fn report(spec: PluginSpec, options: &Options) -> Report {
    let spec = PluginSpec { linkage: Linkage::Refusing, ..spec };
    kit::run(&RUNTIME, spec, options).await.unwrap()
}

/// The cases that failed, with their reasons.
fn failed(report: &Report) -> Vec<(&str, String)> {
    let reasons = |outcome: &Outcome| match outcome {
        Outcome::Fail(reasons) => Some(reasons.join("\n")),
        _ => None,
    };
    report.cases.iter().filter_map(|case| Some((case.id.as_str(), reasons(&case.outcome)?))).collect()
}

fn skipped(report: &Report) -> Vec<&str> {
    let skipped = report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Skip(_)));
    skipped.map(|case| case.id.as_str()).collect()
}

/// Messages in frames, as an unruly channel reads them.
fn frames(count: u32) -> Options {
    let frame = |id| json!({ "frame": { "tag": "t", "text": id } });
    let mut list = vec![json!({ "start": "new" })];
    list.extend((1..=count).map(|id| match id {
        2 => json!({ "echo": frame(id.to_string()) }),
        _ => frame(id.to_string()),
    }));
    Options { seed: 1, events: events::read(&json!(list).to_string()).unwrap() }
}

#[tokio::test]
async fn every_bundled_plugin_conforms() {
    for name in ["echo", "clock", "calculator"] {
        let report = report(spec(name), &Options::default()).await;
        assert_eq!((failed(&report), skipped(&report)), (vec![], vec![]), "{}", report.to_text());
        assert!(report.passed > 9, "{}", report.to_text());
    }
}

#[tokio::test]
async fn a_channel_conforms_with_and_without_the_platforms_events() {
    let without = report(spec("loopback"), &Options::default()).await;
    assert!(without.is_pass(), "{}", without.to_text());
    assert!(skipped(&without).contains(&"restarts"), "{}", without.to_text());

    let message = |id: &str| json!({ "id": id, "peer": "ada", "text": "hi", "attachment": "cat.png" });
    let list = json!([
        { "start": "new" },
        { "connected": "loop" },
        { "frame": { "tag": "loop", "text": message("1") } },
        { "webhook": { "method": "POST", "url": "https://host.example/", "body": message("2") } },
        { "response": { "tag": "loop", "status": 200, "body": message("3") } },
        { "frame": { "tag": "loop", "event": { "data": message("4") } } },
        "stop"
    ]);
    let options = Options { seed: 1, events: events::read(&list.to_string()).unwrap() };
    let with = report(spec("loopback"), &options).await;
    assert!(with.is_pass(), "{}", with.to_text());
    // It returns no lazy state, so none can be lost; one webhook call overtakes none; and it has no echo.
    assert_eq!(skipped(&with), ["lost-states", "reordered", "echoes"], "{}", with.to_text());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_run() {
    let run = async |seed| {
        let report = report(spec("calculator"), &Options { seed, ..Options::default() }).await;
        let details = report.cases.iter().filter(|case| !case.id.ends_with("limits"));
        details.map(|case| (case.id.clone(), case.outcome.clone())).collect::<Vec<_>>()
    };
    assert_eq!(run(7).await, run(7).await);
}

#[tokio::test]
async fn each_way_in_which_a_tool_misbehaves_fails_a_case_of_its_own() {
    let limits = PluginLimits {
        time: std::time::Duration::from_millis(400),
        memory: ByteSize::mib(8),
        ..PluginLimits::default()
    };
    let report = report(PluginSpec { limits, ..spec("hostile") }, &Options::default()).await;
    let failed = failed(&report);
    let reason = |id: &str| {
        let found = failed.iter().find(|(failed, _)| *failed == id);
        found.unwrap_or_else(|| panic!("{id} did not fail\n{}", report.to_text())).1.as_str()
    };
    for (id, reasons) in [
        ("tool.trap.arguments", "return an error instead of panicking"),
        ("tool.exit.arguments", "exited with status 1"),
        ("tool.recurse.arguments", "bound how deep it recurses"),
        ("tool.bad_json.results", "JSON is none"),
        ("tool.bad_media.results", "is no type of the form audio/"),
        ("tool.spin.limits", "took longer than its limit"),
        ("tool.grow.limits", "more memory than its limit"),
    ] {
        assert!(reason(id).contains(reasons), "{id}: {}", reason(id));
    }
    for name in ["answer", "count", "json", "image", "invalid_input", "unavailable", "clocks", "random", "open_file"] {
        let prefix = format!("tool.{name}.");
        assert!(!failed.iter().any(|(id, _)| id.starts_with(&prefix)), "{name}\n{}", report.to_text());
    }
    // A call that ran into its deadline is not made again and again.
    assert!(skipped(&report).contains(&"tool.spin.malformed"), "{}", report.to_text());
}

#[tokio::test]
async fn what_can_not_be_loaded_fails_the_case_that_says_why() {
    for (mode, id) in [
        ("trap", "definitions"),
        ("none", "definitions"),
        ("name", "definitions"),
        ("schema-json", "schemas"),
        ("schema-remote", "schemas"),
    ] {
        let settings = object(json!({ "mode": mode }));
        let report = report(PluginSpec { settings, ..spec("misdeclared") }, &Options::default()).await;
        let failed = failed(&report);
        assert_eq!(failed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id], "{mode}: {}", report.to_text());
    }
    let undescribed = report(spec("undescribed"), &Options::default()).await;
    assert_eq!(failed(&undescribed)[0].0, "describe");
    // It is looked at without its grants, and then it defines no tool.
    let ungranted = report(spec("ungranted"), &Options::default()).await;
    assert!(failed(&ungranted)[0].1.contains("defines 0 tools"), "{}", ungranted.to_text());
    let bytes = PluginSpec { source: Source::Bytes(b"#!/bin/sh"[..].into()), ..spec("echo") };
    assert_eq!(failed(&report(bytes, &Options::default()).await)[0].0, "load");
    // The settings are the owner's mistake, not the plugin's.
    assert!(kit::run(&RUNTIME, spec("misdeclared"), &Options::default()).await.is_err());
}

#[tokio::test]
async fn each_promise_that_a_channel_breaks_fails_a_case_of_its_own() {
    for (mode, expected) in [
        ("nothing", &[][..]),
        ("setup", &["setup", "deliveries", "garbage.deliveries", "actions"]),
        ("origin", &["actions"]),
        ("secret", &["actions"]),
        ("timer", &["actions"]),
        ("large-state", &["states"]),
        ("lazy", &["states"]),
        ("nameless", &["messages", "restarts"]),
        ("counted", &["repeats", "restarts"]),
        ("lossy", &["restarts"]),
        ("event-trap", &["garbage.events"]),
        ("state-trap", &["garbage.states"]),
        ("delivery-trap", &["deliveries", "garbage.deliveries"]),
        ("endless", &["deliveries"]),
        ("resends", &["resumed"]),
        ("liar", &["resumed"]),
        ("stuck", &["attempts"]),
        ("echo", &["echoes"]),
    ] {
        let settings = object(json!({ "mode": mode }));
        let report = report(PluginSpec { settings, ..spec("unruly") }, &frames(3)).await;
        let mut failed: Vec<&str> = failed(&report).into_iter().map(|(id, _)| id).collect();
        failed.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(failed, expected, "{mode}: {}", report.to_text());
    }
}

#[tokio::test]
async fn what_is_not_granted_is_told_and_the_rest_is_tried() {
    let report = report(spec("loopback"), &Options::default()).await;
    let Outcome::Pass(said) = &report.cases[0].outcome else { panic!("{}", report.to_text()) };
    assert!(said.contains("http = [\"loopback.invalid\"]") && said.contains("LOOPBACK_TOKEN"), "{said}");
}
