//! Hostile calls beside good ones, for long enough to see what stays. By itself, since it looks at
//! the memory of the whole process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use exoclaw::config::{ByteSize, LimitsConfig, PluginLimits};
use exoclaw::runtime::{CallConditions, PluginSpec, Runtime, Services, Source, Tool, ToolCall};
use exoclaw::store::{Timestamp, ToolContent};
use serde_json::json;
use serde_json::value::RawValue;

fn spec(name: &str, limits: PluginLimits) -> PluginSpec {
    let guest = exoclaw_bundle::find(name).or_else(|| exoclaw_bundle_test::find(name)).unwrap();
    PluginSpec { limits, ..PluginSpec::new(name.parse().unwrap(), Source::Bundled(guest)) }
}

/// What a call answers, as a text; nothing where it fails.
async fn call(tool: &Tool, arguments: serde_json::Value) -> Option<String> {
    let arguments = RawValue::from_string(arguments.to_string()).unwrap();
    let session = "default:websocket:local:main".parse().unwrap();
    let call = ToolCall {
        agent: "default",
        session: &session,
        call: "call-1",
        now: Timestamp(0),
        arguments: &arguments,
        progress: None,
        conditions: CallConditions::Live,
    };
    match tool.call(call).await.ok()?.pop() {
        Some(ToolContent::Text { text }) => Some(text),
        _ => None,
    }
}

/// Memory of this process that is in RAM, in bytes (proc(5), `/proc/self/statm`).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hostile_calls_leave_a_thousand_good_ones_and_the_memory_as_they_were() {
    const ATTACKS: [&str; 8] = [
        "endless-loop",
        "deep-recursion",
        "memory-growth",
        "overlapping-strings",
        "gigabyte-string",
        "host-calls",
        "handles",
        "blocked-host-call",
    ];
    const CALLS: usize = 1_000;

    // A runtime of its own, with one slot for each call that may run.
    let runtime = Runtime::new(&LimitsConfig::default(), Services::detached()).unwrap();
    let hostile = PluginLimits {
        time: Duration::from_millis(50),
        memory: ByteSize::mib(4),
        concurrency: 4,
        rate: 1_000_000,
        ..PluginLimits::default()
    };
    let good = PluginLimits { time: Duration::from_secs(120), rate: 1_000_000, ..PluginLimits::default() };
    let mut attackers = Vec::new();
    for name in ATTACKS {
        let tools = runtime.load(spec(name, hostile)).await.unwrap().tools();
        let named = |name: &str| tools.iter().find(|tool| tool.name() == name).unwrap().clone();
        attackers.push((named("misbehave"), named("ok")));
    }
    let echo = runtime.load(spec("echo", good)).await.unwrap().tools().remove(0);

    let round = async || {
        let hostile = async {
            for index in 0..CALLS / ATTACKS.len() {
                // An answer between two attacks, so that no plugin rests in quarantine.
                let calls = attackers
                    .iter()
                    .map(async |(attack, ok)| (call(attack, json!({})).await, call(ok, json!({})).await));
                for (ended, answered) in futures_util::future::join_all(calls).await {
                    assert!(ended.is_none() && answered.is_some(), "round {index}: {ended:?}, {answered:?}");
                }
            }
        };
        let good = async {
            for index in 0..CALLS {
                assert_eq!(call(&echo, json!({ "text": index.to_string() })).await, Some(index.to_string()));
            }
        };
        tokio::join!(hostile, good);
    };
    // The first round fills what stays: the pool's warm slots, the allocator's arenas.
    round().await;
    let before = resident();
    round().await;
    let after = resident();
    assert!(after < before + (16 << 20), "{before} bytes before, {after} after");
    assert_eq!(call(&echo, json!({ "text": "still here" })).await.unwrap(), "still here");
}
