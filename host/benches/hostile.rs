//! Good calls beside hostile ones: the 99th percentile of a thousand calls of `echo`, alone and
//! while a thousand attacks run on the same runtime. Prints both and their ratio (at most 2).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use exoclaw::config::{ByteSize, LimitsConfig, PluginLimits};
use exoclaw::runtime::{CallConditions, PluginSpec, Runtime, Services, Source, Tool, ToolCall};
use exoclaw::store::{SessionKey, Timestamp};
use serde_json::value::RawValue;

static SESSION: LazyLock<SessionKey> = LazyLock::new(|| "default:websocket:local:main".parse().unwrap());

/// Good calls of one measurement, one every [`PAUSE`].
const CALLS: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(2);

/// Attacks of one measurement.
const ATTACKS: u32 = 1_000;

/// Pairs of measurements, one after the other, so that a busy moment hits both sides.
const ROUNDS: usize = 3;

/// Each ends by itself, at its limit or at its deadline.
const NAMES: [&str; 8] = [
    "endless-loop",
    "deep-recursion",
    "memory-growth",
    "overlapping-strings",
    "gigabyte-string",
    "host-calls",
    "handles",
    "blocked-host-call",
];

async fn call(tool: &Tool, arguments: &RawValue) -> bool {
    let call = ToolCall {
        agent: "default",
        session: &SESSION,
        call: "call",
        now: Timestamp(0),
        arguments,
        progress: None,
        conditions: CallConditions::Live,
    };
    tool.call(call).await.is_ok()
}

/// The 99th percentile of the good calls.
async fn good(echo: &Tool) -> Duration {
    let arguments = RawValue::from_string(r#"{"text":"hi"}"#.to_owned()).unwrap();
    let mut times = Vec::new();
    for _ in 0..CALLS {
        tokio::time::sleep(PAUSE).await;
        let start = Instant::now();
        assert!(call(echo, &arguments).await, "a good call failed");
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// A thousand attacks, spread over the time that the good calls take.
async fn hostile(attackers: &[(Tool, Tool)]) {
    let arguments = RawValue::from_string("{}".to_owned()).unwrap();
    let mut running = tokio::task::JoinSet::new();
    for index in 0..ATTACKS as usize {
        let (attack, ok) = attackers[index % attackers.len()].clone();
        let arguments = arguments.clone();
        running.spawn(async move {
            assert!(!call(&attack, &arguments).await, "an attack succeeded");
            // So that no plugin rests in quarantine.
            call(&ok, &arguments).await;
        });
        tokio::time::sleep(PAUSE * CALLS / ATTACKS).await;
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = Runtime::new(&LimitsConfig::default(), Services::detached()).unwrap();
        let hostile_limits = PluginLimits {
            time: Duration::from_millis(20),
            memory: ByteSize::mib(4),
            concurrency: 1,
            rate: u32::MAX,
            ..PluginLimits::default()
        };
        let good_limits = PluginLimits { rate: u32::MAX, ..PluginLimits::default() };
        let load = async |name: &str, limits: PluginLimits| {
            let guest = exoclaw_bundle::find(name).or_else(|| exoclaw_bundle_test::find(name)).unwrap();
            let spec = PluginSpec { limits, ..PluginSpec::new(name.parse().unwrap(), Source::Bundled(guest)) };
            runtime.load(spec).await.unwrap()
        };
        let echo = load("echo", good_limits).await.tools().remove(0);
        let mut attackers = Vec::new();
        for name in NAMES {
            let tools = load(name, hostile_limits).await.tools();
            let named = |name: &str| tools.iter().find(|tool| tool.name() == name).unwrap().clone();
            attackers.push((named("misbehave"), named("ok")));
        }
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            alone.push(good(&echo).await);
            beside.push(tokio::join!(good(&echo), hostile(&attackers)).0);
        }
        alone.sort_unstable();
        beside.sort_unstable();
        let (alone, beside) = (alone[ROUNDS / 2], beside[ROUNDS / 2]);
        println!(
            "hostile: the 99th percentile of good calls is {alone:?} alone, {beside:?} beside {ATTACKS} attacks, ratio {:.2}",
            beside.as_secs_f64() / alone.as_secs_f64()
        );
    });
}
