//! What must hold, whatever was cut: of what the gateway tells, and of what is on the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;

use exoclaw::config::ByteSize;
use exoclaw::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use exoclaw::store::{CallOutcome, KvScope, KvSpace, Ledger, LedgerFilter, LedgerRecord, PluginData};
use serde_json::{Value, json};

use crate::books::Books;
use crate::harness::within;
use crate::link::{Gone, Link};
use crate::model::{Memory, Said, content};
use crate::seen::Seen;

/// Messages of one page.
const PAGE: u64 = 500;

/// The tool that counts how often it ran.
const COUNTER: &str = "keeper";

/// All of a session's messages, oldest first.
async fn history(link: &mut Link, session: &str) -> Result<Vec<Value>, Gone> {
    let (mut pages, mut before) = (Vec::new(), Value::Null);
    loop {
        let mut params = json!({"session": session, "limit": PAGE});
        if !before.is_null() {
            params["before"] = before;
        }
        let mut page = match link.call("chat.history", params).await? {
            Ok(page) => page,
            // Nothing was ever accepted.
            Err(refusal) if refusal["code"] == -32007 => return Ok(Vec::new()),
            Err(refusal) => panic!("the history of {session} was refused: {refusal}"),
        };
        let Value::Array(messages) = page["messages"].take() else { panic!("a page is a list: {page}") };
        pages.push(messages);
        before = page["next"].take();
        if before.is_null() {
            return Ok(pages.into_iter().rev().flatten().collect());
        }
    }
}

/// The blocks of a message of one type.
fn blocks<'a>(message: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let blocks = message["blocks"].as_array().expect("a message has blocks").iter();
    blocks.filter(move |block| block["type"] == kind)
}

/// What users said: their texts, each with its turn.
fn said(history: &[Value]) -> Vec<(String, String)> {
    let users = history.iter().filter(|message| message["role"] == "user");
    let text = |message: &Value| {
        let text: String = blocks(message, "text").filter_map(|block| block["text"].as_str()).collect();
        (text, message["turn"].as_str().expect("a turn").to_owned())
    };
    users.map(text).filter(|(text, _)| !text.is_empty()).collect()
}

/// Every acknowledged message is in the history once, in the turn as which it was acknowledged.
pub(crate) async fn acknowledged_is_stored(link: &mut Link, session: &str, books: &Books) -> Result<(), Gone> {
    let history = history(link, session).await?;
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for (text, turn) in said(&history) {
        found.entry(text).or_default().push(turn);
    }
    for (name, turn) in books.turns(session) {
        assert_eq!(found.get(&content(name)), Some(&vec![turn.to_owned()]), "the acknowledged {name} in {session}");
    }
    Ok(())
}

/// Everything that a quiet gateway tells, against a user's books.
pub(crate) async fn told(address: SocketAddr, books: &Books) {
    let sessions: BTreeSet<_> = books.sent.values().map(|sent| sent.session.as_str()).collect();
    for session in sessions {
        let mut link = Link::connect(address).await.expect("the gateway is up");
        told_of(&mut link, session, books).await.expect("the gateway stays up");
    }
}

async fn told_of(link: &mut Link, session: &str, books: &Books) -> Result<(), Gone> {
    let turns: BTreeMap<&str, &str> = books.turns(session).map(|(name, turn)| (turn, name)).collect();
    assert_eq!(turns.len(), books.turns(session).count(), "two keys of {session} made one turn");

    let kept = replay(link, session, &turns).await?;
    assert_eq!(kept.turns(), turns.keys().copied().collect(), "turns of {session} without a message, or the reverse");
    kept.texts_are_whole();
    if let Some(seen) = books.seen.get(session) {
        seen.texts_are_whole();
        seen.agrees_with(&kept);
    }

    let history = history(link, session).await?;
    assert!(history.is_sorted_by_key(|message| message["position"].as_u64()), "positions of {session} rise");
    let expected = turns.iter().map(|(turn, name)| (content(name), (*turn).to_owned()));
    let (said, expected) = (said(&history).into_iter().collect::<Vec<_>>(), expected.collect::<BTreeSet<_>>());
    assert_eq!(said.len(), expected.len(), "messages of {session}: {said:?}");
    assert_eq!(said.into_iter().collect::<BTreeSet<_>>(), expected, "messages of {session}");
    for turn in turns.keys() {
        let of_turn: Vec<&Value> = history.iter().filter(|message| message["turn"] == *turn).collect();
        whole(turn, &of_turn, kept.end(turn).expect("it ended"));
    }
    let record = link.must("session.get", json!({"session": session})).await?;
    assert_eq!(record["turns"], turns.len(), "{record}");
    Ok(())
}

/// All events of a session that are kept, up to the ends of these turns and beyond.
async fn replay(link: &mut Link, session: &str, turns: &BTreeMap<&str, &str>) -> Result<Seen, Gone> {
    let mut kept = Seen::default();
    link.subscribe(session, 0).await?;
    while let Some(open) = turns.keys().find(|turn| kept.end(turn).is_none()) {
        let mut note = within(&format!("the end of {open} in {session}, when replayed"), link.note()).await?;
        match note["method"].as_str() {
            Some("chat.event") => {
                let last = kept.last();
                kept.take(note["params"].take());
                assert!(kept.last() > last, "the seqs of a replay rise");
            }
            Some("chat.lagged") => link.subscribe(session, kept.last()).await?,
            _ => panic!("a note of no kind that is known: {note}"),
        }
    }
    Ok(kept)
}

/// The messages of one turn that has ended: each call with its result, and the reply as its end has it.
fn whole(turn: &str, messages: &[&Value], end: &Value) {
    let ids = |kind: &'static str, member: &'static str| -> Vec<&str> {
        let found = messages.iter().flat_map(move |message| blocks(message, kind));
        found.map(|block| block[member].as_str().expect("an id")).collect()
    };
    let (calls, results) = (ids("tool_use", "id"), ids("tool_result", "tool_use_id"));
    assert_eq!(calls, results, "the calls of turn {turn} and their results");
    assert_eq!(calls.iter().collect::<BTreeSet<_>>().len(), calls.len(), "a call of turn {turn} is there twice");
    if end["type"] == "done" {
        let texts = messages.iter().filter(|message| message["role"] == "assistant");
        let texts = texts.map(|message| blocks(message, "text").filter_map(|block| block["text"].as_str()).collect());
        let texts: Vec<String> = texts.map(|text: String| text.trim().to_owned()).filter(|t| !t.is_empty()).collect();
        assert_eq!(end["text"], texts.join("\n\n"), "the history of turn {turn} has its reply");
    }
}

/// How many records of the ledger there are of each outcome, and how many of a request that never came.
pub(crate) type Outcomes = BTreeMap<String, usize>;

/// Everything that is on the disk, once the gateway has stopped, against the books of all users and the
/// model's memory.
pub(crate) async fn kept(file: &Path, books: &[Books], memory: &Memory) -> Outcomes {
    let store = SqliteStore::open(SqliteOptions {
        path: file.to_owned(),
        durability: Durability::Process,
        files: ByteSize::mib(256),
        session_files: ByteSize::mib(64),
    });
    let store = store.expect("what the gateway left opens");
    let mut records: HashMap<String, Vec<LedgerRecord>> = HashMap::new();
    let (mut after, mut outcomes) = (None, Outcomes::new());
    loop {
        let page = store.ledger(&LedgerFilter::default(), after, PAGE as usize).await.expect("a page of the ledger");
        for record in page.items {
            let end = record.end.as_ref().unwrap_or_else(|| panic!("nobody runs, and this is not settled: {record:?}"));
            *outcomes.entry(format!("{:?}", end.outcome)).or_default() += 1;
            records.entry(record.call.id.turn.to_string()).or_default().push(record);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }

    let (mut names, mut unsent) = (HashMap::new(), 0);
    for (name, sent) in books.iter().flat_map(|books| &books.sent) {
        let turn = sent.turn.as_ref().expect("every message was acknowledged in the end");
        assert_eq!(names.insert(turn.clone(), name), None, "two messages are one turn");
        let requests = memory.requests.get(name).map_or(&[][..], Vec::as_slice);
        unsent += accounted(name, requests, records.remove(turn).unwrap_or_default());
    }
    outcomes.insert("without a request".to_owned(), unsent);
    assert!(records.is_empty(), "records of turns that no one asked for: {records:?}");
    for name in memory.requests.keys() {
        assert!(names.values().any(|known| *known == name), "a request for {name}, which no one sent");
    }

    let space = KvSpace { plugin: COUNTER.parse().expect("a name"), scope: KvScope::Plugin };
    for call in &memory.unrepeatable {
        let key = call.parse().expect("a key");
        let times = store.kv_get(&space, &key).await.expect("a read");
        let times = times.map(|times| String::from_utf8_lossy(times.as_bytes()).into_owned());
        assert!(matches!(times.as_deref(), None | Some("1")), "{call} ran {times:?} times");
    }
    outcomes
}

/// Each request of one turn has a record of its own, and what else is on record is known to be unknown. Says
/// how much that is.
fn accounted(name: &str, requests: &[Said], mut records: Vec<LedgerRecord>) -> usize {
    let all = format!("{name}: {requests:?}, {records:#?}");
    let mut settled_as = |fits: &dyn Fn(&LedgerRecord) -> bool| {
        let found = records.iter().position(fits)?;
        Some(records.swap_remove(found))
    };
    let outcome = |record: &LedgerRecord| record.end.as_ref().map(|end| end.outcome);
    let mut rest = Vec::new();
    for request in requests {
        let record = match *request {
            Said::Whole { input, output } => settled_as(&|record| {
                let end = record.end.as_ref().filter(|end| end.outcome == CallOutcome::Finished && !end.estimated);
                end.is_some_and(|end| (end.tokens.input_tokens, end.tokens.output_tokens) == (input, output))
            }),
            Said::Cut => settled_as(&|record| outcome(record) == Some(CallOutcome::Cut)),
            Said::Refused => settled_as(&|record| outcome(record) == Some(CallOutcome::Failed)),
        };
        match record.and_then(|record| record.end) {
            None => rest.push(request),
            Some(end) => assert_eq!(end.estimated, end.outcome == CallOutcome::Cut, "{end:?} in {all}"),
        }
    }
    // The process ended before it could know how these went.
    for request in rest {
        let lost = settled_as(&|record| outcome(record) == Some(CallOutcome::Lost));
        let end = lost.and_then(|record| record.end).unwrap_or_else(|| panic!("no record of {request:?} in {all}"));
        assert!(end.estimated, "{end:?} in {all}");
    }
    for record in &records {
        let unsent = matches!(outcome(record), Some(CallOutcome::Lost | CallOutcome::Failed));
        assert!(unsent, "a record without a request: {record:?} in {all}");
    }
    records.len()
}
