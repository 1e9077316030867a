//! Plugins that misbehave while they run: the sandbox stands, says what happened, and goes on.

use std::time::Duration;

use exoclaw::config::ByteSize;
use exoclaw::runtime::{PluginError, TrapClass};
use serde_json::json;

use super::*;

async fn hostile(limits: PluginLimits) -> Arc<Plugin> {
    load(PluginSpec { limits, ..spec("hostile") }).await
}

fn short() -> PluginLimits {
    PluginLimits { time: Duration::from_millis(300), ..PluginLimits::default() }
}

async fn answers(plugin: &Arc<Plugin>) {
    assert_eq!(text(&tool(plugin, "answer"), json!({})).await.unwrap(), "42");
}

#[tokio::test]
async fn a_guest_that_loops_is_stopped_and_the_next_call_succeeds() {
    let plugin = hostile(PluginLimits { concurrency: 1, ..short() }).await;
    for _ in 0..2 {
        assert_eq!(call(&tool(&plugin, "spin"), "{}").await, Err(CallError::Timeout(short().time)));
        answers(&plugin).await;
    }
    assert_eq!(plugin.info().failures, 2);
}

#[tokio::test]
async fn spinning_guests_do_not_pin_the_only_worker_thread() {
    // Long enough for the timer on any machine; a worker that is pinned never looks at it.
    let long = Duration::from_secs(600);
    let plugin = hostile(PluginLimits { time: long, cpu: long, ..PluginLimits::default() }).await;
    let spin = tool(&plugin, "spin");
    let beating = tokio::spawn(async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    tokio::select! {
        ended = async { tokio::join!(call(&spin, "{}"), call(&spin, "{}")) } => panic!("they ended: {ended:?}"),
        beaten = beating => beaten.unwrap(),
    }
    answers(&plugin).await;
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_and_frees_its_slot() {
    let long = Duration::from_secs(600);
    let plugin = hostile(PluginLimits { time: long, cpu: long, concurrency: 1, ..PluginLimits::default() }).await;
    let spin = tool(&plugin, "spin");
    let spinning = tokio::spawn(async move { call(&spin, "{}").await });
    // Whichever comes first, the second is only ever answered when the first is gone.
    tokio::task::yield_now().await;
    spinning.abort();
    answers(&plugin).await;
}

#[tokio::test]
async fn a_call_that_finds_no_slot_in_time_is_told_that_the_plugin_is_busy() {
    let plugin = hostile(PluginLimits { concurrency: 1, ..short() }).await;
    let sleep = tool(&plugin, "sleep");
    // The first holds the slot for as long as any call may wait; then it is the second's turn.
    let long = r#"{"n": 60000}"#;
    let (first, second, third) = tokio::join!(biased; call(&sleep, long), call(&sleep, long), call(&sleep, long));
    assert_eq!(first, Err(CallError::Timeout(short().time)));
    assert_eq!(second, Err(CallError::Timeout(short().time)));
    assert_eq!(third, Err(CallError::Busy));
}

#[tokio::test]
async fn memory_ends_with_the_name_of_its_limit() {
    let limits = PluginLimits { memory: ByteSize::mib(16), ..PluginLimits::default() };
    let plugin = hostile(limits).await;
    let error = call(&tool(&plugin, "grow"), "{}").await.unwrap_err();
    assert_eq!(error, CallError::Memory(ByteSize::mib(16)));
    assert!(error.to_string().contains("16MiB"), "{error}");
    answers(&plugin).await;
}

#[tokio::test]
async fn a_crash_is_an_error_that_says_which() {
    let plugin = hostile(PluginLimits::default()).await;
    assert_eq!(call(&tool(&plugin, "trap"), "{}").await, Err(CallError::Trap(TrapClass::Unreachable)));
    assert_eq!(call(&tool(&plugin, "exit"), "{}").await, Err(CallError::Exit(1)));
    let recursed = call(&tool(&plugin, "recurse"), "{}").await;
    assert!(
        matches!(recursed, Err(CallError::Trap(TrapClass::Stack | TrapClass::Bounds | TrapClass::Unreachable))),
        "{recursed:?}"
    );
    answers(&plugin).await;
}

#[tokio::test]
async fn every_call_has_an_instance_of_its_own() {
    let plugin = hostile(PluginLimits::default()).await;
    for _ in 0..3 {
        assert_eq!(text(&tool(&plugin, "count"), json!({})).await.unwrap(), "0");
    }
}

#[tokio::test]
async fn a_result_larger_than_its_limit_is_refused() {
    let limits = PluginLimits { result: ByteSize::kib(100), memory: ByteSize::mib(256), ..PluginLimits::default() };
    let plugin = hostile(limits).await;
    let huge = tool(&plugin, "huge");
    let length = async |n: u32| text(&huge, json!({ "n": n })).await.map(|text| text.len());
    assert_eq!(length(100 << 10).await, Ok(100 << 10));
    assert_eq!(length((100 << 10) + 1).await, Err(CallError::ResultTooLarge(ByteSize::kib(100))));
    assert_eq!(length(128 << 20).await, Err(CallError::ResultTooLarge(ByteSize::kib(100))));
    let many = call(&tool(&plugin, "many"), r#"{"n": 1000000}"#).await;
    assert_eq!(many, Err(CallError::ResultTooLarge(ByteSize::kib(100))));
    answers(&plugin).await;
}

#[tokio::test]
async fn what_a_result_says_it_is_is_checked() {
    let plugin = hostile(PluginLimits::default()).await;
    let result = async |name: &str| call(&tool(&plugin, name), "{}").await;
    assert_eq!(result("json").await.unwrap(), [ToolContent::Json { json: "{\"whole\": [1, 2.50, null]}".into() }]);
    let media = ToolContent::Media { mime_type: "image/png".into(), data: "+/8AEA==".into() };
    assert_eq!(result("image").await.unwrap(), [media]);
    for name in ["bad_json", "bad_media", "file"] {
        let error = result(name).await.unwrap_err();
        assert!(matches!(error, CallError::InvalidResult(_)), "{name}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn a_plugins_own_errors_come_through_in_its_words() {
    let plugin = hostile(PluginLimits::default()).await;
    let error = async |name: &str, n: u32| {
        let CallError::Plugin(error) = text(&tool(&plugin, name), json!({ "n": n })).await.unwrap_err() else {
            panic!("{name}")
        };
        error
    };
    assert_eq!(error("invalid_input", 0).await, PluginError::InvalidInput("n is odd".into()));
    assert_eq!(error("unsupported", 0).await, PluginError::Unsupported("not here".into()));
    assert_eq!(error("unavailable", 0).await, PluginError::Unavailable(Duration::from_millis(1_500)));
    assert_eq!(error("failed", 3).await, PluginError::Failed("eee".into()));
    assert_eq!(error("failed", 500_000).await, PluginError::Failed("e".repeat(4 << 10)));
}

#[tokio::test]
async fn a_guest_can_not_flood_the_host() {
    let plugin = hostile(PluginLimits::default()).await;
    assert_eq!(text(&tool(&plugin, "shout"), json!({ "n": 500 })).await.unwrap(), "shouted");
    assert_eq!(text(&tool(&plugin, "print"), json!({ "n": 500 })).await.unwrap(), "printed");
    assert_eq!(text(&tool(&plugin, "host_calls"), json!({ "n": 1_000 })).await.unwrap(), "called");
    let flood = call(&tool(&plugin, "host_calls"), r#"{"n": 100000000}"#).await;
    assert!(matches!(flood, Err(CallError::HostCalls(_))), "{flood:?}");
    answers(&plugin).await;
}

#[tokio::test]
async fn the_inert_base_reaches_nothing() {
    let plugin = hostile(PluginLimits::default()).await;
    let said = async |name: &str| text(&tool(&plugin, name), json!({})).await.unwrap();
    assert_eq!(said("environment").await, "[] []");
    assert_eq!(said("random").await, r#"{"key": 0}"#);
    let opened = said("open_file").await;
    assert!(!opened.contains("root:") && opened.contains("No such file"), "{opened}");
    let connected = said("connect").await;
    assert!(connected.contains("denied"), "{connected}");
    assert!(call(&tool(&plugin, "threads"), "{}").await.is_err());
}

#[tokio::test]
async fn a_tools_clock_is_the_machines() {
    let plugin = hostile(PluginLimits::default()).await;
    let before = Timestamp::now().0;
    let told: u64 = text(&tool(&plugin, "clocks"), json!({})).await.unwrap().parse().unwrap();
    assert!((before..=Timestamp::now().0).contains(&told), "{told}");
    assert_eq!(text(&tool(&plugin, "sleep"), json!({ "n": 1 })).await.unwrap(), "slept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_all_get_their_own_answer() {
    let plugin = load(PluginSpec {
        limits: PluginLimits { concurrency: 1_000, time: Duration::from_secs(60), ..PluginLimits::default() },
        ..spec("echo")
    })
    .await;
    let echo = tool(&plugin, "echo");
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..500 {
        let echo = echo.clone();
        calls.spawn(async move { (n, text(&echo, json!({ "text": n.to_string() })).await) });
    }
    while let Some(done) = calls.join_next().await {
        let (n, said) = done.unwrap();
        assert_eq!(said, Ok(n.to_string()));
    }
}
