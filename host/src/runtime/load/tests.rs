use serde_json::value::RawValue;

use super::*;
use crate::config::LimitsConfig;
use crate::runtime::{CallConditions, ToolCall};
use crate::store::Timestamp;

fn bundled(name: &str) -> PluginSpec {
    PluginSpec::new(name.parse().unwrap(), Source::Bundled(exoclaw_bundle::find(name).unwrap()))
}

#[tokio::test]
async fn without_room_for_a_pool_calls_work_all_the_same() {
    let runtime = Runtime::on(Machine::with(Allocation::OnDemand, 16).unwrap(), Services::detached()).unwrap();
    assert_eq!(runtime.allocation(), Allocation::OnDemand);
    let plugin = runtime.load(bundled("echo")).await.unwrap();
    let arguments = RawValue::from_string(r#"{"text": "hi"}"#.into()).unwrap();
    let call = ToolCall {
        agent: "a",
        session: &"a:b:c:d".parse().unwrap(),
        call: "c",
        now: Timestamp(0),
        arguments: &arguments,
        progress: None,
        conditions: CallConditions::Live,
    };
    let content = plugin.tools()[0].call(call).await.unwrap();
    assert_eq!(content, [crate::store::ToolContent::text("hi")]);
}

#[test]
fn what_is_no_component_is_told_from_what_is() {
    assert!(matches!(refuse_other_formats(b"\0asm\x0d\0\x01\0"), Ok(())));
    assert!(matches!(refuse_other_formats(b"\0asm\x01\0\0\0rest"), Err(LoadProblem::CoreModule)));
    for bytes in [&b""[..], b"\0asm", b"(component)", b"\0asm\x0e\0\x01\0"] {
        assert!(matches!(refuse_other_formats(bytes), Err(LoadProblem::NotWasm)), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_future_of_a_call_can_move_between_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let runtime = Runtime::new(&LimitsConfig::default(), Services::detached()).unwrap();
    let plugin = is_send(runtime.load(bundled("echo"))).await.unwrap();
    let arguments = RawValue::from_string("{}".into()).unwrap();
    let call = ToolCall {
        agent: "a",
        session: &"a:b:c:d".parse().unwrap(),
        call: "c",
        now: Timestamp(0),
        arguments: &arguments,
        progress: None,
        conditions: CallConditions::Live,
    };
    assert!(is_send(plugin.tools()[0].call(call)).await.is_err());
}
