//! `exoclaw plugin inspect|diff|test|call|bench`, on files, without a gateway unless one is named.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{FakeProvider, Finished, Gateway, Reply, Wire, exoclaw, start};

/// A folder with the guests of the repository, and an owner's home.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        for guest in exoclaw_bundle::GUESTS.iter().chain(exoclaw_bundle_test::GUESTS) {
            std::fs::write(folder.path().join(format!("{}.wasm", guest.name)), guest.bytes).expect("a writable folder");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.path().join(name), content).expect("a writable folder");
        self.path(name)
    }

    async fn plugin(&self, arguments: &[&str]) -> Finished {
        let arguments: Vec<&str> = ["plugin"].iter().chain(arguments).copied().collect();
        exoclaw(self.0.path(), &arguments).await
    }
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

/// A component that does nothing but import these instances (component-model `Binary.md`).
fn importing(names: &[&str]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    // One type: an instance without members.
    bytes.extend([0x07, 0x03, 0x01, 0x42, 0x00]);
    let mut imports = vec![u8::try_from(names.len()).expect("few")];
    for name in names {
        imports.extend([0x00, u8::try_from(name.len()).expect("short")]);
        imports.extend(name.as_bytes());
        imports.extend([0x05, 0x00]);
    }
    bytes.extend([0x0a, u8::try_from(imports.len()).expect("short")]);
    bytes.extend(imports);
    bytes
}

#[tokio::test]
async fn inspect_says_in_plain_words_what_a_file_is() {
    let bench = Bench::new();
    let clock = bench.plugin(&["inspect", &bench.path("clock.wasm")]).await;
    for words in [
        "clock is a tool plugin: ",
        "current_time  (Current time)",
        "takes: timezone (string, may be left out)",
        "it promises that it changes nothing, reaches nothing outside",
        "It could\n  do nothing but calculate\n",
        "Asked for by its standard library, and empty here\n  exoclaw:plugin/types@0.1.0, wasi:",
        "64MiB of memory",
    ] {
        assert!(clock.stdout().contains(words), "{words}: {}", clock.stdout);
    }
    assert!(!clock.stdout.contains("lacks"), "{}", clock.stdout);

    let loopback = bench.plugin(&["inspect", "bundled:loopback"]).await;
    for words in [
        "loopback is a channel for loopback: bundled:loopback",
        "calls are verified by hmac",
        "It could\n  write lines to the gateway's log  (exoclaw:plugin/logging@0.1.0)\n",
        "the secret loopback-token, which it never sees",
        "  [plugins.grants]\n  http = [\"loopback.invalid\"]\n  secrets.loopback-token = { env = \"LOOPBACK_TOKEN\", hosts = [\"loopback.invalid\"] }\n",
    ] {
        assert!(loopback.stdout().contains(words), "{words}: {}", loopback.stdout);
    }
    let info = json(&bench.plugin(&["inspect", "bundled:loopback", "--json"]).await);
    assert_eq!((&info["channel"]["platform"], &info["lacks"][0]["needed"]), (&json!("loopback"), &json!(false)));
}

#[tokio::test]
async fn a_component_that_imports_the_unknown_is_refused_with_all_of_it() {
    let bench = Bench::new();
    let odd = bench.write("odd.wasm", importing(&["acme:a/b@1.0.0", "wasi:nn/graph@0.2.0"]));
    let refused = bench.plugin(&["inspect", &odd]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("acme:a/b@1.0.0") && refused.stderr.contains("wasi:nn/graph@0.2.0"), "{refused:?}");
}

#[tokio::test]
async fn diff_ends_with_0_only_where_nothing_needs_the_owners_eye() {
    let bench = Bench::new();
    let (echo, clock) = (bench.path("echo.wasm"), bench.path("clock.wasm"));
    let same = bench.plugin(&["diff", &echo, "bundled:echo"]).await;
    assert!(same.stdout().contains("the same component"), "{same:?}");
    let other = bench.plugin(&["diff", &echo, &clock]).await;
    assert_eq!(other.code, Some(1), "{other:?}");
    for line in ["! the tool `echo` is gone", "! the tool `current_time` is new: Tells", "changes need your eye"] {
        assert!(other.stdout.contains(line), "{line}: {}", other.stdout);
    }
    let changes = json(&bench.plugin(&["diff", &echo, &clock, "--json"]).await);
    assert_eq!(changes["changes"][0]["weight"], "attention", "{changes}");

    // By name: as the config has it, where no gateway answers.
    let config = format!("[gateway]\nport = 1\n[[plugins]]\nname = \"mine\"\npath = {echo:?}\n");
    let config = bench.write("config.toml", config);
    let named = bench.plugin(&["diff", "mine", &clock, "--config", &config]).await;
    assert_eq!(named.code, Some(1), "{named:?}");
    assert!(named.stdout.contains("echo.wasm"), "{named:?}");
    let nobody = bench.plugin(&["diff", "nobody", &clock, "--config", &config]).await;
    assert_eq!(nobody.code, Some(3), "{nobody:?}");
}

#[tokio::test]
async fn diff_and_inspect_ask_a_running_gateway_by_name() {
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("Yes.")]).await;
    let gateway = Gateway::builder().provider(&provider).bundled_tools().start().await;
    let url = gateway.url();
    let same = exoclaw(gateway.home(), &["plugin", "diff", "echo", "bundled:echo", "--url", &url]).await;
    assert!(same.stdout().contains("the same component"), "{same:?}");
    let shown = exoclaw(gateway.home(), &["plugin", "inspect", "echo", "--url", &url]).await;
    assert!(shown.stdout().starts_with("echo is a tool plugin: bundled:echo\n"), "{shown:?}");
}

#[tokio::test]
async fn test_ends_with_0_1_or_2_and_writes_what_was_asked_for() {
    let bench = Bench::new();
    let junit = bench.path("report.xml");
    let right = bench.plugin(&["test", &bench.path("echo.wasm"), "--junit", &junit]).await;
    assert!(right.stdout().contains("echo conforms: "), "{right:?}");
    let xml = std::fs::read_to_string(Path::new(&junit)).expect("a report");
    assert!(xml.contains("failures=\"0\"") && xml.contains("<testcase classname=\"echo\" name=\"describe: "), "{xml}");

    let wrong = bench.plugin(&["test", &bench.path("undescribed.wasm"), "--json"]).await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    let report = json(&wrong);
    assert_eq!((&report["failed"], &report["cases"][0]["id"]), (&json!(1), &json!("describe")), "{report}");
    assert_eq!(report["cases"][0]["outcome"], "fail", "{report}");

    let settings = bench.plugin(&["test", &bench.path("misdeclared.wasm")]).await;
    assert_eq!(settings.code, Some(2), "{settings:?}");
    assert!(settings.stderr.contains("--settings"), "{settings:?}");
    let given = bench.write("settings.json", r#"{"mode": "nothing"}"#);
    let given = bench.plugin(&["test", &bench.path("misdeclared.wasm"), "--settings", &format!("@{given}")]).await;
    assert_eq!(given.code, Some(0), "{given:?}");
    for missing in
        [&["test", "./no/such.wasm"][..], &["test", "bundled:nobody"], &["test", "bundled:echo", "--grant", "x"]]
    {
        assert_eq!(bench.plugin(missing).await.code, Some(2), "{missing:?}");
    }
}

#[tokio::test]
async fn test_takes_the_platforms_events() {
    let bench = Bench::new();
    let frame = |id: &str| json!({ "frame": { "tag": "t", "text": id } });
    let events = bench.write("events.json", json!([{ "start": "new" }, frame("1"), frame("2")]).to_string());
    let unruly = bench.path("unruly.wasm");
    for (settings, code) in [(r#"{"mode": "nothing"}"#, 0), (r#"{"mode": "lossy"}"#, 1)] {
        let tested = bench.plugin(&["test", &unruly, "--settings", settings, "--events", &events]).await;
        assert_eq!(tested.code, Some(code), "{tested:?}");
    }
    let broken = bench.write("broken.json", "[{}]");
    assert_eq!(bench.plugin(&["test", &unruly, "--events", &broken]).await.code, Some(2));
}

#[tokio::test]
async fn call_prints_the_result_and_beside_it_what_it_took() {
    let bench = Bench::new();
    let clock = bench.path("clock.wasm");
    let zone = r#"{"timezone": "Europe/Berlin"}"#;
    let called = bench.plugin(&["call", &clock, "current_time", zone, "--fixed", "1"]).await;
    assert!(called.stdout().contains("2026-03-14") && called.stdout().contains("15:09:26"), "{called:?}");
    assert!(called.stderr.contains("MiB of memory") && called.stderr.contains("calls of the host"), "{called:?}");
    let again = bench.plugin(&["call", &clock, "current_time", zone, "--fixed", "1"]).await;
    assert_eq!(called.stdout, again.stdout);

    let piped = start(bench.0.path(), &["plugin", "call", "bundled:calculator", "calculate", "-", "--json"]);
    let piped = json(&piped.end(r#"{"expression": "6*7"}"#).await);
    assert_eq!(piped["content"][0]["text"], "42", "{piped}");
    assert!(piped["stats"]["peak_memory"].as_u64().is_some_and(|bytes| bytes > 0), "{piped}");

    for (arguments, code, words) in [
        (&["bundled:calculator", "calculate", r#"{"expression": "6*"}"#][..], 1, "expected"),
        (&["bundled:calculator", "calculate", "{}"], 2, "expression"),
        (&["bundled:calculator", "calculate", "{"], 2, "not JSON"),
        (&["bundled:calculator", "guess"], 2, "it has calculate"),
        (&["bundled:loopback", "x"], 2, "channel"),
    ] {
        let called = bench.plugin(&[&["call"], arguments].concat()).await;
        assert_eq!(called.code, Some(code), "{called:?}");
        assert!(called.stderr.contains(words), "{words}: {called:?}");
    }
    // Its imports are its capabilities: without a grant it does not run.
    let ungranted = bench.plugin(&["call", &bench.path("ungranted.wasm"), "x"]).await;
    assert_eq!(ungranted.code, Some(1), "{ungranted:?}");
    assert!(ungranted.stderr.contains("store = true"), "{ungranted:?}");
}

#[tokio::test]
async fn call_takes_settings_and_limits_of_a_plugin_of_the_config() {
    let bench = Bench::new();
    let clock = bench.path("clock.wasm");
    let plugins = "[[plugins]]\nname = \"tokyo\"\npath = \"bundled:clock\"\nsettings = { timezone = \"Asia/Tokyo\" }\n";
    let config = bench.write("config.toml", plugins);
    let like = ["call", &clock, "current_time", "--as", "tokyo", "--fixed", "1", "--config", &config];
    assert!(bench.plugin(&like).await.stdout().contains("Asia/Tokyo"));
    let unknown = bench.plugin(&["call", &clock, "current_time", "--as", "kyoto", "--config", &config]).await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("tokyo"), "{unknown:?}");
}

#[tokio::test]
async fn bench_tells_how_long_calls_take() {
    let bench = Bench::new();
    let small = ["--calls", "20", "--concurrency", "4"];
    let told = bench.plugin(&[&["bench", "bundled:echo"][..], &small].concat()).await;
    for word in ["median", "99 of 100", "calls a second", "loaded in"] {
        assert!(told.stdout().contains(word), "{word}: {}", told.stdout);
    }
    let numbers = json(&bench.plugin(&[&["bench", "bundled:echo", "--json"][..], &small].concat()).await);
    assert_eq!((&numbers["sequential"]["calls"], &numbers["concurrent"]["concurrency"]), (&json!(20), &json!(4)));
    assert!(numbers["sequential"]["median_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{numbers}");
    let failing = bench
        .plugin(&[&["bench", "bundled:calculator", "--args", r#"{"expression": "+"}"#][..], &small].concat())
        .await;
    assert_eq!(failing.code, Some(1), "{failing:?}");
}
