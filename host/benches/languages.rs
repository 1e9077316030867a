//! The same tool in four languages: 10,000 calls one after the other, and 10,000 with 64 at once.
//! `just guests` builds them; one that is not built is left out, and said to be.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use exoclaw::config::{ByteSize, LimitsConfig, PluginLimits};
use exoclaw::runtime::{CallConditions, PluginSpec, Runtime, Services, Source, Tool, ToolCall};
use exoclaw::store::{SessionKey, Timestamp};
use serde_json::value::RawValue;

static SESSION: LazyLock<SessionKey> = LazyLock::new(|| "default:websocket:local:main".parse().unwrap());

const LANGUAGES: [&str; 4] = ["rust", "c", "javascript", "python"];
const CALLS: usize = 10_000;
const AT_ONCE: usize = 64;

async fn call(tool: &Tool, arguments: &RawValue) -> Duration {
    let start = Instant::now();
    let call = ToolCall {
        agent: "default",
        session: &SESSION,
        call: "call",
        now: Timestamp(0),
        arguments,
        progress: None,
        conditions: CallConditions::Live,
    };
    tool.call(call).await.unwrap();
    start.elapsed()
}

fn show(what: &str, mut times: Vec<Duration>, all: Duration) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let rate = times.len() as f64 / all.as_secs_f64();
    println!("  {what}: median {:?}, 99th percentile {:?}, slowest {:?}, {rate:.0} a second", at(50), at(99), at(100));
}

/// Memory of this process that is in RAM, in MiB (proc(5), `/proc/self/statm`).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() >> 8
}

fn main() {
    let folder = std::env::var_os("EXOCLAW_GUESTS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests-lang")), PathBuf::from);
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = Runtime::new(&LimitsConfig::default(), Services::detached()).unwrap();
        for language in LANGUAGES {
            let path = folder.join(format!("wordcount-{language}.wasm"));
            if !path.exists() {
                println!("{language}: left out, since {} is not there", path.display());
                continue;
            }
            let limits = PluginLimits {
                rate: u32::MAX,
                memory: ByteSize::mib(256),
                concurrency: AT_ONCE,
                ..PluginLimits::default()
            };
            let start = Instant::now();
            let spec = PluginSpec { limits, ..PluginSpec::new(language.parse().unwrap(), Source::File(path)) };
            let plugin = runtime.load(spec).await.unwrap();
            println!("{language}: {} bytes, compiled and asked in {:?}", plugin.info().size, start.elapsed());
            let tool = plugin.tools().remove(0);
            let arguments = serde_json::json!({ "text": "the quick brown fox jumps over the lazy dog ".repeat(6) });
            let arguments: Arc<RawValue> = RawValue::from_string(arguments.to_string()).unwrap().into();

            let mut times = Vec::with_capacity(CALLS);
            let start = Instant::now();
            for _ in 0..CALLS {
                times.push(call(&tool, &arguments).await);
            }
            show("one after the other", times, start.elapsed());

            let mut running = tokio::task::JoinSet::new();
            let start = Instant::now();
            for _ in 0..AT_ONCE {
                let (tool, arguments) = (tool.clone(), arguments.clone());
                running.spawn(async move {
                    let mut times = Vec::new();
                    for _ in 0..CALLS / AT_ONCE {
                        times.push(call(&tool, &arguments).await);
                    }
                    times
                });
            }
            let times = running.join_all().await.concat();
            show("64 at once", times, start.elapsed());
            println!("  {} MiB of this process in memory", resident());
        }
    });
}
