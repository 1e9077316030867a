//! What the sandbox costs: one call of `echo` through [`Tool::call`], beside the same component on
//! the same engine with nothing around it (store, instance, call, drop).
//!
//! `cargo bench -p exoclaw --bench invoke`. The last line is the ratio, of medians of rounds that
//! alternate between the two, so that a machine that slows down slows both.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement, and code that a macro wrote")]

#[path = "support/bare.rs"]
mod bare;

use std::time::{Duration, Instant};

use bare::{Bare, arguments, ours};
use criterion::Criterion;
use exoclaw::config::{LimitsConfig, PluginLimits};
use exoclaw::runtime::{PluginSpec, Runtime, Services, Source};

/// Rounds of the ratio, and calls of each.
const ROUNDS: usize = 301;
const CALLS: u32 = 100;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2] / CALLS
}

fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let runtime = tokio.block_on(async { Runtime::new(&LimitsConfig::default(), Services::detached()) }).unwrap();
    let guest = exoclaw_bundle::find("echo").unwrap();
    let limits = PluginLimits { rate: u32::MAX, ..PluginLimits::default() };
    let spec = PluginSpec { limits, ..PluginSpec::new("echo".parse().unwrap(), Source::Bundled(guest)) };
    let plugin = tokio.block_on(runtime.load(spec)).unwrap();
    let tool = plugin.tools().remove(0);
    let arguments = arguments();
    let bare = Bare::new(runtime.engine(), guest.bytes, arguments.get()).unwrap();

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("invoke");
    group.bench_function("bare", |bencher| bencher.to_async(&tokio).iter(|| bare.call()));
    group.bench_function("ours", |bencher| bencher.to_async(&tokio).iter(|| ours(&tool, &arguments)));
    group.finish();
    criterion.final_summary();

    let compare = || {
        let (mut bare_times, mut our_times) = (Vec::new(), Vec::new());
        tokio.block_on(async {
            for _ in 0..ROUNDS {
                let start = Instant::now();
                for _ in 0..CALLS {
                    bare.call().await;
                }
                bare_times.push(start.elapsed());
                let start = Instant::now();
                for _ in 0..CALLS {
                    ours(&tool, &arguments).await;
                }
                our_times.push(start.elapsed());
            }
        });
        let (bare, ours) = (median(bare_times), median(our_times));
        format!("ours {ours:?}, bare {bare:?}, ratio {:.3}", ours.as_secs_f64() / bare.as_secs_f64())
    };
    let digest: String = guest.sha256.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    println!("invoke: {} (echo {digest}, {:?})", compare(), runtime.allocation());
    // As a gateway runs by default: spans are made, and a call that is answered writes no line.
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(std::io::sink).init();
    println!("invoke, with a log at info: {}", compare());
}
