//! What a plugin's load takes: compiled, compiled and kept, and from the cache.
//!
//! `cargo bench -p exoclaw --bench load`. Takes the bundled plugins, and the components whose paths
//! stand in `EXOCLAW_BENCH_COMPONENTS`, separated by `:`. Those of JavaScript and Python compile for
//! half a minute each time, so there are few rounds of what compiles. Every figure is a median, with
//! the digest of its component. The last two lines are a whole start: an engine, and the three
//! bundled tools.
//!
//! - `compile`: the machine code alone, made and kept;
//! - `cold load`: with the trial call and without a cache;
//! - `cached load`: the same from a cache, in an engine that has loaded nothing yet;
//! - `cached code`: of that, what reading, verifying and mapping the code take.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement")]

use std::path::Path;
use std::time::{Duration, Instant};

use exoclaw::config::{ByteSize, LimitsConfig, PluginLimits};
use exoclaw::runtime::{CodeCache, CodeOrigin, PluginSpec, Runtime, Services, Source};
use futures_util::future::join_all;

/// Rounds of what does not compile.
const ROUNDS: usize = 31;

/// A component is compiled until this much time has passed, at least twice and at most so often.
const PATIENCE: Duration = Duration::from_secs(5);
const COMPILATIONS: usize = 15;

fn runtime(cache: Option<&Path>) -> Runtime {
    let cache = cache.map(|path| CodeCache::open(path).unwrap());
    Runtime::new(&LimitsConfig::default(), Services::detached()).unwrap().with_code_cache(cache)
}

/// With room for an interpreter.
fn spec(name: &str, source: Source) -> PluginSpec {
    let limits = PluginLimits { memory: ByteSize::mib(512), time: Duration::from_secs(60), ..PluginLimits::default() };
    PluginSpec { limits, ..PluginSpec::new(name.parse().unwrap(), source) }
}

fn components() -> Vec<PluginSpec> {
    let bundled = ["echo", "clock", "calculator"].map(|name| (name, exoclaw_bundle::find(name).unwrap()));
    let mut specs: Vec<_> = bundled.into_iter().map(|(name, guest)| spec(name, Source::Bundled(guest))).collect();
    let paths = std::env::var("EXOCLAW_BENCH_COMPONENTS").unwrap_or_default();
    let files = paths.split(':').filter(|path| !path.is_empty()).enumerate();
    specs.extend(files.map(|(index, path)| spec(&format!("file-{index}"), Source::File(path.into()))));
    specs
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Rounds of something that takes long, as far as patience goes.
async fn patiently(mut round: impl AsyncFnMut() -> Duration) -> Duration {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 2 || (times.len() < COMPILATIONS && start.elapsed() < PATIENCE) {
        times.push(round().await);
    }
    median(times)
}

async fn load(runtime: &Runtime, spec: &PluginSpec, expected: CodeOrigin) -> Duration {
    let start = Instant::now();
    let plugin = runtime.load(spec.clone()).await.unwrap();
    let time = start.elapsed();
    assert_eq!(plugin.code(), expected);
    time
}

async fn measure(spec: &PluginSpec) {
    let compile = patiently(async || {
        let folder = tempfile::tempdir().unwrap();
        let runtime = runtime(Some(&folder.path().join("code")));
        let start = Instant::now();
        let info = runtime.compile_ahead(spec.clone()).await.unwrap().unwrap();
        let time = start.elapsed();
        assert!(info.kept.is_ok() && info.origin == CodeOrigin::Fresh);
        time
    })
    .await;
    let cold = patiently(async || load(&runtime(None), spec, CodeOrigin::Fresh).await).await;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("code");
    let info = runtime(Some(&path)).compile_ahead(spec.clone()).await.unwrap().unwrap();
    let (mut loads, mut codes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        loads.push(load(&runtime(Some(&path)), spec, CodeOrigin::Cache).await);
        let runtime = runtime(Some(&path));
        let start = Instant::now();
        runtime.compile_ahead(spec.clone()).await.unwrap().unwrap();
        codes.push(start.elapsed());
    }
    println!(
        "{}: compile {compile:.1?}, cold load {cold:.1?}, cached load {:.2?}, cached code {:.2?} ({}, component {} KiB, code {} KiB)",
        info.source,
        median(loads),
        median(codes),
        &info.sha256[..16],
        info.size >> 10,
        info.kept.unwrap() >> 10,
    );
}

/// An engine, and the bundled tools as the gateway loads them: side by side.
async fn start(specs: &[PluginSpec], cache: Option<&Path>) -> Duration {
    let start = Instant::now();
    let runtime = runtime(cache);
    for plugin in join_all(specs.iter().map(|spec| runtime.load(spec.clone()))).await {
        plugin.unwrap();
    }
    start.elapsed()
}

fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let specs = components();
    tokio.block_on(async {
        for spec in &specs {
            measure(spec).await;
        }
        let bundled = &specs[..3];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        println!("start without a cache: {:.1?}", patiently(async || start(bundled, None).await).await);
        start(bundled, Some(&path)).await;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(start(bundled, Some(&path)).await);
        }
        println!("start from the cache: {:.2?}", median(times));
    });
}
