//! A tool's call on bare Wasmtime, and the same call on ours: what both sides of a comparison run.
#![allow(dead_code, clippy::unwrap_used, reason = "each bench uses what it needs, and fails by panicking")]

use std::hint::black_box;
use std::sync::LazyLock;

use exoclaw::runtime::{CallConditions, Tool, ToolCall};
use exoclaw::store::{SessionKey, Timestamp};
use serde_json::value::RawValue;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use bindings::exoclaw::plugin::logging;
use bindings::exports::exoclaw::plugin::tool::Context;

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit", world: "tool-plugin", exports: { default: async } });
}

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

pub(crate) struct Bare {
    engine: Engine,
    pre: bindings::ToolPluginPre<Data>,
    tool: &'static str,
    arguments: String,
}

/// An instance that waits for its one call.
pub(crate) struct Prepared {
    store: Store<Data>,
    plugin: bindings::ToolPlugin,
}

impl Bare {
    pub(crate) fn new(engine: &Engine, component: &[u8], arguments: &str) -> wasmtime::Result<Self> {
        Self::of("echo", engine, component, arguments)
    }

    pub(crate) fn of(tool: &'static str, engine: &Engine, component: &[u8], arguments: &str) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        logging::add_to_linker::<Data, HasSelf<Data>>(&mut linker, |data| data)?;
        let component = Component::new(engine, component)?;
        let pre = bindings::ToolPluginPre::new(linker.instantiate_pre(&component)?)?;
        Ok(Self { engine: engine.clone(), pre, tool, arguments: arguments.to_owned() })
    }

    pub(crate) async fn call(&self) {
        self.finish(self.prepare().await).await;
    }

    pub(crate) async fn prepare(&self) -> Prepared {
        let mut store = Store::new(&self.engine, Data::default());
        // Never reached.
        store.set_epoch_deadline(u64::MAX / 2);
        let plugin = self.pre.instantiate_async(&mut store).await.unwrap();
        Prepared { store, plugin }
    }

    pub(crate) async fn finish(&self, Prepared { mut store, plugin }: Prepared) {
        let context = Context {
            agent: "default".to_owned(),
            session: SESSION.to_owned(),
            call: "call".to_owned(),
            settings: "{}".to_owned(),
            now: 0,
        };
        let tool = plugin.exoclaw_plugin_tool();
        let name = self.tool.to_owned();
        black_box(tool.call_call(&mut store, &context, &name, &self.arguments).await.unwrap().unwrap());
    }
}

/// The same call, by the sandbox.
pub(crate) async fn ours(tool: &Tool, arguments: &RawValue) {
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

/// 256 bytes in and out.
pub(crate) fn arguments() -> Box<RawValue> {
    RawValue::from_string(format!(r#"{{"text":"{}"}}"#, "x".repeat(256))).unwrap()
}
