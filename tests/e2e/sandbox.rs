//! Plugins that misbehave, through the real binary.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{Client, FakeProvider, Gateway, Reply, Request, WIRES, Wire};

/// A gateway with the hostile plugin as its only one.
pub(crate) async fn with_hostile(provider: &FakeProvider, limits: &str) -> Gateway {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = component(folder.path(), "hostile");
    let plugin = format!("[[plugins]]\nname = \"hostile\"\npath = {path:?}\n[plugins.limits]\n{limits}");
    // What was loaded is what runs: the file may go.
    Gateway::builder().provider(provider).plugins(&plugin).start().await
}

/// Writes a plugin that comes with exoclaw or its tests.
pub(crate) fn component(folder: &Path, name: &str) -> PathBuf {
    let guest = exoclaw_bundle_test::find(name).or_else(|| exoclaw_bundle::find(name)).expect("a guest");
    let path = folder.join(format!("{name}.wasm"));
    std::fs::write(&path, guest.bytes).expect("a writable folder");
    path
}

pub(crate) fn plugin(name: &str, path: &Path, rest: &str) -> String {
    format!("[[plugins]]\nname = \"{name}\"\npath = {path:?}\n{rest}\n")
}

/// A model that calls the tool that the user names, with `n` as its argument where one is given.
pub(crate) async fn obedient(wire: Wire) -> FakeProvider {
    FakeProvider::start(wire, |request: &Request| match request.results().first() {
        Some((_, text)) => Reply::text(format!("I got {} bytes.", text.len())),
        None => {
            let question = request.question();
            let (tool, n) = question.split_once(' ').unwrap_or((&question, ""));
            let arguments = n.parse::<u64>().map_or(json!({}), |n| json!({"n": n}));
            Reply::new().call(&format!("call_{}", request.messages().len()), tool, &arguments)
        }
    })
    .await
}

#[tokio::test]
async fn a_tool_that_fails_is_a_result_and_the_next_call_is_healthy() {
    for wire in WIRES {
        let provider = obedient(wire).await;
        let gateway = with_hostile(&provider, "time = \"300ms\"\nmemory = \"16MiB\"\nresult = \"64KiB\"").await;
        let mut client = Client::connect(&gateway).await;
        let failing =
            ["spin", "sleep 3600000", "trap", "exit", "recurse", "grow", "huge 100000000", "bad_json", "failed 20"];
        for tool in failing {
            let shown = client.ask(tool).await;
            let [(_, text, true)] = &shown.results()[..] else { panic!("{tool}: {:?}", shown.results()) };
            assert!(!text.is_empty() && text.len() < 70_000, "{tool}: {text}");
            assert_eq!(shown.done()["stop_reason"], "end_turn", "the model saw it and went on");

            let healthy = client.ask("answer").await;
            let [(_, answer, false)] = &healthy.results()[..] else { panic!("after {tool}: {:?}", healthy.results()) };
            assert_eq!(answer, "42", "after {tool}");
        }
    }
}

#[tokio::test]
async fn tools_that_loop_hold_up_nobody() {
    // More than there are threads to run them.
    let spinning = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    let provider = obedient(Wire::Anthropic).await;
    let gateway =
        with_hostile(&provider, &format!("time = \"1h\"\ncpu = \"1h\"\nconcurrency = {}", spinning + 1)).await;
    let mut client = Client::connect(&gateway).await;
    let mut turns = Vec::new();
    for index in 0..spinning {
        turns.push(client.send_to(&format!("peer-{index}"), "spin").await);
    }
    for turn in &turns {
        client.until(turn, "tool_use").await;
    }
    let mut other = Client::connect(&gateway).await;
    for _ in 0..8 {
        other.ping().await;
        assert_eq!(gateway.get("/livez").await.status, 200);
    }
    let healthy = other.send_to("healthy", "answer").await;
    assert_eq!(other.finish(&healthy).await.results()[0].1, "42");
    // None of them would have ended by itself.
    for turn in &turns {
        client.call("chat.abort", json!({"session": turn.session})).await.expect("an answer");
        assert_eq!(client.finish(turn).await.done()["stop_reason"], "aborted");
    }
}

#[tokio::test]
async fn each_call_starts_from_nothing() {
    let provider = obedient(Wire::Anthropic).await;
    let gateway = with_hostile(&provider, "time = \"5s\"").await;
    let mut client = Client::connect(&gateway).await;
    for _ in 0..3 {
        assert_eq!(client.ask("count").await.results()[0].1, "0");
    }
}

#[tokio::test]
async fn a_tool_sees_nothing_of_the_machine() {
    let provider = obedient(Wire::Anthropic).await;
    let gateway = with_hostile(&provider, "time = \"5s\"").await;
    let mut client = Client::connect(&gateway).await;
    let text = async |client: &mut Client, tool: &str| client.ask(tool).await.results().remove(0).1;
    let environment = text(&mut client, "environment").await;
    for secret in ["KEYKEYKEY", "HOME", "EXOCLAW", "exoclaw"] {
        assert!(!environment.contains(secret), "{environment}");
    }
    assert!(!text(&mut client, "open_file").await.contains("root:"));
    assert_ne!(text(&mut client, "connect").await, "connected");
}

#[tokio::test]
async fn a_file_that_nobody_watches_may_change() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = component(folder.path(), "hostile");
    let provider = obedient(Wire::OpenAi).await;
    let builder = Gateway::builder().provider(&provider).gateway("watch_plugins = false");
    let gateway = builder.plugins(&plugin("mine", &path, "")).start().await;
    let mut client = Client::connect(&gateway).await;
    let digest = async |client: &mut Client| {
        let plugin = client.call("plugin.inspect", json!({"name": "mine"})).await.expect("a plugin");
        plugin["sha256"].as_str().expect("a digest").to_owned()
    };
    let before = digest(&mut client).await;
    assert_eq!(client.ask("answer").await.results()[0].1, "42");

    let other = exoclaw_bundle::find("echo").expect("a guest");
    std::fs::write(&path, other.bytes).expect("a writable folder");
    assert_eq!(client.ask("answer").await.results()[0].1, "42");
    assert_eq!(digest(&mut client).await, before);
    std::fs::remove_file(&path).expect("our file");
    assert_eq!(client.ask("answer").await.results()[0].1, "42");
}

#[tokio::test]
async fn a_tool_name_that_two_plugins_claim_refuses_the_start() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = component(folder.path(), "misdeclared");
    let plugins = plugin("impostor", &path, "settings = { mode = \"collide\" }")
        + "[[plugins]]\nname = \"genuine\"\npath = \"bundled:echo\"\n";
    let refused = Gateway::builder().plugins(&plugins).refuses_to_start().await;
    for word in ["impostor", "genuine", "echo"] {
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn a_plugin_that_imports_what_it_was_not_granted_refuses_the_start() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = component(folder.path(), "ungranted");
    let refused = Gateway::builder().plugins(&plugin("greedy", &path, "")).refuses_to_start().await;
    for word in ["greedy", "exoclaw:plugin/store", "exoclaw:plugin/files"] {
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn a_plugin_that_is_not_what_its_owner_named_refuses_the_start() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = component(folder.path(), "hostile");
    let text = folder.path().join("text.wasm");
    std::fs::write(&text, "not a component").expect("a writable folder");
    let undescribed = component(folder.path(), "undescribed");
    let cases = [
        (plugin("pinned", &path, &format!("sha256 = \"{}\"", "0".repeat(64))), "SHA-256"),
        (plugin("text", &text, ""), "`path`"),
        (plugin("gone", &folder.path().join("gone.wasm"), ""), "gone.wasm"),
        (plugin("silent", &undescribed, ""), "silent"),
        ("[[plugins]]\nname = \"x\"\npath = \"bundled:nothing\"\n".into(), "nothing"),
    ];
    for (plugins, word) in cases {
        let refused = Gateway::builder().plugins(&plugins).refuses_to_start().await;
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
}
