//! What each setting of the engine's pool is worth: one call of a guest on bare Wasmtime, with one
//! setting changed at a time, beside the engine's own settings and Wasmtime's defaults.
//!
//! `cargo bench -p exoclaw --bench knobs`. `EXOCLAW_BENCH_COMPONENTS=a.wasm:b.wasm` adds builds of `echo`, for
//! their size of stack; the `wordcount`s are added where `just guests` built them.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement, and code that a macro wrote")]

#[path = "support/bare.rs"]
mod bare;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bare::{Bare, arguments};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Each takes its turn for a moment, so often, and the median of its moments counts.
const ROUNDS: usize = 41;
const MOMENT: Duration = Duration::from_millis(15);

/// What is compared. Everything that is not said is as in `runtime/engine.rs`.
#[derive(Clone, Copy)]
struct Knobs {
    resident: usize,
    table: usize,
    stack: usize,
    pagemap: Enabled,
    batch: usize,
}

const OURS: Knobs = Knobs { resident: 128 << 10, table: 8 << 10, stack: 0, pagemap: Enabled::Auto, batch: 1 };

/// Names and engines to compare.
fn variants() -> Vec<(&'static str, Engine)> {
    let kib = |resident: usize| Knobs { resident: resident << 10, ..OURS };
    let mut all = vec![("as the engine is", engine(OURS))];
    all.push(("Wasmtime's defaults: on demand", engine_of(&mut Config::new())));
    let mut defaults = Config::new();
    let mut pool = PoolingAllocationConfig::new();
    // Without these no JavaScript or Python guest would fit.
    pool.table_elements(100_000).max_component_instance_size(10 << 20).max_core_instance_size(10 << 20);
    defaults.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    all.push(("Wasmtime's defaults: a pool", engine_of(&mut defaults)));
    for (name, knobs) in [
        ("resident 0", kib(0)),
        ("resident 32 KiB", kib(32)),
        ("resident 64 KiB", kib(64)),
        ("resident 128 KiB", kib(128)),
        ("resident 256 KiB", kib(256)),
        ("resident 1 MiB", kib(1 << 10)),
        ("resident 4 MiB", kib(4 << 10)),
        ("resident 16 MiB", kib(16 << 10)),
        ("no table resident", Knobs { table: 0, ..OURS }),
        ("table resident 64 KiB", Knobs { table: 64 << 10, ..OURS }),
        ("fiber stack resident 16 KiB, zeroed", Knobs { stack: 16 << 10, ..OURS }),
        ("no pagemap_scan", Knobs { pagemap: Enabled::No, ..OURS }),
        ("no pagemap_scan, resident 1 MiB", Knobs { pagemap: Enabled::No, ..kib(1 << 10) }),
        ("decommit in batches of 16", Knobs { batch: 16, ..OURS }),
    ] {
        all.push((name, engine(knobs)));
    }
    all
}

fn engine_of(config: &mut Config) -> Engine {
    Engine::new(config.wasm_component_model(true).concurrency_support(false).epoch_interruption(true)).unwrap()
}

fn engine(knobs: Knobs) -> Engine {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(64)
        .total_stacks(64)
        .total_core_instances(64 * 64)
        .total_memories(128)
        .total_tables(256)
        .max_core_instances_per_component(64)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_tables_per_module(4)
        .table_elements(100_000)
        .max_unused_warm_slots(64)
        .linear_memory_keep_resident(knobs.resident)
        .table_keep_resident(knobs.table)
        .async_stack_keep_resident(knobs.stack)
        .decommit_batch_size(knobs.batch)
        .pagemap_scan(knobs.pagemap);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).async_stack_zeroing(knobs.stack > 0);
    engine_of(&mut config)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn moment(bare: &Bare) -> f64 {
    let (start, mut calls) = (Instant::now(), 0);
    while start.elapsed() < MOMENT {
        bare.call().await;
        calls += 1;
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}

/// Instances that were made before: of their calls alone, and of making them.
async fn moment_of_prepared(bare: &Bare) -> (f64, f64) {
    let (mut making, mut calling, mut calls) = (Duration::ZERO, Duration::ZERO, 0);
    while making + calling < MOMENT {
        let start = Instant::now();
        let prepared = bare.prepare().await;
        let made = Instant::now();
        bare.finish(prepared).await;
        making += made - start;
        calling += made.elapsed();
        calls += 1;
    }
    (calling.as_secs_f64() / f64::from(calls), making.as_secs_f64() / f64::from(calls))
}

async fn compare(
    name: &str,
    tool: &'static str,
    component: &[u8],
    arguments: &str,
    engines: &[(&'static str, Engine)],
) {
    let bares: Vec<_> =
        engines.iter().map(|(_, engine)| Bare::of(tool, engine, component, arguments).unwrap()).collect();
    let mut times = vec![Vec::new(); bares.len()];
    let (mut called, mut made) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (bare, times) in bares.iter().zip(&mut times) {
            times.push(moment(bare).await);
        }
        let (calling, making) = moment_of_prepared(&bares[0]).await;
        called.push(calling);
        made.push(making);
    }
    let times: Vec<_> = times.into_iter().map(median).collect();
    println!("{name}");
    for ((setting, _), time) in engines.iter().zip(&times) {
        println!("  {setting:38} {:9.2} µs  {:5.2}", time * 1e6, time / times[0]);
    }
    let (called, made) = (median(called), median(made));
    println!("  an instance made ahead: its call          {:9.2} µs  {:5.2}", called * 1e6, called / times[0]);
    println!("  an instance made ahead: making it         {:9.2} µs  {:5.2}", made * 1e6, made / times[0]);
}

/// Calls a second of `tasks` tasks on two threads, each call on an instance that a task made while the one
/// before it ran; or, not `ahead`, on one that it makes itself.
async fn rate(bare: &Arc<Bare>, tasks: usize, ahead: bool) -> f64 {
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let bare = bare.clone();
        running.spawn(async move {
            let make = |bare: Arc<Bare>| tokio::spawn(async move { bare.prepare().await });
            let (mut calls, mut next) = (0, ahead.then(|| make(bare.clone())));
            while start.elapsed() < 4 * MOMENT {
                match next.take() {
                    Some(prepared) => {
                        let prepared = prepared.await.unwrap();
                        next = Some(make(bare.clone()));
                        bare.finish(prepared).await;
                    }
                    None => bare.call().await,
                }
                calls += 1;
            }
            calls
        });
    }
    let calls: u32 = running.join_all().await.into_iter().sum();
    f64::from(calls) / start.elapsed().as_secs_f64()
}

async fn compare_ahead(name: &str, tool: &'static str, component: &[u8], arguments: &str, engine: &Engine) {
    let bare = Arc::new(Bare::of(tool, engine, component, arguments).unwrap());
    for tasks in [1, 16] {
        let (mut here, mut ahead) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            here.push(rate(&bare, tasks, false).await);
            ahead.push(rate(&bare, tasks, true).await);
        }
        let (here, ahead) = (median(here), median(ahead));
        println!(
            "{name}, {tasks} at once on two threads: {here:.0} calls a second, {ahead:.0} with instances made ahead: {:.2}",
            ahead / here
        );
    }
}

fn main() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engines = variants();
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let echo = exoclaw_bundle::find("echo").unwrap();
    let of_echo = arguments();
    tokio.block_on(compare("echo", "echo", echo.bytes, of_echo.get(), &engines));
    threads.block_on(compare_ahead("echo", "echo", echo.bytes, of_echo.get(), &engines[0].1));
    for path in std::env::var_os("EXOCLAW_BENCH_COMPONENTS").iter().flat_map(std::env::split_paths) {
        let bytes = std::fs::read(&path).unwrap();
        tokio.block_on(compare(&path.display().to_string(), "echo", &bytes, of_echo.get(), &engines[..4]));
    }
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests-lang"));
    let text = serde_json::json!({ "text": "the quick brown fox jumps over the lazy dog ".repeat(6) }).to_string();
    for language in ["rust", "c", "javascript", "python"] {
        if let Ok(bytes) = std::fs::read(folder.join(format!("wordcount-{language}.wasm"))) {
            let name = format!("wordcount in {language}");
            tokio.block_on(compare(&name, "wordcount", &bytes, &text, &engines));
            threads.block_on(compare_ahead(&name, "wordcount", &bytes, &text, &engines[0].1));
        }
    }
}
