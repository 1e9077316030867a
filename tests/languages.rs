//! One tool in four languages: the host can't tell which it runs.
//!
//! `just guests` builds the components. One that was not built is left out, with a line that says
//! so; with `EXOCLAW_REQUIRE_GUESTS=1` in the environment, as in CI, that is a failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use exoclaw::config::LimitsConfig;
use exoclaw::runtime::bindings::channel::{
    Address, Body, Content, Event, Next, NextState, Outcome, Outgoing, Piece, Start, TransportError,
};
use exoclaw::runtime::bindings::types::{Request, Response};
use exoclaw::runtime::{
    CallConditions, CallError, CallStats, Capability, ChannelCall, LoadProblem, Plugin, PluginError, PluginKind,
    PluginSpec, Runtime, Services, Source, ToolCall,
};
use exoclaw::store::{Timestamp, ToolContent};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

/// 2026-03-14T14:09:26Z.
const NOW: Timestamp = Timestamp(1_773_497_366_000);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new(&LimitsConfig::default(), Services::detached()).unwrap());

/// What the tool is held to.
static VECTORS: LazyLock<Vec<Vector>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../guests/wordcount/vectors.json")).unwrap());

#[derive(Deserialize)]
struct Vector {
    name: String,
    settings: Map<String, Value>,
    /// As the text that the guest is given.
    arguments: String,
    result: String,
}

impl Vector {
    fn folds_case(&self) -> bool {
        self.settings.get("fold_case").is_none_or(|fold| *fold == true)
    }
}

/// A built component of `guests-lang/`, beside the build that this test is of.
fn component(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let file = test.ancestors().map(|folder| folder.join("guests-lang").join(name)).find(|file| file.is_file());
    if file.is_none() {
        assert!(
            std::env::var_os("EXOCLAW_REQUIRE_GUESTS").is_none(),
            "{name} was not built, and EXOCLAW_REQUIRE_GUESTS is set; run `just guests`"
        );
        println!("left out: {name} was not built; `just guests` builds it");
    }
    file
}

fn spec(file: PathBuf, settings: Map<String, Value>) -> PluginSpec {
    PluginSpec { settings, ..PluginSpec::new("wordcount".parse().unwrap(), Source::File(file)) }
}

/// A wordcount with its default settings, and one that tells `A` from `a`.
struct Counters {
    folding: Arc<Plugin>,
    exact: Arc<Plugin>,
}

/// Loaded once: compiling JavaScript and Python takes this machine longer than all else here.
#[derive(Default)]
struct Language(OnceCell<Option<Counters>>);

impl Language {
    async fn load(&self, name: &str) -> Option<&Counters> {
        let load = async || {
            let file = component(&format!("wordcount-{name}.wasm"))?;
            let exact = Map::from_iter([("fold_case".to_owned(), json!(false))]);
            let folding = RUNTIME.load(spec(file.clone(), Map::new())).await.unwrap();
            let exact = RUNTIME.load(spec(file, exact)).await.unwrap();
            Some(Counters { folding, exact })
        };
        self.0.get_or_init(load).await.as_ref()
    }
}

static RUST: Language = Language(OnceCell::const_new());
static JAVASCRIPT: Language = Language(OnceCell::const_new());
static PYTHON: Language = Language(OnceCell::const_new());
static C: Language = Language(OnceCell::const_new());

async fn contents(plugin: &Arc<Plugin>, arguments: &str) -> (Result<Vec<ToolContent>, CallError>, CallStats) {
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
    let [tool] = &plugin.tools()[..] else { panic!("one tool was expected") };
    tool.measured(call).await
}

async fn call(plugin: &Arc<Plugin>, arguments: &str) -> (Result<String, CallError>, CallStats) {
    let (result, stats) = contents(plugin, arguments).await;
    let json = result.map(|contents| match &contents[..] {
        [ToolContent::Json { json }] => json.clone(),
        other => panic!("one JSON was expected, and {other:?} came"),
    });
    (json, stats)
}

/// The same bytes in every language, for whatever the schema allows; and the largest memory that a
/// call took is well inside of what a plugin has by default.
async fn gives_what_every_language_gives(counters: &Counters) {
    let mut peak = 0;
    for vector in VECTORS.iter() {
        let plugin = if vector.folds_case() { &counters.folding } else { &counters.exact };
        let (result, stats) = call(plugin, &vector.arguments).await;
        assert_eq!(result.unwrap(), vector.result, "{}", vector.name);
        peak = peak.max(stats.peak_memory);
    }
    let limit = counters.folding.info().limits.memory;
    println!("peak memory {} KiB, limit {limit}", peak / 1024);
    assert!(peak < 48 << 20, "{peak} bytes at the peak; the default limit is {limit}");
    assert_eq!(counters.folding.info().failures + counters.exact.info().failures, 0);
}

/// What the schema refuses never reaches the guest, so that no language can take it otherwise.
async fn is_never_given_what_the_schema_refuses(counters: &Counters) {
    let calls = counters.exact.info().calls;
    let refused = [
        "null",
        "[]",
        "{}",
        r#"{"text": null}"#,
        r#"{"text": 1}"#,
        r#"{"text": "a", "text": "b"}"#,
        r#"{"text": "a", "top": 51}"#,
        r#"{"text": "a", "top": -1}"#,
        r#"{"text": "a", "top": 2.5}"#,
        r#"{"text": "a", "top": "2"}"#,
        r#"{"text": "a", "top": 1e300}"#,
        r#"{"text": "a", "more": 1}"#,
        r#"{"text": "\ud800"}"#,
        &json!({ "text": "x".repeat(20_001) }).to_string(),
    ];
    for arguments in refused {
        let (result, _) = call(&counters.exact, arguments).await;
        assert!(matches!(result, Err(CallError::InvalidArguments(_))), "{arguments:.60}: {result:?}");
    }
    assert_eq!(counters.exact.info().calls, calls, "a call reached the guest");
}

/// What the model and the owner are told, without what differs by the language: size and imports.
async fn says_what_every_language_says(counters: &Counters) {
    let Some(rust) = RUST.load("rust").await else { return };
    let told = |plugin: &Arc<Plugin>| {
        assert_eq!(plugin.kind(), PluginKind::Tool);
        let info = plugin.info();
        json!([info.tools, info.settings_schema, info.hosts, info.secrets])
    };
    assert_eq!(told(&counters.folding), told(&rust.folding));
    let tools = counters.folding.tools();
    assert!(tools[0].parallel() && tools[0].repeatable(), "its hints count, since it can write nothing");
}

/// Nothing was granted, and nothing that it imports reaches anything but the log.
fn reaches_nothing(counters: &Counters) -> Vec<String> {
    let imports = counters.folding.info().imports;
    for import in &imports {
        assert!(import.inert || import.name.starts_with("exoclaw:plugin/logging@"), "{}", import.name);
    }
    imports.into_iter().map(|import| import.name).collect()
}

async fn holds(language: &Language, name: &str) -> Option<Vec<String>> {
    let counters = language.load(name).await?;
    gives_what_every_language_gives(counters).await;
    is_never_given_what_the_schema_refuses(counters).await;
    says_what_every_language_says(counters).await;
    Some(reaches_nothing(counters))
}

fn imports(imports: &[String], package: &str) -> bool {
    imports.iter().any(|import| import.starts_with(package))
}

#[tokio::test]
async fn rust_counts() {
    holds(&RUST, "rust").await;
}

#[tokio::test]
async fn c_counts_and_imports_no_wasi() {
    let Some(names) = holds(&C, "c").await else { return };
    assert!(!imports(&names, "wasi:"), "{names:?}");
}

#[tokio::test]
async fn javascript_counts_and_built_without_features_imports_no_wasi() {
    let Some(names) = holds(&JAVASCRIPT, "javascript").await else { return };
    assert!(!imports(&names, "wasi:"), "{names:?}");
}

#[tokio::test]
async fn python_counts_on_the_inert_base() {
    let Some(names) = holds(&PYTHON, "python").await else { return };
    for package in ["wasi:sockets/", "wasi:filesystem/", "wasi:random/", "wasi:clocks/", "wasi:cli/", "wasi:io/"] {
        assert!(imports(&names, package), "{package} in {names:?}");
    }
}

#[tokio::test]
async fn javascript_with_fetch_asks_for_http_and_for_nothing_else() {
    let Some(file) = component("javascript-with-fetch.wasm") else { return };
    let refused = *RUNTIME.load(spec(file, Map::new())).await.unwrap_err().problem;
    let LoadProblem::Imports(ungranted) = &refused else { panic!("{refused}") };
    assert_eq!(ungranted.capabilities, [Capability::Http]);
    // Its clocks, chance, files and standard output are met by the inert base.
    assert!(ungranted.imports.iter().all(|(name, _)| name.starts_with("wasi:http/")), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("[plugins.grants]") && text.contains("http = ["), "{text}");
}

/// What `exoclaw plugin new` writes, as its README builds it.
async fn templates(kind: &str, langs: &[&'static str]) -> Vec<(&'static str, Arc<Plugin>)> {
    let mut loaded = Vec::new();
    for lang in langs {
        if let Some(file) = component(&format!("template-{lang}-{kind}.wasm")) {
            loaded.push((*lang, RUNTIME.load(spec(file, Map::new())).await.unwrap()));
        }
    }
    loaded
}

#[tokio::test]
async fn the_tool_of_every_template_greets() {
    for (lang, plugin) in templates("tool", &["rust", "js", "python", "c"]).await {
        let info = plugin.info();
        assert_eq!((info.kind, info.tools[0].name.as_str()), (PluginKind::Tool, "my_tool"), "{lang}");
        let (greeted, _) = contents(&plugin, r#"{"name": " Ada "}"#).await;
        assert_eq!(greeted.unwrap(), [ToolContent::Text { text: "Hello, Ada!".into() }], "{lang}");
        let (refused, _) = contents(&plugin, r#"{"name": " "}"#).await;
        let Err(CallError::Plugin(PluginError::InvalidInput(text))) = refused else { panic!("{lang}: {refused:?}") };
        assert_eq!(text, "`name` is empty; give the name of whom to greet", "{lang}");
        assert_eq!(plugin.info().failures, 0, "{lang}");
    }
}

const CALL: ChannelCall<'static> =
    ChannelCall { id: "event-1", webhook_url: Some("https://host.example/webhook/x"), now: NOW, random: 7, attempt: 1 };

fn webhook(body: &str) -> Event {
    Event::Webhook(Request { method: "POST".into(), url: "https://h/".into(), headers: vec![], body: body.into() })
}

fn outgoing(content: Content) -> Outgoing {
    Outgoing {
        id: "01jq0000000000000000".into(),
        created_at: NOW.0,
        address: Address { account: None, peer: "ada".into(), guild: None, team: None, thread: None },
        handle: None,
        reply_to: None,
        content,
    }
}

fn answered(status: u16) -> Outcome {
    Ok(Response { status, headers: vec![], body: vec![] })
}

/// What one channel does of everything that its platform may do, in words; the same in every language.
async fn transcript(plugin: &Arc<Plugin>) -> Vec<String> {
    let channel = plugin.channel().unwrap();
    let mut said = vec![format!("{} {:?}", channel.platform(), channel.setup())];
    let message = r#"{"id": "7", "peer": "ada", "text": "hi 世界"}"#;
    for event in [webhook(message), webhook("{"), webhook("null"), webhook(r#"{"id": 7}"#), Event::Start(Start::New)] {
        let incoming = channel.parse_incoming(CALL, b"", &event).await.unwrap();
        assert_eq!(incoming.state, NextState::Unchanged);
        let reply = incoming.reply.map(|reply| reply.status);
        said.push(format!("{:?} {:?} {reply:?}", incoming.messages, incoming.actions));
    }
    for content in [Content::Typing, Content::Draft("hi".into()), Content::Markdown("hi \"世界\"".into())] {
        let step = channel.format_outgoing(CALL, b"", &outgoing(content), b"").await.unwrap();
        said.push(match step.next {
            Next::Request(mut limited) => {
                // Languages differ in the spaces that they put into JSON.
                let Body::Text(template) = &mut limited.request.body else { panic!("{limited:?}") };
                let [Piece::Text(json)] = &mut template[..] else { panic!("{template:?}") };
                *json = serde_json::from_str::<Value>(json).unwrap().to_string();
                format!("{limited:?}")
            }
            next => format!("{next:?}"),
        });
    }
    let unsent = [TransportError::NotSent("no route".into()), TransportError::Unanswered("no answer".into())];
    for outcome in [answered(200), answered(429), answered(500)].into_iter().chain(unsent.map(Err)) {
        let text = outgoing(Content::Markdown("hi".into()));
        let step = channel.parse_delivery(CALL, b"", &text, b"", &outcome).await.unwrap();
        said.push(format!("{:?} {:?}", step.holds, step.next));
    }
    said.push(format!("{:?}", channel.fetch_attachment(CALL, b"", b"x", None).await.unwrap_err()));
    said
}

#[tokio::test]
async fn the_channel_of_every_template_does_the_same() {
    let mut first: Option<Vec<String>> = None;
    for (lang, plugin) in templates("channel", &["rust", "js", "python"]).await {
        assert_eq!(plugin.kind(), PluginKind::Channel);
        let said = transcript(&plugin).await;
        let first = first.get_or_insert_with(|| said.clone());
        for (said, first) in said.iter().zip(first.iter()) {
            assert_eq!(said, first, "{lang}");
        }
        assert_eq!(plugin.info().failures, 0, "{lang}");
    }
}
