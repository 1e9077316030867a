//! One attack each: it ends with the right error and within its limit, the next call of the same
//! plugin and of another succeeds, and no worker thread was pinned meanwhile.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use exoclaw::config::ByteSize;
use exoclaw::runtime::TrapClass;
use serde_json::json;

use super::*;

/// A task on the same runtime that must go on while an attack runs.
struct Heart {
    beats: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Heart {
    fn start() -> Self {
        let beats = Arc::new(AtomicU32::new(0));
        let counted = beats.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { beats, task }
    }

    fn beats(&self) -> u32 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Waits until it has beaten so often from now on.
    async fn beat(&self, times: u32) {
        let before = self.beats();
        while self.beats() - before < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn limits() -> PluginLimits {
    PluginLimits { time: Duration::from_millis(400), ..PluginLimits::default() }
}

fn attacker(name: &str, limits: PluginLimits) -> PluginSpec {
    PluginSpec { limits, ..spec(name) }
}

/// Runs an attack twice, on a runtime of one worker thread, and gives the error of the second.
async fn outcome(name: &str, limits: PluginLimits) -> Result<Vec<ToolContent>, CallError> {
    let plugin = load(attacker(name, limits)).await;
    let (attack, ok) = (tool(&plugin, "misbehave"), tool(&plugin, "ok"));
    let echo = tool(&load(spec("echo")).await, "echo");
    let heart = Heart::start();
    let mut last = None;
    for _ in 0..2 {
        let ended = call(&attack, "{}").await;
        assert_eq!(text(&ok, json!({})).await.unwrap(), "fine", "{name}: the same plugin's next call");
        assert_eq!(text(&echo, json!({ "text": "hi" })).await.unwrap(), "hi", "{name}: another plugin's next call");
        last = Some(ended);
    }
    heart.beat(1).await;
    if let Some(Err(CallError::Timeout(_))) = last {
        goes_on_beside(name, &heart).await;
    }
    last.unwrap()
}

/// An attack that would go on for ever has not ended when another task of its only worker was run twenty
/// times: in no time that a busy machine could stretch.
async fn goes_on_beside(name: &str, heart: &Heart) {
    let long = Duration::from_secs(600);
    let limits = PluginLimits { time: long, cpu: long, host_calls: u32::MAX, ..PluginLimits::default() };
    let attack = tool(&load(attacker(name, limits)).await, "misbehave");
    tokio::select! {
        ended = call(&attack, "{}") => panic!("{name} ended: {ended:?}"),
        () = heart.beat(20) => {}
    }
}

#[tokio::test]
async fn a_loop_ends_at_its_deadline() {
    let ended = outcome("endless-loop", limits()).await;
    assert_eq!(ended, Err(CallError::Timeout(limits().time)));
}

#[tokio::test]
async fn a_wait_in_the_host_ends_at_its_deadline() {
    assert_eq!(outcome("blocked-host-call", limits()).await, Err(CallError::Timeout(limits().time)));
}

#[tokio::test]
async fn a_loop_of_host_calls_ends_at_a_limit() {
    let ended = outcome("busy-host-call", limits()).await;
    assert!(matches!(ended, Err(CallError::Timeout(_) | CallError::HostCalls(_))), "{ended:?}");
    let ended = outcome("host-calls", PluginLimits::default()).await;
    assert_eq!(ended, Err(CallError::HostCalls(PluginLimits::default().host_calls)));
}

#[tokio::test]
async fn recursion_ends_with_the_stack() {
    assert_eq!(outcome("deep-recursion", limits()).await, Err(CallError::Trap(TrapClass::Stack)));
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    let limits = PluginLimits { memory: ByteSize::mib(8), ..limits() };
    assert_eq!(outcome("memory-growth", limits).await, Err(CallError::Memory(ByteSize::mib(8))));
}

#[tokio::test]
async fn a_guest_that_takes_no_for_an_answer_goes_on() {
    assert_eq!(outcome("memory-at-once", limits()).await, Ok(vec![ToolContent::text("")]));
}

#[tokio::test]
async fn tables_count_as_memory() {
    let limits = PluginLimits { memory: ByteSize::kib(512), ..limits() };
    assert_eq!(outcome("table-growth", limits).await, Err(CallError::Memory(ByteSize::kib(512))));
}

#[tokio::test]
async fn a_component_of_a_thousand_memories_is_refused() {
    let refused = problem(attacker("many-memories", limits())).await;
    assert!(matches!(refused, LoadProblem::Resources { memories: 1_001, .. } | LoadProblem::Compile(_)), "{refused}");
    let refused = problem(attacker("memories-of-its-own", limits())).await;
    assert!(matches!(&refused, LoadProblem::Compile(text) if text.contains("multi")), "{refused}");
}

#[tokio::test]
async fn what_trips_at_its_start_is_not_loaded() {
    let refused = problem(attacker("trap-at-start", limits())).await;
    let trap = CallError::Trap(TrapClass::Unreachable);
    assert!(matches!(&refused, LoadProblem::Call { error, .. } if *error == trap), "{refused}");
    let heart = Heart::start();
    let refused = problem(attacker("loop-at-start", limits())).await;
    assert!(matches!(refused, LoadProblem::Call { error: CallError::Timeout(_), .. }), "{refused}");
    assert!(heart.beats() >= 3, "{} beats", heart.beats());
}

#[tokio::test]
async fn a_result_that_is_not_there_is_an_error_of_the_plugins() {
    for name in ["gigabyte-string", "endless-list", "wild-result", "wild-allocator"] {
        let ended = outcome(name, limits()).await;
        let told = matches!(ended, Err(CallError::Trap(_) | CallError::Abi(_) | CallError::ResultTooLarge(_)));
        assert!(told, "{name}: {ended:?}");
    }
}

#[tokio::test]
async fn a_result_that_breaks_its_type_is_an_error_of_the_plugins() {
    for name in ["broken-text", "broken-variant"] {
        let ended = outcome(name, limits()).await;
        assert!(matches!(ended, Err(CallError::Abi(_))), "{name}: {ended:?}");
    }
}

#[tokio::test]
async fn the_same_bytes_returned_again_and_again_count_each_time() {
    let limit = PluginLimits::default().result;
    assert_eq!(outcome("overlapping-strings", limits()).await, Err(CallError::ResultTooLarge(limit)));
}

#[tokio::test]
async fn an_allocator_that_loops_ends_at_the_deadline() {
    assert_eq!(outcome("looping-allocator", limits()).await, Err(CallError::Timeout(limits().time)));
}

#[tokio::test]
async fn handles_are_bounded() {
    let ended = outcome("handles", limits()).await;
    assert!(matches!(ended, Err(CallError::Handles(_))), "{ended:?}");
}

#[tokio::test]
async fn a_huge_log_line_costs_the_guest_its_call() {
    let ended = outcome("huge-log-line", limits()).await;
    let limit = PluginLimits::default().result;
    assert_eq!(ended, Err(CallError::ResultTooLarge(limit)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_used_again_holds_nothing_of_the_call_before() {
    // Few slots, so that each is used again at once.
    let few = LimitsConfig { turns: 16, ..LimitsConfig::default() };
    let runtime = Runtime::new(&few, Services::detached()).unwrap();
    let writer = runtime.load(attacker("leave-a-mark", PluginLimits::default())).await.unwrap();
    let reader = runtime.load(attacker("look-for-marks", PluginLimits::default())).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        for plugin in [&writer, &reader] {
            let tool = tool(plugin, "misbehave");
            calls.spawn(async move { call(&tool, "{}").await });
        }
    }
    while let Some(ended) = calls.join_next().await {
        assert_eq!(ended.unwrap(), Ok(vec![ToolContent::text("")]));
    }
}

#[test]
fn every_attack_in_the_folder_is_in_a_test() {
    let source = include_str!("attacks.rs");
    for attack in exoclaw_bundle_test::ATTACKS {
        assert!(source.contains(&format!("\"{}\"", attack.name)), "{} is nowhere in this file", attack.name);
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/hostile/attacks");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), exoclaw_bundle_test::ATTACKS.len());
}
