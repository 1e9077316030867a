//! Every plugin in the repository, held to the contract through its component; and the sandbox,
//! held against plugins that break it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "conformance/attacks.rs"]
mod attacks;
#[path = "conformance/bundled.rs"]
mod bundled;
#[path = "conformance/cache.rs"]
mod cache;
#[path = "conformance/capabilities.rs"]
mod capabilities;
#[path = "conformance/channels.rs"]
mod channels;
#[path = "conformance/dirs.rs"]
mod dirs;
#[path = "conformance/docs.rs"]
mod docs;
#[path = "conformance/egress.rs"]
mod egress;
#[path = "conformance/hostile.rs"]
mod hostile;
#[path = "conformance/kit.rs"]
mod kit;
#[path = "conformance/limits.rs"]
mod limits;
#[path = "conformance/load.rs"]
mod load;
#[path = "conformance/loopback.rs"]
mod loopback;
#[path = "conformance/swap.rs"]
mod swap;

use std::sync::{Arc, LazyLock};

use exoclaw::config::{LimitsConfig, PluginLimits};
use exoclaw::runtime::{
    CallConditions, CallError, LoadProblem, Plugin, PluginSpec, Runtime, Services, Source, Tool, ToolCall,
};
use exoclaw::store::{Timestamp, ToolContent};
use exoclaw_bundle::Guest;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// 2026-03-14T14:09:26Z, a Saturday.
const NOW: Timestamp = Timestamp(1_773_497_366_000);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new(&LimitsConfig::default(), Services::detached()).unwrap());

fn guest(name: &str) -> &'static Guest {
    exoclaw_bundle::find(name).or_else(|| exoclaw_bundle_test::find(name)).unwrap()
}

fn spec(name: &str) -> PluginSpec {
    PluginSpec::new(name.parse().unwrap(), Source::Bundled(guest(name)))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

async fn load(spec: PluginSpec) -> Arc<Plugin> {
    RUNTIME.load(spec).await.unwrap()
}

async fn problem(spec: PluginSpec) -> LoadProblem {
    *RUNTIME.load(spec).await.unwrap_err().problem
}

fn tool(plugin: &Arc<Plugin>, name: &str) -> Tool {
    plugin.tools().into_iter().find(|tool| tool.name() == name).unwrap()
}

/// Calls a tool with a JSON text for its arguments, whatever it is.
async fn call(tool: &Tool, arguments: &str) -> Result<Vec<ToolContent>, CallError> {
    let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
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
    tool.call(call).await
}

async fn text(tool: &Tool, arguments: Value) -> Result<String, CallError> {
    let mut content = call(tool, &arguments.to_string()).await?;
    match (content.pop(), content.is_empty()) {
        (Some(ToolContent::Text { text }), true) => Ok(text),
        other => panic!("one text was expected, and {other:?} came"),
    }
}
