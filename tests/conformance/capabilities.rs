//! `store`, `files`, `progress` and `memory`: what each grants, and what it does not.

use std::sync::Mutex;

use exoclaw::config::{Access, ByteSize, GrantsConfig};
use exoclaw::runtime::{Linkage, PluginError, Progress, ProgressReport};
use exoclaw::store::{FileRef, MemoryLimits, MemoryStore, SessionKey};
use serde_json::json;
use tokio::sync::OnceCell;

use super::*;

/// A runtime with a store of its own, in which two sessions are open.
pub(super) struct World {
    pub(super) runtime: Runtime,
}

fn session(peer: &str) -> SessionKey {
    SessionKey::new("default", "websocket", "local", peer).unwrap()
}

impl World {
    pub(super) fn new(limits: MemoryLimits) -> Self {
        let store = MemoryStore::new(limits);
        for peer in ["one", "two"] {
            store.open_session(&session(peer), NOW).unwrap();
        }
        let services = Services { store: Arc::new(store), client: None };
        Self { runtime: Runtime::new(&LimitsConfig { turns: 4, ..LimitsConfig::default() }, services).unwrap() }
    }

    pub(super) async fn keeper(&self, name: &str, grants: GrantsConfig, limits: PluginLimits) -> Arc<Plugin> {
        let spec = PluginSpec { name: name.parse().unwrap(), grants, limits, ..spec("keeper") };
        self.runtime.load(spec).await.unwrap()
    }
}

/// A keeper with every grant and the usual limits, which tests share that each use keys of their own.
pub(super) async fn shared() -> &'static Arc<Plugin> {
    static SHARED: OnceCell<Arc<Plugin>> = OnceCell::const_new();
    let limits = PluginLimits { rate: 1_000_000, ..PluginLimits::default() };
    let load = async || World::new(MemoryLimits::default()).keeper("keeper", all(), limits).await;
    SHARED.get_or_init(load).await
}

pub(super) fn all() -> GrantsConfig {
    let (files, memory) = (Access::Write, Access::Write);
    GrantsConfig { store: true, files, progress: true, memory, ..GrantsConfig::default() }
}

/// Whom a call is made for.
#[derive(Clone, Copy)]
pub(super) struct For<'a> {
    plugin: &'a Arc<Plugin>,
    agent: &'a str,
    peer: &'a str,
}

impl<'a> For<'a> {
    pub(super) fn new(plugin: &'a Arc<Plugin>) -> Self {
        Self { plugin, agent: "default", peer: "one" }
    }

    async fn contents(self, name: &str, arguments: Value) -> Result<Vec<ToolContent>, CallError> {
        self.reporting(name, arguments, None).await
    }

    async fn reporting(
        self,
        name: &str,
        arguments: Value,
        progress: Option<&Arc<dyn Progress>>,
    ) -> Result<Vec<ToolContent>, CallError> {
        let arguments = RawValue::from_string(arguments.to_string()).unwrap();
        let call = ToolCall {
            agent: self.agent,
            session: &session(self.peer),
            call: "call-1",
            now: NOW,
            arguments: &arguments,
            progress,
            conditions: CallConditions::Live,
        };
        tool(self.plugin, name).call(call).await
    }

    /// A tool's one text.
    pub(super) async fn call(self, name: &str, arguments: Value) -> String {
        match &self.contents(name, arguments).await.unwrap()[..] {
            [ToolContent::Text { text }] => text.clone(),
            other => panic!("one text was expected, and {other:?} came"),
        }
    }

    /// The words in which a tool fails.
    pub(super) async fn fails(self, name: &str, arguments: Value) -> String {
        match self.contents(name, arguments).await {
            Err(CallError::Plugin(PluginError::Failed(words))) => words,
            other => panic!("a failure was expected, and {other:?} came"),
        }
    }

    /// A new file of the session.
    async fn makes(self, arguments: Value) -> FileRef {
        match &self.contents("make_file", arguments).await.unwrap()[..] {
            [ToolContent::Text { text }, ToolContent::File(file)] if *text == file.id => file.clone(),
            other => panic!("a file was expected, and {other:?} came"),
        }
    }
}

#[tokio::test]
async fn what_a_call_stores_the_next_one_finds() {
    let keeper = shared().await;
    let keeper = For::new(keeper);
    assert_eq!(keeper.call("get", json!({ "key": "first" })).await, "nothing");
    keeper.call("set", json!({ "key": "first", "value": "one" })).await;
    assert_eq!(keeper.call("get", json!({ "key": "first" })).await, "one");
    keeper.call("set", json!({ "key": "first", "value": "" })).await;
    assert_eq!(keeper.call("get", json!({ "key": "first" })).await, "");
    keeper.call("delete", json!({ "key": "first" })).await;
    keeper.call("delete", json!({ "key": "first" })).await;
    assert_eq!(keeper.call("get", json!({ "key": "first" })).await, "nothing");
}

#[tokio::test]
async fn scopes_plugins_agents_and_sessions_share_no_keys() {
    let world = World::new(MemoryLimits::default());
    let (left, right) = (
        world.keeper("left", all(), PluginLimits::default()).await,
        world.keeper("right", all(), PluginLimits::default()).await,
    );
    let left = For::new(&left);
    for scope in ["plugin", "agent", "session"] {
        left.call("set", json!({ "scope": scope, "key": "k", "value": scope })).await;
    }
    let (right, agent, peer) =
        (For { plugin: &right, ..left }, For { agent: "other", ..left }, For { peer: "two", ..left });
    for (scope, seen_by_agent, seen_by_peer) in
        [("plugin", "plugin", "plugin"), ("agent", "nothing", "agent"), ("session", "session", "nothing")]
    {
        let key = json!({ "scope": scope, "key": "k" });
        assert_eq!(left.call("get", key.clone()).await, scope);
        assert_eq!(right.call("get", key.clone()).await, "nothing", "another plugin");
        assert_eq!(agent.call("get", key.clone()).await, seen_by_agent, "{scope} of another agent");
        assert_eq!(peer.call("get", key).await, seen_by_peer, "{scope} of another session");
    }
}

#[tokio::test]
async fn keys_come_in_byte_order_and_in_pages() {
    let world = World::new(MemoryLimits::default());
    let keeper = world.keeper("keeper", all(), PluginLimits::default()).await;
    let keeper = For::new(&keeper);
    for key in ["b/2", "a", "b/10", "b", "é", "b/1", "Z", "c"] {
        keeper.call("set", json!({ "key": key })).await;
    }
    let keys = async |arguments| keeper.call("keys", arguments).await;
    assert_eq!(keys(json!({ "n": 100 })).await, "Z a b b/1 b/10 b/2 c é");
    assert_eq!(keys(json!({ "n": 100, "prefix": "b/" })).await, "b/1 b/10 b/2");
    assert_eq!(keys(json!({ "n": 2, "prefix": "b/", "after": "b/1" })).await, "b/10 b/2");
    assert_eq!(keys(json!({ "n": 1, "prefix": "b", "after": "a" })).await, "b");
    assert_eq!(keys(json!({ "n": 9, "prefix": "b", "after": "c" })).await, "");
    assert_eq!(keys(json!({ "n": 0 })).await, "");
    assert_eq!(keys(json!({ "n": 9, "scope": "session" })).await, "");
}

#[tokio::test]
async fn of_calls_at_once_that_expect_the_same_exactly_one_wins() {
    let keeper = shared().await;
    let compare = |expected: Option<String>, value: usize| {
        tokio::spawn(async move {
            let mut arguments = json!({ "key": "race", "value": value.to_string() });
            if let Some(expected) = expected {
                arguments["expected"] = expected.into();
            }
            For::new(keeper).call("compare_and_set", arguments).await
        })
    };
    let mut held = None;
    for round in 0..8 {
        let calls: Vec<_> = (0..6).map(|one| compare(held.clone(), round * 10 + one)).collect();
        let mut won = Vec::new();
        for (index, call) in calls.into_iter().enumerate() {
            if call.await.unwrap() == "true" {
                won.push(index);
            }
        }
        let [winner] = won[..] else { panic!("{} of 6 won", won.len()) };
        held = Some(For::new(keeper).call("get", json!({ "key": "race" })).await);
        assert_eq!(held, Some((round * 10 + winner).to_string()));
    }
    assert_eq!(For::new(keeper).call("compare_and_set", json!({ "key": "new", "expected": "x" })).await, "false");
}

#[tokio::test]
async fn no_increment_is_lost_between_calls_at_once() {
    let keeper = shared().await;
    let calls: Vec<_> = (0..40)
        .map(|_| tokio::spawn(async move { For::new(keeper).call("increment", json!({ "key": "n" })).await }))
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(For::new(keeper).call("get", json!({ "key": "n" })).await, "40");
}

#[tokio::test]
async fn what_goes_beyond_the_quota_is_refused_and_the_rest_stays() {
    let world = World::new(MemoryLimits::default());
    let limits = PluginLimits { store: ByteSize::kib(64), ..PluginLimits::default() };
    let (keeper, other) = (world.keeper("keeper", all(), limits).await, world.keeper("other", all(), limits).await);
    let keeper = For::new(&keeper);
    keeper.call("fill", json!({ "key": "plugin", "n": 30_000 })).await;
    keeper.call("fill", json!({ "key": "session", "scope": "session", "n": 30_000 })).await;
    // All scopes and sessions count together, and another plugin for itself.
    for (scope, peer) in [("plugin", "one"), ("agent", "one"), ("session", "two")] {
        let refused = For { peer, ..keeper }.fails("fill", json!({ "key": "k", "scope": scope, "n": 10_000 })).await;
        assert_eq!(refused, "quota exceeded");
    }
    assert_eq!(keeper.fails("fill", json!({ "key": "plugin", "n": 40_000 })).await, "quota exceeded");
    assert_eq!(For::new(&other).call("fill", json!({ "key": "k", "n": 60_000 })).await, "set");
    assert_eq!(keeper.call("get", json!({ "key": "plugin" })).await.len(), 30_000, "a refusal changes nothing");
    keeper.call("delete", json!({ "key": "session", "scope": "session" })).await;
    keeper.call("fill", json!({ "key": "plugin", "n": 60_000 })).await;
}

#[tokio::test]
async fn empty_entries_are_not_free() {
    let world = World::new(MemoryLimits::default());
    let limits = PluginLimits { store: ByteSize::kib(1), ..PluginLimits::default() };
    let keeper = world.keeper("keeper", all(), limits).await;
    let keeper = For::new(&keeper);
    let mut kept = 0;
    while keeper.contents("set", json!({ "key": kept.to_string() })).await.is_ok() {
        kept += 1;
    }
    assert_eq!(kept, 1024 / 65, "each counts its key and 64 bytes");
}

#[tokio::test]
async fn keys_and_values_have_bounds_that_the_plugin_is_told() {
    let world = World::new(MemoryLimits::default());
    let limits = PluginLimits { result: ByteSize::mib(4), ..PluginLimits::default() };
    let keeper = world.keeper("keeper", all(), limits).await;
    let keeper = For::new(&keeper);
    for tool in ["get", "set", "delete", "compare_and_set"] {
        for key in [String::new(), "x".repeat(513)] {
            let refused = keeper.fails(tool, json!({ "key": key })).await;
            assert!(refused.starts_with("a key has 1 to 512 bytes"), "{refused}");
        }
    }
    keeper.call("fill", json!({ "key": "x".repeat(512), "n": 1 << 20 })).await;
    let refused = keeper.fails("fill", json!({ "key": "k", "n": (1 << 20) + 1 })).await;
    assert_eq!(refused, "a value has at most 1048576 bytes; this one has 1048577");
}

#[tokio::test]
async fn a_file_is_made_named_and_read_in_pieces_by_any_tool_of_its_session() {
    let world = World::new(MemoryLimits::default());
    let maker = world.keeper("maker", all(), PluginLimits::default()).await;
    let reads = GrantsConfig { files: Access::Read, ..all() };
    let reader = world.keeper("reader", reads, PluginLimits::default()).await;
    let made = For::new(&maker)
        .makes(json!({ "name": "Übersicht.csv", "mime": "text/csv", "value": "0123456789", "n": 20_000 }));
    let file = made.await;
    assert_eq!((&*file.name, &*file.mime_type, file.size), ("Übersicht.csv", "text/csv", 200_000));
    assert!(file.id.len() >= 20 && file.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));

    let reader = For::new(&reader);
    let stat = reader.call("stat", json!({ "id": file.id })).await;
    assert!(stat.contains("Übersicht.csv") && stat.contains("200000"), "{stat}");
    let read =
        async |offset: u64, n: u64| reader.call("read", json!({ "id": file.id, "offset": offset, "n": n })).await;
    assert_eq!(read(5, 10).await, "5678901234");
    // Over the border of two pieces.
    assert_eq!(read(65_530, 20).await, "01234567890123456789");
    assert_eq!(read(199_995, 100).await, "56789");
    assert_eq!(read(200_000, 100).await, "");
    assert_eq!(read(u64::MAX, 100).await, "");
    assert_eq!(reader.contents("name_file", json!({ "id": file.id })).await.unwrap(), [ToolContent::File(file)]);
}

#[tokio::test]
async fn a_file_is_of_its_session_alone() {
    let keeper = shared().await;
    let here = For::new(keeper);
    let there = For { peer: "two", ..here };
    let file = here.makes(json!({ "value": "secret", "n": 1 })).await;
    for tool in ["stat", "read", "append"] {
        assert_eq!(there.fails(tool, json!({ "id": file.id, "n": 10 })).await, "not found", "{tool}");
    }
    let named = there.contents("name_file", json!({ "id": file.id })).await;
    assert!(matches!(&named, Err(CallError::InvalidResult(why)) if why.contains("there is no file")), "{named:?}");
    for id in ["", "no such file", "../../etc/passwd", "00000000000000000000000000"] {
        assert_eq!(here.fails("stat", json!({ "id": id })).await, "not found", "{id}");
        assert!(here.contents("name_file", json!({ "id": id })).await.is_err(), "{id}");
    }
}

#[tokio::test]
async fn a_file_is_added_to_by_the_call_that_made_it_and_never_again() {
    let keeper = shared().await;
    let keeper = For::new(keeper);
    let file = keeper.makes(json!({ "value": "whole", "n": 1 })).await;
    let refused = keeper.fails("append", json!({ "id": file.id, "value": "more" })).await;
    assert_eq!(refused, "only the call that made a file adds to it");
    assert_eq!(keeper.call("read", json!({ "id": file.id, "n": 100 })).await, "whole");
}

#[tokio::test]
async fn a_call_that_fails_leaves_no_file() {
    let limits = MemoryLimits { session_files: ByteSize::kib(8), ..MemoryLimits::default() };
    let world = World::new(limits);
    let keeper = world.keeper("keeper", all(), PluginLimits::default()).await;
    let keeper = For::new(&keeper);
    // Each would take all the room, if it stayed.
    for _ in 0..3 {
        let id = keeper.fails("make_file_and_fail", json!({ "value": "x".repeat(7_000), "n": 1 })).await;
        assert_eq!(keeper.fails("stat", json!({ "id": id })).await, "not found");
    }
    assert_eq!(keeper.makes(json!({ "value": "x".repeat(7_000), "n": 1 })).await.size, 7_000);
}

#[tokio::test]
async fn files_are_refused_beyond_their_limits() {
    let limits = MemoryLimits { session_files: ByteSize::kib(32), files: ByteSize::kib(40), ..MemoryLimits::default() };
    let world = World::new(limits);
    let limits = PluginLimits { file: ByteSize::kib(16), ..PluginLimits::default() };
    let keeper = world.keeper("keeper", all(), limits).await;
    let here = For::new(&keeper);
    assert_eq!(here.fails("make_file", json!({ "value": "0123456789abcdef", "n": 1025 })).await, "too large");
    assert_eq!(here.makes(json!({ "value": "0123456789abcdef", "n": 1024 })).await.size, 16 << 10);
    let full = here.fails("make_file", json!({ "value": "0123456789abcdef", "n": 1000 })).await;
    assert!(full.contains("[limits] session_files"), "{full}");
    let there = For { peer: "two", ..here };
    assert_eq!(there.makes(json!({ "value": "0123456789abcdef", "n": 1024 })).await.size, 16 << 10);
    let full = there.fails("make_file", json!({ "value": "0123456789abcdef", "n": 512 })).await;
    assert!(full.contains("[limits] files"), "{full}");
}

#[tokio::test]
async fn a_file_has_a_name_and_a_type_that_are_some() {
    let keeper = shared().await;
    let keeper = For::new(keeper);
    for name in ["", "..", "a/b", "a\\b", "a\r\nb", "a\u{202e}b"] {
        let refused = keeper.fails("make_file", json!({ "name": name })).await;
        assert!(refused.starts_with("a file's name has 1 to 255 bytes"), "{name:?}: {refused}");
    }
    for mime in ["", "text", "text/plain; charset=utf-8", "text/\r\nx"] {
        let refused = keeper.fails("make_file", json!({ "mime": mime })).await;
        assert!(refused.starts_with("a media type has the form"), "{mime:?}: {refused}");
    }
}

#[tokio::test]
async fn files_that_are_granted_to_read_are_not_made() {
    let world = World::new(MemoryLimits::default());
    let reads = GrantsConfig { files: Access::Read, ..all() };
    let keeper = world.keeper("keeper", reads, PluginLimits::default()).await;
    for tool in ["make_file", "append"] {
        let refused = For::new(&keeper).fails(tool, json!({})).await;
        assert!(refused.contains("granted to read"), "{refused}");
    }
}

#[tokio::test]
async fn what_is_kept_for_a_session_needs_one() {
    let keeper = shared().await;
    let nowhere = For { peer: "nobody", ..For::new(keeper) };
    for (tool, arguments) in [("set", json!({ "scope": "session", "key": "nowhere" })), ("make_file", json!({}))] {
        let refused = nowhere.fails(tool, arguments).await;
        assert!(refused.contains("there is no session"), "{refused}");
    }
    assert_eq!(nowhere.call("set", json!({ "key": "nowhere" })).await, "set");
}

/// What a call reports.
#[derive(Default)]
struct Heard(Mutex<Vec<ProgressReport>>);

impl Progress for Heard {
    fn report(&self, report: ProgressReport) {
        self.0.lock().unwrap().push(report);
    }
}

#[tokio::test]
async fn of_many_reports_a_few_are_shown() {
    let keeper = shared().await;
    let heard = Arc::new(Heard::default());
    let progress: Arc<dyn Progress> = heard.clone();
    let arguments = json!({ "value": "line\none\u{1b}[2J", "n": 10_000, "total": 10_000 });
    let keeper = For::new(keeper);
    keeper.reporting("report", arguments.clone(), Some(&progress)).await.unwrap();
    let shown = std::mem::take(&mut *heard.0.lock().unwrap());
    // The call takes no five seconds.
    assert!((10..60).contains(&shown.len()), "{}", shown.len());
    assert_eq!(shown[0], ProgressReport { message: "line one[2J".into(), done: 1, total: Some(10_000) });
    // Each call has its own pace, and nobody need watch.
    keeper.reporting("report", json!({ "n": 1 }), Some(&progress)).await.unwrap();
    assert_eq!(heard.0.lock().unwrap().len(), 1);
    keeper.reporting("report", arguments, None).await.unwrap();
}

#[tokio::test]
async fn memory_says_what_it_is_not() {
    let world = World::new(MemoryLimits::default());
    let reads = GrantsConfig { memory: Access::Read, ..all() };
    let (writer, reader) = (shared().await, world.keeper("reader", reads, PluginLimits::default()).await);
    for tool in ["search", "remember", "forget"] {
        assert_eq!(For::new(writer).fails(tool, json!({})).await, "this gateway keeps no memory yet");
    }
    assert_eq!(For::new(&reader).fails("search", json!({})).await, "this gateway keeps no memory yet");
    for tool in ["remember", "forget"] {
        assert_eq!(For::new(&reader).fails(tool, json!({})).await, "read-only");
    }
}

#[tokio::test]
async fn a_plugin_that_is_only_looked_at_is_refused_every_use() {
    let world = World::new(MemoryLimits::default());
    let spec = PluginSpec { linkage: Linkage::Refusing, ..spec("keeper") };
    let keeper = world.runtime.load(spec).await.unwrap();
    let keeper = For::new(&keeper);
    for (capability, tools) in [
        ("store", &["get", "set", "delete", "compare_and_set", "keys"][..]),
        ("files", &["stat", "read", "make_file", "append"]),
        ("memory", &["search", "remember", "forget"]),
    ] {
        for tool in tools {
            let refused = keeper.fails(tool, json!({ "key": "k" })).await;
            assert_eq!(refused, format!("`{capability}` is not granted"), "{tool}");
        }
    }
    let heard = Arc::new(Heard::default());
    let progress: Arc<dyn Progress> = heard.clone();
    keeper.reporting("report", json!({ "n": 3 }), Some(&progress)).await.unwrap();
    assert!(heard.0.lock().unwrap().is_empty());
}
