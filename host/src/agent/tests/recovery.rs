//! Crashes at every transaction, sick storage at every transaction: what is left must be whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::flaky::Fault;
use super::life::{COUNTED, Clock, MESSAGES, World};
use crate::config::ByteSize;
use crate::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use crate::store::*;

/// What a watcher of everything that is stored has in the end: per step its text.
fn texts(events: &[Arc<Event>]) -> BTreeMap<u32, String> {
    let mut texts = BTreeMap::<u32, String>::new();
    for event in events {
        match &event.body {
            EventBody::Rewind { step } => drop(texts.remove(step)),
            EventBody::Text(delta) => {
                let text = texts.entry(delta.step).or_default();
                assert_eq!(delta.offset, text.len() as u64, "no gap and nothing twice: {events:#?}");
                text.push_str(&delta.delta);
            }
            _ => {}
        }
    }
    texts
}

/// How one call of a tool came out, and how often it was run.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    tool: &'static str,
    result: String,
    runs: usize,
}

/// Checks everything that must hold once all is over, and returns what the calls of tools came to.
async fn audit(world: &World, what: &str) -> Vec<Outcome> {
    let (store, session) = (&world.store, World::session());
    assert!(store.open_turns(None, 10).await.expect("reads").is_empty(), "{what}: a turn is open");
    let turns = world.turns.lock().expect("not poisoned").clone();
    assert_eq!(turns.len(), MESSAGES.len(), "{what}: one turn for each key");
    let history = store.history(&session, None, 100).await.expect("reads").items;
    let requests = world.outside.requests.lock().expect("not poisoned").clone();
    let runs = world.outside.runs.lock().expect("not poisoned").clone();
    let mut outcomes = Vec::new();
    for (index, turn) in turns.iter().enumerate() {
        let own: Vec<_> = history.iter().filter(|stored| stored.turn == *turn).map(|stored| &stored.message).collect();
        let shape: Vec<_> = own.iter().map(|message| shape(message)).collect();
        assert_eq!(
            shape,
            [MESSAGES[index], "(thinks) Let me see. (calls w) (calls r) (calls v)", "(w) (r) (v)", "All done."],
            "{what}: {turn}"
        );
        for (number, block) in own[2].blocks.iter().enumerate() {
            let Block::ToolResult(result) = block else { panic!("a result") };
            let [ToolContent::Text { text }] = &result.content[..] else { panic!("a text") };
            let call = format!("{turn}-{number}");
            let runs = runs.iter().filter(|(_, id)| *id == call).count();
            outcomes.push(Outcome {
                tool: if result.tool_use_id == "r" { "read" } else { "write" },
                result: text.clone(),
                runs,
            });
        }

        let events = store.events(&session, Some(*turn), Seq(0), 1_000).await.expect("reads");
        assert!(events.is_sorted_by(|one, two| one.seq < two.seq), "{what}: numbers rise");
        assert_eq!(events.iter().filter(|event| event.body.ends_turn()).count(), 1, "{what}: one end");
        let Some(EventBody::Done { text, .. }) = events.last().map(|event| &event.body) else {
            panic!("{what}: the end is last and good: {events:#?}")
        };
        assert_eq!(text, "Let me see.\n\nAll done.", "{what}");
        assert_eq!(
            texts(&events).into_iter().collect::<Vec<_>>(),
            [(0, "Let me see.".to_owned()), (1, "All done.".to_owned())],
            "{what}: what watchers read"
        );
        for kind in [is_use as fn(&EventBody) -> Option<&str>, is_result] {
            let told: Vec<_> = events.iter().filter_map(|event| kind(&event.body)).collect();
            let once: BTreeSet<_> = told.iter().collect();
            assert_eq!((told.len(), once.len()), (3, 3), "{what}: each call is told of once");
        }
        assert_eq!(events.iter().filter(|event| matches!(event.body, EventBody::Queued)).count(), 1, "{what}");
        assert_eq!(events.iter().filter(|event| matches!(event.body, EventBody::Started)).count(), 1, "{what}");
    }
    ledger(world, &requests, what).await;
    outcomes
}

/// Each request has one record, and every record its end. A crash between the two leaves at most a
/// record for a request that was never sent.
async fn ledger(world: &World, requests: &[crate::provider::Request], what: &str) {
    let records = world.store.ledger(&LedgerFilter::default(), None, 1_000).await.expect("reads").items;
    let ends: Vec<_> = records.iter().map(|record| record.end.clone().expect("settled")).collect();
    let crashes = world.lives as usize - 1;
    assert!((requests.len()..=requests.len() + crashes).contains(&records.len()), "{what}: {records:#?}");
    for end in &ends {
        match end.outcome {
            CallOutcome::Finished => assert_eq!((end.tokens, end.estimated), (COUNTED, false), "{what}"),
            CallOutcome::Failed => assert_eq!((end.tokens, end.estimated), (TokenUsage::default(), false), "{what}"),
            CallOutcome::Lost | CallOutcome::Cut => {
                assert!(end.estimated && end.tokens.input_tokens > 0, "{what}: {end:?}");
            }
        }
    }
    let count = |outcome| ends.iter().filter(|end| end.outcome == outcome).count();
    assert_eq!(count(CallOutcome::Finished), 2 * MESSAGES.len(), "{what}: each step finished once");
    assert!(count(CallOutcome::Failed) <= 1, "{what}");
    // A turn's indexes have no gap.
    let ids: BTreeSet<_> = records.iter().map(|record| record.call.id).collect();
    for turn in world.turns.lock().expect("not poisoned").iter() {
        let indexes: Vec<_> = ids.iter().filter(|id| id.turn == *turn).map(|id| id.index).collect();
        assert_eq!(indexes, (0..indexes.len() as u32).collect::<Vec<_>>(), "{what}");
    }
    // What watchers are told of consumption is what the ledger has, but for what consumed nothing.
    let events = world.store.events(&World::session(), None, Seq(0), 1_000).await.expect("reads");
    let told = events.iter().filter(|event| matches!(event.body, EventBody::Usage(_))).count();
    assert_eq!(told, records.len() - count(CallOutcome::Failed), "{what}");
}

fn is_use(body: &EventBody) -> Option<&str> {
    match body {
        EventBody::ToolUse { id, .. } => Some(id),
        _ => None,
    }
}

fn is_result(body: &EventBody) -> Option<&str> {
    match body {
        EventBody::ToolResult { tool_use_id, .. } => Some(tool_use_id),
        _ => None,
    }
}

fn shape(message: &Message) -> String {
    let block = |block: &Block| match block {
        Block::Text { text } => text.clone(),
        Block::Thinking { .. } => "(thinks)".into(),
        Block::ToolUse(call) => format!("(calls {})", call.id),
        Block::ToolResult(result) => format!("({})", result.tool_use_id),
        Block::RedactedThinking { .. } | Block::Attachment(_) | Block::Image { .. } => "?".into(),
    };
    message.blocks.iter().map(block).collect::<Vec<_>>().join(" ")
}

fn check(world: &World, what: &str, crashed: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for Outcome { tool, result, runs } in runtime.block_on(audit(world, what)) {
        match (tool, result.as_str()) {
            ("write", "write ran") => assert_eq!(runs, 1, "{what}: a call with an effect ran once"),
            ("write", unknown) => {
                assert!(crashed && unknown.contains("not known") && runs <= 1, "{what}: {unknown}, {runs} runs");
            }
            (_, result) => assert!(result == "read ran" && runs >= 1 && (crashed || runs == 1), "{what}: {result}"),
        }
    }
}

/// A new world for each try.
type Engine = fn() -> Made;

/// A world, and the folder of its store.
struct Made {
    world: World,
    _folder: Option<tempfile::TempDir>,
}

fn memory() -> Made {
    let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
    Made { world: World::over(store, Clock::Paused), _folder: None }
}

fn sqlite() -> Made {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions {
        path: folder.path().join("store.db"),
        durability: Durability::Process,
        files: ByteSize::mib(1),
        session_files: ByteSize::mib(1),
    };
    let store = Arc::new(SqliteStore::open(options).expect("opens"));
    Made { world: World::over(store, Clock::Running), _folder: Some(folder) }
}

/// The transactions of a life in which nothing goes wrong.
fn length(engine: Engine) -> usize {
    let Made { mut world, _folder } = engine();
    let length = world.live(Fault::Never).expect("comes to its end");
    check(&world, "without a fault", false);
    length
}

fn crash_everywhere(engine: Engine) {
    let length = length(engine);
    assert!(length > 20, "every kind of transaction is made");
    for at in 0..length {
        for fault in [Fault::Before(at), Fault::After(at)] {
            let Made { mut world, _folder } = engine();
            assert_eq!(world.live(fault), None, "{fault:?} of {length}");
            world.live(Fault::Never).expect("comes to its end");
            check(&world, &format!("{fault:?} of {length}"), true);
        }
    }
}

fn sick_everywhere(engine: Engine, times: &[usize]) {
    let length = length(engine);
    for at in 0..length {
        for &times in times {
            let Made { mut world, _folder } = engine();
            world.live(Fault::Sick(at, times)).expect("comes to its end");
            check(&world, &format!("sick at {at} of {length}, {times} times"), false);
        }
    }
}

#[test]
fn a_crash_at_any_transaction_loses_nothing_and_doubles_nothing() {
    crash_everywhere(memory);
}

#[test]
fn a_crash_at_any_transaction_of_sqlite_loses_nothing_and_doubles_nothing() {
    crash_everywhere(sqlite);
}

#[test]
fn two_crashes_at_any_two_transactions_lose_nothing_and_double_nothing() {
    let length = length(memory);
    for first in 0..length {
        for second in 0.. {
            let (one, two) = (Fault::After(first), Fault::Before(second));
            let mut world = memory().world;
            assert_eq!(world.live(one), None, "{one:?} of {length}");
            let ended = world.live(two).is_some();
            if !ended {
                world.live(Fault::Never).expect("comes to its end");
            }
            check(&world, &format!("{one:?}, then {two:?}"), true);
            if ended {
                break;
            }
        }
    }
}

#[test]
fn a_storage_that_is_sick_for_a_while_delays_and_changes_nothing() {
    sick_everywhere(memory, &[1, 3]);
}
