//! What is refused at load, and in what words.

use exoclaw::runtime::{PluginKind, Toolbox};
use serde_json::json;

use super::*;

fn bytes(bytes: impl Into<Arc<[u8]>>) -> PluginSpec {
    PluginSpec { source: Source::Bytes(bytes.into()), ..spec("echo") }
}

fn misdeclared(mode: &str) -> PluginSpec {
    let limits = PluginLimits { time: std::time::Duration::from_millis(300), ..PluginLimits::default() };
    PluginSpec { settings: object(json!({ "mode": mode })), limits, ..spec("misdeclared") }
}

#[tokio::test]
async fn every_import_that_was_not_granted_is_named_at_once() {
    let error = RUNTIME.load(spec("ungranted")).await.unwrap_err().to_string();
    for part in ["plugin `ungranted`", "exoclaw:plugin/store@0.1.0", "exoclaw:plugin/files@0.1.0", "store = true"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert!(!error.contains("wasi:cli"), "{error}");
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_a_hint() {
    let refused = problem(bytes(*b"\0asm\x01\0\0\0")).await.to_string();
    assert!(refused.contains("wasm32-wasip2"), "{refused}");
    assert!(matches!(problem(bytes(*b"#!/bin/sh")).await, LoadProblem::NotWasm));
    let mut cut = guest("echo").bytes.to_vec();
    cut.truncate(cut.len() / 2);
    assert!(matches!(problem(bytes(cut)).await, LoadProblem::Compile(_)));
    let empty = problem(bytes(*b"\0asm\x0d\0\x01\0")).await.to_string();
    assert!(empty.contains("exports nothing"), "{empty}");
}

#[tokio::test]
async fn compiled_machine_code_is_never_loaded() {
    let code = wasmtime::Engine::default().precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
    assert!(matches!(problem(bytes(code)).await, LoadProblem::Precompiled));
}

#[tokio::test]
async fn a_pinned_digest_must_be_the_files() {
    let pinned = |sha256| PluginSpec { sha256: Some(sha256), ..spec("echo") };
    assert!(RUNTIME.load(pinned(guest("echo").sha256)).await.is_ok());
    let refused = problem(pinned([0xab; 32])).await;
    assert!(matches!(&refused, LoadProblem::Digest { pinned, .. } if *pinned == "ab".repeat(32)), "{refused}");
}

#[tokio::test]
async fn what_was_loaded_is_what_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tool.wasm");
    std::fs::write(&path, guest("echo").bytes).unwrap();
    let plugin = load(PluginSpec { source: Source::File(path.clone()), ..spec("echo") }).await;
    std::fs::write(&path, guest("clock").bytes).unwrap();
    assert_eq!(text(&tool(&plugin, "echo"), json!({ "text": "still" })).await.unwrap(), "still");
    assert_eq!(plugin.info().source, path.display().to_string());
    std::fs::remove_file(&path).unwrap();
    let refused = problem(PluginSpec { source: Source::File(path), ..spec("echo") }).await;
    assert!(matches!(refused, LoadProblem::Read { .. }), "{refused}");
}

#[tokio::test]
async fn the_config_names_bundled_plugins() {
    use exoclaw::config::{Config, PluginPath};
    let config = Config::default();
    for plugin in &config.plugins {
        load(PluginSpec::from_config(plugin).unwrap()).await;
    }
    let mut unknown = config.plugins[0].clone();
    unknown.path = PluginPath::Bundled("ecko".into());
    let error = PluginSpec::from_config(&unknown).unwrap_err().to_string();
    assert!(error.contains("`bundled:ecko` is not in this binary") && error.contains("echo"), "{error}");
}

#[tokio::test]
async fn settings_must_fit_the_plugins_schema() {
    let refused = problem(PluginSpec { settings: object(json!({ "mode": 1, "x": 2 })), ..spec("misdeclared") }).await;
    assert!(matches!(refused, LoadProblem::Settings(_)), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains("/mode") && refused.contains("'x' was unexpected"), "{refused}");
    assert!(matches!(problem(spec("misdeclared")).await, LoadProblem::Settings(_)));
}

#[tokio::test]
async fn a_plugin_that_can_not_describe_itself_is_refused() {
    let refused = problem(spec("undescribed")).await;
    let LoadProblem::Call { function: "describe", error: CallError::Trap(_) } = refused else { panic!("{refused}") };
    for mode in ["trap", "spin", "error"] {
        let refused = problem(misdeclared(mode)).await;
        let LoadProblem::Call { function: "definitions", error } = refused else { panic!("{mode}: {refused}") };
        let right = match mode {
            "trap" => matches!(error, CallError::Trap(_)),
            "spin" => matches!(error, CallError::Timeout(_)),
            _ => error.to_string() == "out of order",
        };
        assert!(right, "{mode}: {error}");
    }
}

#[tokio::test]
async fn tools_that_are_declared_wrongly_are_refused() {
    assert_eq!(load(misdeclared("nothing")).await.kind(), PluginKind::Tool);
    for (mode, words) in [
        ("none", "defines 0 tools"),
        ("count", "defines 1000 tools"),
        ("duplicate", "defines the tool `right` twice"),
        ("name", "a tool named \"no such name!\""),
        ("description", "a description of 100000 bytes"),
        ("schema-json", "input-schema: it is not JSON"),
        ("schema-type", "\"type\": \"object\""),
        ("schema-remote", "`https://example.com/schema`"),
        ("schema-keyword", "input-schema"),
        ("schema-regex", "input-schema"),
        ("schema-size", "65536 are allowed"),
    ] {
        let refused = problem(misdeclared(mode)).await.to_string();
        assert!(refused.contains(words), "{mode}: {refused}");
    }
}

#[tokio::test]
async fn two_plugins_with_a_tool_of_one_name_are_refused_together() {
    let plugins = vec![load(spec("echo")).await, load(misdeclared("collide")).await];
    let error = Toolbox::new(plugins).unwrap_err().to_string();
    assert_eq!(
        error,
        "plugin `misdeclared`: its tool `echo` has the name of a tool of plugin `echo`; load one of the two"
    );
}

#[tokio::test]
async fn a_plugin_whose_limits_do_not_hold_it_is_refused() {
    let limits = PluginLimits { memory: exoclaw::config::ByteSize::kib(64), ..PluginLimits::default() };
    let refused = problem(PluginSpec { limits, ..spec("clock") }).await;
    assert!(matches!(refused, LoadProblem::Call { error: CallError::Memory(_), .. }), "{refused}");
}
