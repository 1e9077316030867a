//! What a plugin may take, what is counted of it, and when it is left alone.

use std::time::{Duration, Instant};

use exoclaw::config::ByteSize;
use exoclaw::runtime::{CallStats, FailureClass, PluginState, Readings, TrapClass};
use serde_json::json;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn with(name: &str, limits: PluginLimits) -> Arc<Plugin> {
    load(PluginSpec { limits, ..spec(name) }).await
}

/// Limits of which only those that a test names are ever met.
fn wide() -> PluginLimits {
    PluginLimits { time: MINUTE, cpu: MINUTE, rate: 1_000_000, ..PluginLimits::default() }
}

async fn measured(tool: &Tool, arguments: Value) -> (Result<Vec<ToolContent>, CallError>, CallStats) {
    let arguments = RawValue::from_string(arguments.to_string()).unwrap();
    let session = "default:websocket:local:main".parse().unwrap();
    let call = ToolCall {
        agent: "default",
        session: &session,
        call: "call-1",
        now: NOW,
        arguments: &arguments,
        progress: None,
        conditions: CallConditions::Live,
    };
    tool.measured(call).await
}

async fn says(plugin: &Arc<Plugin>, name: &str) -> Result<String, CallError> {
    text(&tool(plugin, name), json!({})).await
}

fn failures(plugin: &Arc<Plugin>, class: FailureClass) -> u64 {
    plugin.info().counts.failures[&class]
}

#[tokio::test]
async fn a_call_that_computes_for_too_long_ends_with_the_name_of_that_limit() {
    let cpu = Duration::from_millis(50);
    let plugin = with("hostile", PluginLimits { cpu, ..wide() }).await;
    let (ended, stats) = measured(&tool(&plugin, "spin"), json!({})).await;
    assert_eq!(ended, Err(CallError::Cpu(cpu)));
    assert!(stats.cpu > cpu, "{stats:?}");
    assert!(stats.cpu <= stats.wall, "{stats:?}");
    assert_eq!(says(&plugin, "answer").await.unwrap(), "42");
    assert_eq!(failures(&plugin, FailureClass::Cpu), 1);
    assert!(plugin.info().counts.cpu >= stats.cpu);
}

#[tokio::test]
async fn a_call_that_waits_uses_up_no_processor() {
    let cpu = Duration::from_millis(200);
    let plugin = with("hostile", PluginLimits { cpu, ..wide() }).await;
    let (slept, stats) = measured(&tool(&plugin, "sleep"), json!({ "n": 500 })).await;
    assert_eq!(slept, Ok(vec![ToolContent::Text { text: "slept".into() }]));
    assert!(stats.wall >= Duration::from_millis(500), "{stats:?}");
    assert!(stats.cpu < cpu, "{stats:?}");
}

#[tokio::test]
async fn calls_that_share_a_thread_are_each_charged_for_their_own_part() {
    let cpu = Duration::from_millis(100);
    let plugin = with("hostile", PluginLimits { cpu, ..wide() }).await;
    let spin = tool(&plugin, "spin");
    let started = Instant::now();
    let spun = tokio::join!(measured(&spin, json!({})), measured(&spin, json!({})), measured(&spin, json!({})));
    let wall = started.elapsed();
    let all = [spun.0, spun.1, spun.2];
    let total: Duration = all.iter().map(|(_, stats)| stats.cpu).sum();
    assert!(all.iter().all(|(ended, _)| *ended == Err(CallError::Cpu(cpu))), "{all:?}");
    // This runtime has one thread, which can't have spent more than there was.
    assert!(total <= wall, "{total:?} of {wall:?}");
}

#[tokio::test]
async fn host_calls_are_limited_as_the_config_says() {
    let plugin = with("hostile", PluginLimits { host_calls: 500, ..wide() }).await;
    let calling = tool(&plugin, "host_calls");
    assert_eq!(text(&calling, json!({ "n": 100 })).await.unwrap(), "called");
    assert_eq!(text(&calling, json!({ "n": 501 })).await, Err(CallError::HostCalls(500)));
    assert_eq!(failures(&plugin, FailureClass::HostCalls), 1);
}

#[tokio::test]
async fn calls_beyond_the_rate_do_not_reach_the_plugin_and_do_not_touch_others() {
    let limits = PluginLimits { rate: 1, concurrency: 2, ..PluginLimits::default() };
    let (limited, free) = (with("echo", limits).await, with("echo", wide()).await);
    let echo = async |plugin| text(&tool(plugin, "echo"), json!({ "text": "hello" })).await;
    for _ in 0..2 {
        assert_eq!(echo(&limited).await.unwrap(), "hello", "as many at a stroke as may run at once");
    }
    let before = limited.info().counts;
    for _ in 0..10 {
        let error = echo(&limited).await.unwrap_err();
        let CallError::Rate { limit: 1, retry_in } = error else { panic!("{error:?}") };
        assert!(!retry_in.is_zero() && retry_in <= MINUTE, "{retry_in:?}");
        assert_eq!(echo(&free).await.unwrap(), "hello");
    }
    let after = limited.info();
    assert_eq!((after.counts.ok, after.counts.cpu), (before.ok, before.cpu));
    assert_eq!((failures(&limited, FailureClass::Rate), after.state), (10, PluginState::Ready));
}

#[tokio::test]
async fn every_error_of_a_limit_names_its_key() {
    let time = Duration::from_secs(5);
    let errors = [
        ("time", "5s", CallError::Timeout(time)),
        ("cpu", "5s", CallError::Cpu(time)),
        ("memory", "64MiB", CallError::Memory(ByteSize::mib(64))),
        ("host_calls", "500", CallError::HostCalls(500)),
        ("result", "1MiB", CallError::ResultTooLarge(ByteSize::mib(1))),
        ("rate", "60", CallError::Rate { limit: 60, retry_in: time }),
        ("concurrency", "", CallError::Busy),
    ];
    for (key, limit, error) in errors {
        let text = error.to_string();
        for word in [&format!("`{key}`"), limit, "[limits.plugin]", "[plugins.limits]"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(text.len() < 250, "{text}");
    }
}

#[tokio::test]
async fn what_becomes_of_calls_is_counted_by_class() {
    let time = Duration::from_millis(200);
    let plugin = with("hostile", PluginLimits { time, memory: ByteSize::mib(16), ..wide() }).await;
    let at_load = plugin.info().counts;
    assert_eq!((at_load.calls(), at_load.failed()), (2, 0));
    let classes = [
        ("trap", FailureClass::TrapUnreachable),
        ("exit", FailureClass::Exit),
        ("bad_json", FailureClass::InvalidResult),
        ("grow", FailureClass::Memory),
        ("spin", FailureClass::Timeout),
    ];
    for (name, class) in classes {
        says(&plugin, name).await.unwrap_err();
        assert_eq!(failures(&plugin, class), 1, "{name}");
        let last = plugin.info().counts.last_failure.unwrap();
        assert_eq!(last.class, class);
        assert!(!last.text.is_empty() && last.at.0 > 0);
        says(&plugin, "answer").await.unwrap();
    }
    says(&plugin, "unsupported").await.unwrap_err();
    let sleep = tool(&plugin, "sleep");
    let sleeping = tokio::time::timeout(Duration::from_millis(1), call(&sleep, r#"{"n": 60000}"#));
    assert!(sleeping.await.is_err(), "it is given up");
    call(&tool(&plugin, "answer"), r#"{"n": "not a number"}"#).await.unwrap_err();

    let info = plugin.info();
    assert_eq!((info.counts.ok, info.counts.errors, info.counts.failed()), (2 + 5, 1, 5 + 1));
    assert_eq!((info.calls, info.failures), (14, 6));
    assert_eq!(failures(&plugin, FailureClass::Dropped), 1);
    assert!(info.counts.wall >= time && info.counts.cpu > Duration::ZERO);
    assert!((1 << 20..=16 << 20).contains(&info.counts.peak_memory), "{}", info.counts.peak_memory);
    assert_eq!(info.counts.last_failure.unwrap().class, FailureClass::Timeout, "who gave up is not to blame");
}

#[tokio::test]
async fn numbers_of_the_pool_return_to_where_they_were() {
    // A pool of its own: others' calls are not in it.
    let runtime = Runtime::new(&LimitsConfig::default(), Services::detached()).unwrap();
    let plugin = runtime.load(PluginSpec { limits: wide(), ..spec("hostile") }).await.unwrap();
    let pool = || Readings::of(std::slice::from_ref(&plugin)).pool.unwrap();
    let idle = pool();
    assert_eq!((idle.slots_free, idle.component_instances, idle.stacks), (idle.slots, 0, 0));
    let sleep = tool(&plugin, "sleep");
    let sleeping = tokio::spawn(async move { call(&sleep, r#"{"n": 60000}"#).await });
    while Readings::of(std::slice::from_ref(&plugin)).plugins[0].running == 0 || pool().component_instances == 0 {
        tokio::task::yield_now().await;
    }
    let busy = pool();
    assert_eq!((busy.slots_free, busy.component_instances, busy.stacks), (idle.slots - 1, 1, 1));
    sleeping.abort();
    assert!(sleeping.await.unwrap_err().is_cancelled());
    let after = pool();
    assert_eq!((after.slots_free, after.component_instances, after.memories), (idle.slots, 0, 0));
    assert!(after.warm_memories > 0);
}

async fn quarantined(name: &str) -> Arc<Plugin> {
    let plugin = with("hostile", wide()).await;
    for _ in 0..5 {
        assert_eq!(plugin.info().state, PluginState::Ready);
        says(&plugin, name).await.unwrap_err();
    }
    plugin
}

#[tokio::test]
async fn a_plugin_that_keeps_failing_is_left_alone_and_no_other_notices() {
    let (plugin, echo) = (quarantined("trap").await, with("echo", wide()).await);
    let before = plugin.info().counts;
    for _ in 0..100 {
        let error = says(&plugin, "answer").await.unwrap_err();
        let CallError::Quarantined { retry_in, last } = &error else { panic!("{error:?}") };
        assert!(*retry_in <= Duration::from_secs(10), "{error}");
        assert_eq!(*last, CallError::Trap(TrapClass::Unreachable).to_string());
        assert_eq!(text(&tool(&echo, "echo"), json!({ "text": "hello" })).await.unwrap(), "hello");
    }
    let info = plugin.info();
    assert_eq!((info.counts.ok, info.counts.cpu), (before.ok, before.cpu), "the plugin was not called");
    assert_eq!((info.state, info.counts.quarantines), (PluginState::Quarantined, 1));
    let quarantine = info.quarantine.unwrap();
    assert_eq!(quarantine.until.0 - quarantine.since.0, 10_000, "{quarantine:?}");
    assert_eq!(echo.info().state, PluginState::Ready);

    plugin.reset_quarantine();
    assert_eq!(says(&plugin, "answer").await.unwrap(), "42");
    assert_eq!((plugin.info().state, plugin.info().quarantine), (PluginState::Ready, None));
}

#[tokio::test]
async fn what_is_not_the_plugins_fault_puts_nobody_into_quarantine() {
    let plugin = with("hostile", wide()).await;
    let sleep = tool(&plugin, "sleep");
    for _ in 0..10 {
        assert!(matches!(says(&plugin, "failed").await, Err(CallError::Plugin(_))));
        assert!(matches!(call(&tool(&plugin, "answer"), r#"{"n": -1}"#).await, Err(CallError::InvalidArguments(_))));
        let given_up = tokio::time::timeout(Duration::from_millis(1), call(&sleep, r#"{"n": 60000}"#)).await;
        assert!(given_up.is_err());
    }
    assert_eq!(plugin.info().state, PluginState::Ready);
    assert_eq!(says(&plugin, "answer").await.unwrap(), "42");
}

#[tokio::test]
async fn many_failures_at_once_are_one_quarantine() {
    let plugin = with("hostile", wide()).await;
    let trap = tool(&plugin, "trap");
    let ended = futures_util::future::join_all((0..100).map(|_| call(&trap, "{}"))).await;
    assert!(ended.iter().all(Result::is_err));
    let info = plugin.info();
    assert_eq!((info.state, info.counts.quarantines), (PluginState::Quarantined, 1));
    let quarantine = info.quarantine.unwrap();
    assert_eq!(quarantine.until.0 - quarantine.since.0, 10_000, "{quarantine:?}");
}

#[tokio::test]
async fn what_a_result_says_is_not_told_to_others() {
    let plugin = quarantined("bad_media").await;
    let last = plugin.info().counts.last_failure.unwrap();
    assert!(last.text.contains("not a type"), "the owner is told: {last:?}");
    let refused = says(&plugin, "answer").await.unwrap_err();
    assert!(matches!(refused, CallError::Quarantined { .. }), "{refused:?}");
    assert!(!refused.to_string().contains("not a type"), "{refused}");
}

#[tokio::test]
async fn a_plugin_comes_back_by_itself_after_one_trial() {
    let plugin = quarantined("exit").await;
    // The quarantine takes ten seconds; a trial that is given up does not count.
    let sleep = tool(&plugin, "sleep");
    let trial = loop {
        let (sleep, started) = (sleep.clone(), plugin.info().counts.calls());
        let trial = tokio::spawn(async move { call(&sleep, r#"{"n": 60000}"#).await });
        while !trial.is_finished() && Readings::of(std::slice::from_ref(&plugin)).plugins[0].running == 0 {
            tokio::task::yield_now().await;
        }
        if !trial.is_finished() {
            break trial;
        }
        assert!(matches!(trial.await.unwrap(), Err(CallError::Quarantined { .. })));
        assert!(plugin.info().counts.calls() > started);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for _ in 0..3 {
        assert!(matches!(says(&plugin, "answer").await, Err(CallError::Quarantined { .. })), "one trial at a time");
    }
    trial.abort();
    assert!(trial.await.unwrap_err().is_cancelled());
    assert_eq!(plugin.info().state, PluginState::Quarantined);
    assert_eq!(says(&plugin, "answer").await.unwrap(), "42", "the next trial");
    assert_eq!(plugin.info().state, PluginState::Ready);
    assert_eq!(says(&plugin, "answer").await.unwrap(), "42");
}
