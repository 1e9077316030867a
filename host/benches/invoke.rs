//! What the sandbox costs: one call of `echo` through [`Tool::call`], beside the same component on
//! the same engine with nothing around it (store, instance, call, drop).
//!
//! `cargo bench -p exoclaw --bench invoke`. The last line is the ratio, of medians of rounds that
//! alternate between the two, so that a machine that slows down slows both.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement, and code that a macro wrote")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use exoclaw::config::{LimitsConfig, PluginLimits};
use std::sync::LazyLock;

use exoclaw::runtime::{CallConditions, PluginSpec, Runtime, Services, Source, Tool, ToolCall};
use exoclaw::store::{SessionKey, Timestamp};
use serde_json::value::RawValue;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use bare::exoclaw::plugin::logging;
use bare::exports::exoclaw::plugin::tool::Context;

mod bare {
    wasmtime::component::bindgen!({ path: "../wit", world: "tool-plugin", exports: { default: async } });
}

/// Rounds of the ratio, and calls of each.
const ROUNDS: usize = 301;
const CALLS: u32 = 100;

const SESSION: &str = "default:websocket:local:main";
static SESSION_KEY: LazyLock<SessionKey> = LazyLock::new(|| SESSION.parse().unwrap());

/// A store's data with no limits. WASI is made when asked for, which `echo` never does: the
/// baseline is not to pay for what ours avoids.
#[derive(Default)]
struct Data {
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: self.wasi.get_or_insert_with(WasiCtx::default), table: &mut self.table }
    }
}

impl logging::Host for Data {
    fn log(&mut self, _level: logging::Level, _message: String) {}
}

struct Bare {
    engine: Engine,
    pre: bare::ToolPluginPre<Data>,
    arguments: String,
}

impl Bare {
    fn new(engine: &Engine, component: &[u8], arguments: &str) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        logging::add_to_linker::<Data, HasSelf<Data>>(&mut linker, |data| data)?;
        let component = Component::new(engine, component)?;
        let pre = bare::ToolPluginPre::new(linker.instantiate_pre(&component)?)?;
        Ok(Self { engine: engine.clone(), pre, arguments: arguments.to_owned() })
    }

    async fn call(&self) {
        let mut store = Store::new(&self.engine, Data::default());
        // Never reached.
        store.set_epoch_deadline(u64::MAX / 2);
        let context = Context {
            agent: "default".to_owned(),
            session: SESSION.to_owned(),
            call: "call".to_owned(),
            settings: "{}".to_owned(),
            now: 0,
        };
        let plugin = self.pre.instantiate_async(&mut store).await.unwrap();
        let tool = plugin.exoclaw_plugin_tool();
        let name = "echo".to_owned();
        black_box(tool.call_call(&mut store, &context, &name, &self.arguments).await.unwrap().unwrap());
    }
}

async fn ours(tool: &Tool, arguments: &RawValue) {
    let call = ToolCall {
        agent: "default",
        session: &SESSION_KEY,
        call: "call",
        now: Timestamp(0),
        arguments,
        progress: None,
        conditions: CallConditions::Live,
    };
    black_box(tool.call(call).await.unwrap());
}

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
    // 256 bytes in and out.
    let arguments = RawValue::from_string(format!(r#"{{"text":"{}"}}"#, "x".repeat(256))).unwrap();
    let bare = Bare::new(runtime.engine(), guest.bytes, arguments.get()).unwrap();

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("invoke");
    group.bench_function("bare", |bencher| bencher.to_async(&tokio).iter(|| bare.call()));
    group.bench_function("ours", |bencher| bencher.to_async(&tokio).iter(|| ours(&tool, &arguments)));
    group.finish();
    criterion.final_summary();

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
    let digest: String = guest.sha256.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    println!(
        "invoke: ours {ours:?}, bare {bare:?}, ratio {:.3} (echo {digest}, {:?})",
        ours.as_secs_f64() / bare.as_secs_f64(),
        runtime.allocation()
    );
}
