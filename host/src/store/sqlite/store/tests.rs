//! What is SQLite's own: the file, its indexes, its rows. What every engine is held to is tested with the
//! store's contract.

use rusqlite::{Connection, StatementStatus};
use tempfile::TempDir;

use super::*;
use crate::config::ByteSize;
use crate::store::sqlite::recent_cache::RecentCache;
use crate::store::sqlite::{Durability, SqliteOptions};
use crate::store::{
    Block, CallCause, CallOutcome, CallState, EventBody, Idempotency, Ledger, LedgerEntry, LedgerFilter, Message,
    ModelCall, ModelCallEnd, ModelCallId, Role, TokenUsage, ToolContent, ToolResult, ToolUse,
};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn options(folder: &TempDir) -> SqliteOptions {
    let path = folder.path().join("store.db");
    let (files, session_files) = (ByteSize::mib(1), ByteSize::mib(1));
    SqliteOptions { path, durability: Durability::Process, files, session_files }
}

fn store() -> std::result::Result<(TempDir, SqliteStore), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(options(&folder))?;
    Ok((folder, store))
}

fn session(peer: &str) -> SessionKey {
    format!("main:b:c:{peer}").parse().expect("a key")
}

fn turn(number: u64) -> TurnId {
    TurnId::new(Timestamp(number), number)
}

fn accept(peer: &str, number: u64) -> Accept {
    Accept {
        session: session(peer),
        turn: turn(number),
        message: Arc::new(Message::text(Role::User, format!("question {number}"))),
        destination: None,
        begin: None,
        idempotency: Some(Idempotency { key: format!("key {number}"), digest: [7; 32] }),
        epoch: Epoch(1),
        now: Timestamp(number),
    }
}

fn step(peer: &str, number: u64) -> Step {
    Step::of(session(peer), turn(number), Epoch(1), Timestamp(number))
}

fn event(peer: &str, number: u64, seq: u64, body: EventBody) -> Arc<Event> {
    Arc::new(Event { turn: turn(number), session: session(peer), seq: Seq(seq), body })
}

/// A whole turn, with an event whose number is the turn's.
async fn whole(store: &SqliteStore, peer: &str, number: u64) -> std::result::Result<(), StoreError> {
    store.accept(accept(peer, number)).await?;
    let mut step = step(peer, number);
    step.messages.push(Arc::new(Message::text(Role::Assistant, format!("answer {number}"))));
    step.events.push(event(peer, number, number, EventBody::Started));
    store.finish(TurnEnd { step, deliveries: Vec::new() }).await
}

fn raw(folder: &TempDir) -> rusqlite::Result<Connection> {
    Connection::open(folder.path().join("store.db"))
}

fn count(connection: &Connection, table: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
}

/// Every table that has rows of sessions, whoever made it.
fn tables_of_sessions(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT DISTINCT t.name FROM sqlite_schema t, pragma_foreign_key_list(t.name) f
               WHERE t.type = 'table' AND f.\"table\" IN ('sessions', 'turns')";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

fn found(connection: &Connection, word: &str) -> rusqlite::Result<i64> {
    let sql = "SELECT count(*) FROM message_text WHERE message_text MATCH ?";
    connection.query_row(sql, [word], |row| row.get(0))
}

#[tokio::test]
async fn a_store_that_is_opened_again_has_everything() -> Result {
    let (folder, store) = store()?;
    assert_eq!(store.take_over().await?, Epoch(1));
    let seq = store.reserve_seq(100).await?;
    assert_eq!(seq, Seq(1));
    whole(&store, "p", 1).await?;
    store.accept(accept("p", 2)).await?;
    let input: Arc<serde_json::value::RawValue> = serde_json::from_str(r#"{"b": 2.50,  "a":1}"#)?;
    let tool = ToolUse { id: "t1".into(), name: "calculate".into(), input: Arc::clone(&input) };
    let call = ModelCall {
        id: ModelCallId { turn: turn(2), index: 0 },
        session: session("p"),
        provider: "here".into(),
        model: "m".into(),
        cause: CallCause::Message,
        estimate: TokenUsage { input_tokens: 9, ..TokenUsage::default() },
        reserved_cost: None,
        at: Timestamp(3),
    };
    let mut first = step("p", 2);
    first.messages.push(Arc::new(Message { role: Role::Assistant, blocks: vec![Block::ToolUse(tool.clone())] }));
    let used = EventBody::ToolUse { id: tool.id.clone(), name: tool.name.clone(), input };
    first.events.push(event("p", 2, 2, used));
    first.ledger.push(LedgerEntry::Begin(call.clone()));
    store.append(first).await?;
    store.dispatch(Dispatch { step: step("p", 2), calls: vec!["t1".into(), "t0".into()] }).await?;
    let result = ToolResult { tool_use_id: "t1".into(), content: vec![ToolContent::text("4")], is_error: false };
    store.answered(CallAnswered { step: step("p", 2), result: result.clone() }).await?;
    drop(store);

    let store = SqliteStore::open(options(&folder))?;
    assert_eq!(store.take_over().await?, Epoch(2));
    assert_eq!(store.reserve_seq(1).await?, Seq(101));
    let history = store.history(&session("p"), None, 10).await?;
    let kept: Vec<_> = history.items.iter().map(|message| (message.position.0, message.turn, message.at.0)).collect();
    assert_eq!(kept, [(0, turn(1), 1), (1, turn(1), 1), (2, turn(2), 2), (3, turn(2), 2)]);
    let Block::ToolUse(kept) = &history.items[3].message.blocks[0] else { return Err("no call".into()) };
    assert_eq!((&*kept.id, kept.input.get()), ("t1", r#"{"b": 2.50,  "a":1}"#));
    assert_eq!(store.accept(accept("p", 2)).await?, Accepted::Duplicate(turn(2)));
    let open = store.open_turns(None, 10).await?;
    assert_eq!(open, [OpenTurn { session: session("p"), turn: turn(2), accepted_at: Timestamp(2) }]);
    let resume = Resume { session: session("p"), turn: turn(2), epoch: Epoch(2) };
    let state = store.resume(resume.clone()).await?.ok_or("it is open")?;
    assert_eq!((state.resumes, state.model_calls, &state.unsettled[..]), (1, 1, &[call.clone()][..]));
    assert_eq!(state.calls, [("t1".into(), CallState::Answered(result)), ("t0".into(), CallState::Dispatched)]);
    let events: Vec<_> = state.events.iter().map(serde_json::to_string).collect::<std::result::Result<_, _>>()?;
    let place = r#""turn":"00000000220000000000","session":"main:b:c:p","seq":2"#;
    let written =
        format!(r#"{{{place},"type":"tool_use","id":"t1","name":"calculate","input":{{"b": 2.50,  "a":1}}}}"#);
    assert_eq!(events, [written]);
    assert!(matches!(store.append(step("p", 2)).await, Err(StoreError::Superseded { by: Epoch(2), .. })));
    assert_eq!(store.resume(resume).await?.map(|state| state.resumes), Some(2));
    let page = store.ledger(&LedgerFilter::default(), None, 10).await?;
    assert_eq!((page.items.len(), &page.items[0].call), (1, &call));
    Ok(())
}

#[tokio::test]
async fn what_is_read_of_a_long_history_does_not_grow_with_it() -> Result {
    let (folder, store) = store()?;
    let mut steps = Vec::new();
    whole(&store, "a", 1).await?;
    for length in [200_u64, 10_000] {
        let (peer, number) = (format!("of {length}"), length);
        store.accept(accept(&peer, number)).await?;
        let mut long = step(&peer, number);
        let message = Arc::new(Message::text(Role::Assistant, "so it goes"));
        long.messages = (1..length).map(|_| Arc::clone(&message)).collect();
        long.events = (1..=length).map(|seq| event(&peer, number, seq, EventBody::Started)).collect();
        store.finish(TurnEnd { step: long, deliveries: Vec::new() }).await?;
        let session = session(&peer);
        let raw = raw(&folder)?;
        let cost = |sql: &str| -> rusqlite::Result<i32> {
            let statement = raw.prepare_cached(sql)?;
            let steps = statement.get_status(StatementStatus::VmStep);
            statement.reset_status(StatementStatus::VmStep);
            Ok(steps)
        };
        let mut costs = Vec::new();
        assert_eq!(RecentCache::default().read(&raw, &session, 20)?.len(), 20);
        costs.push(cost(messages::NEWEST)?);
        assert_eq!(messages::history(&raw, &session, Some(Position(length / 2)), 20)?.items.len(), 20);
        costs.push(cost(messages::NEWEST)?);
        assert_eq!(events::after(&raw, &session, None, Seq(length / 2), 20)?.len(), 20);
        costs.push(cost(events::ALL)?);
        assert_eq!(events::after(&raw, &session, Some(turn(number)), Seq(length / 2), 20)?.len(), 20);
        costs.push(cost(events::OF_TURN)?);
        assert_eq!(sessions::page(&raw, None, 1)?.items.len(), 1);
        costs.push(cost(sessions::PAGE)?);
        assert_eq!(turns::open_after(&raw, None, 20)?.len(), 0);
        costs.push(cost(turns::OPEN)?);
        steps.push(costs);
    }
    assert!(steps[0].iter().all(|steps| *steps > 0));
    assert_eq!(steps[0], steps[1]);
    Ok(())
}

#[tokio::test]
async fn no_query_of_a_page_walks_over_a_table() -> Result {
    let (folder, store) = store()?;
    whole(&store, "p", 1).await?;
    let raw = raw(&folder)?;
    for sql in [messages::NEWEST, events::ALL, events::OF_TURN, sessions::PAGE] {
        let mut statement = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
        let plan = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3))?;
        for line in plan {
            let line = line?;
            assert!(line.starts_with("SEARCH"), "{sql}: {line}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_goes_leaves_no_row_but_the_ledgers() -> Result {
    let (folder, store) = store()?;
    for peer in ["goes", "stays"] {
        let number = peer.len() as u64;
        whole(&store, peer, number).await?;
        store.accept(accept(peer, 10 + number)).await?;
        let mut open = step(peer, 10 + number);
        let id = ModelCallId { turn: open.turn, index: 0 };
        let (provider, model, estimate) = ("here".into(), "m".into(), TokenUsage::default());
        let session = session(peer);
        let (cause, reserved_cost, at) = (CallCause::Message, None, Timestamp(1));
        let call = ModelCall { id, session, provider, model, cause, estimate, reserved_cost, at };
        open.ledger.push(LedgerEntry::Begin(call));
        open.events.push(event(peer, 10 + number, 10 + number, EventBody::Started));
        store.dispatch(Dispatch { step: open, calls: vec!["t".into()] }).await?;
    }
    let raw = raw(&folder)?;
    let tables = tables_of_sessions(&raw)?;
    assert!(["messages", "turns", "events", "calls"].iter().all(|table| tables.iter().any(|name| name == table)));
    let before: Vec<_> = tables.iter().map(|table| count(&raw, table)).collect::<rusqlite::Result<_>>()?;
    assert_eq!(found(&raw, "question")?, 4);
    assert!(matches!(store.delete(&session("goes"), Epoch(0)).await, Err(StoreError::Superseded { .. })));
    assert!(store.delete(&session("goes"), Epoch(1)).await?);
    assert!(!store.delete(&session("goes"), Epoch(1)).await?);
    let after: Vec<_> = tables.iter().map(|table| count(&raw, table)).collect::<rusqlite::Result<_>>()?;
    assert_eq!(after, before.iter().map(|count| count / 2).collect::<Vec<_>>(), "{tables:?}");
    assert_eq!((count(&raw, "sessions")?, found(&raw, "question")?, count(&raw, "ledger")?), (1, 2, 2));
    assert!(matches!(store.append(step("goes", 14)).await, Err(StoreError::NoSession(_))));
    // What comes back under the same key is another session.
    store.accept(accept("goes", 20)).await?;
    assert!(matches!(store.append(step("goes", 14)).await, Err(StoreError::NoTurn(_))));
    assert_eq!(store.history(&session("goes"), None, 10).await?.items[0].position, Position(0));
    Ok(())
}

#[tokio::test]
async fn texts_are_found_until_their_messages_go_and_no_word_of_them_stays() -> Result {
    let (folder, store) = store()?;
    let text = |text: &str| Block::Text { text: text.into() };
    let hidden = Block::Thinking { text: "hidden".into(), signature: None };
    let said = [
        vec![],
        vec![hidden],
        vec![text("Cr\u{e8}me Br\u{fb}l\u{e9}e \u{1f980}"), text("a\u{0}b \"quoted\" \\ \n second")],
        vec![text(""), text("\u{201c}fin\u{201d}")],
    ];
    for (number, blocks) in (1..).zip(said) {
        let message = Arc::new(Message { role: Role::User, blocks });
        store.accept(Accept { message, ..accept("p", number) }).await?;
    }
    let raw = raw(&folder)?;
    let numbers = |raw: &Connection| -> rusqlite::Result<Vec<i64>> {
        ["creme", "second", "quoted", "fin", "hidden"].into_iter().map(|word| found(raw, word)).collect()
    };
    assert_eq!((numbers(&raw)?, count(&raw, "messages")?), (vec![1, 1, 1, 1, 0], 4));
    raw.execute("INSERT INTO message_text (message_text) VALUES ('integrity-check')", [])?;
    store.delete(&session("p"), Epoch(1)).await?;
    assert_eq!((numbers(&raw)?, count(&raw, "messages")?), (vec![0; 5], 0));
    let words =
        raw.query_row("SELECT count(*) FROM message_text_data WHERE block LIKE '%creme%'", [], |row| row.get(0));
    assert_eq!(words, Ok(0));
    raw.execute("INSERT INTO message_text (message_text) VALUES ('integrity-check')", [])?;
    Ok(())
}

fn retention(now: u64) -> Retention {
    Retention { agent: "main".parse().expect("a name"), max_age: None, max_size: None, now: Timestamp(now) }
}

async fn retain_all(store: &SqliteStore, retention: Retention) -> std::result::Result<usize, StoreError> {
    let mut times = 1;
    while store.retain(retention.clone()).await? {
        times += 1;
    }
    Ok(times)
}

const DAY: u64 = 24 * 60 * 60 * 1_000;

#[tokio::test]
async fn what_is_too_old_goes_piece_by_piece_and_open_turns_stay_whole() -> Result {
    let (folder, store) = store()?;
    for number in 1..=600 {
        whole(&store, "p", number).await?;
    }
    whole(&store, "empty", 601).await?;
    store.accept(accept("p", 602)).await?;
    whole(&store, "p", 3 * DAY).await?;
    let old = Retention { max_age: Some(std::time::Duration::from_millis(DAY)), ..retention(3 * DAY + 5) };
    assert!(retain_all(&store, old).await? > 3, "it is more than fits into one piece");
    let kept = store.history(&session("p"), None, 1_000).await?.items;
    assert_eq!(kept.iter().map(|message| message.at.0).collect::<Vec<_>>(), [602, 3 * DAY, 3 * DAY]);
    assert_eq!(store.session(&session("p")).await?.map(|record| record.messages), Some(3));
    assert_eq!(store.session(&session("empty")).await?, None);
    let raw = raw(&folder)?;
    assert_eq!((count(&raw, "turns")?, count(&raw, "events")?, found(&raw, "question")?), (2, 1, 2));
    Ok(())
}

#[tokio::test]
async fn a_key_outlives_the_messages_of_its_turn() -> Result {
    let (folder, store) = store()?;
    whole(&store, "p", 1).await?;
    let old = |now| Retention { max_age: Some(std::time::Duration::from_millis(10)), ..retention(now) };
    retain_all(&store, old(1_000)).await?;
    assert_eq!(store.history(&session("p"), None, 10).await?.items.len(), 0);
    let again = |number| Accept { now: Timestamp(number), turn: turn(number), ..accept("p", 1) };
    assert_eq!(store.accept(again(DAY)).await?, Accepted::Duplicate(turn(1)));
    retain_all(&store, old(DAY + 1)).await?;
    assert_eq!(count(&raw(&folder)?, "turns")?, 0);
    assert_eq!(store.session(&session("p")).await?, None);
    assert_eq!(store.accept(again(DAY + 1)).await?, Accepted::New);
    Ok(())
}

#[tokio::test]
async fn what_is_too_much_goes_from_the_oldest_turn_on_and_of_no_other_agent() -> Result {
    let (folder, store) = store()?;
    for number in 1..=400 {
        whole(&store, "p", number).await?;
    }
    whole(&store, "small", 401).await?;
    let other = Accept { session: "other:b:c:p".parse()?, ..accept("p", 402) };
    let text = "x".repeat(2_000);
    store.accept(Accept { message: Arc::new(Message::text(Role::User, text)), ..other }).await?;
    let large = Retention { max_size: Some(ByteSize::kib(1)), ..retention(500) };
    retain_all(&store, large).await?;
    let kept = store.history(&session("p"), None, 1_000).await?.items;
    let sizes = kept.iter().map(|message| serde_json::to_string(&message.message.blocks).map(|text| text.len()));
    let size: usize = sizes.sum::<std::result::Result<_, _>>()?;
    assert!(size <= 1_024 && size > 900, "{size}");
    assert_eq!(kept.last().map(|message| message.turn), Some(turn(400)));
    let raw = raw(&folder)?;
    let held: i64 = raw.query_row("SELECT size FROM sessions WHERE key = 'main:b:c:p'", [], |row| row.get(0))?;
    assert_eq!(usize::try_from(held)?, size);
    assert_eq!(store.history(&session("small"), None, 10).await?.items.len(), 2);
    assert_eq!(store.history(&"other:b:c:p".parse()?, None, 10).await?.items.len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_ledger_is_paged_by_session_and_time() -> Result {
    let (_folder, store) = store()?;
    for number in 1..=20 {
        let peer = if number % 2 == 0 { "even" } else { "odd" };
        store.accept(accept(peer, number)).await?;
        let mut step = step(peer, number);
        let id = ModelCallId { turn: turn(number), index: 0 };
        let (provider, model, estimate) = ("here".into(), "m".into(), TokenUsage::default());
        let (session, at) = (session(peer), Timestamp(100 - number));
        let (cause, reserved_cost) = (CallCause::Message, None);
        let call = ModelCall { id, session, provider, model, cause, estimate, reserved_cost, at };
        step.ledger.push(LedgerEntry::Begin(call));
        let tokens = TokenUsage { output_tokens: number, ..TokenUsage::default() };
        let (outcome, at) = (CallOutcome::Cut, Timestamp(200));
        let (cost, price, cache_saving) = (None, None, None);
        let end = ModelCallEnd { id, tokens, estimated: true, cost, price, cache_saving, outcome, at };
        step.ledger.push(LedgerEntry::Settle(end));
        store.append(step).await?;
    }
    for (peer, since, until) in
        [(None, None, None), (Some("odd"), None, None), (None, Some(85), None), (Some("even"), Some(83), Some(97))]
    {
        let filter =
            LedgerFilter { session: peer.map(session), since: since.map(Timestamp), until: until.map(Timestamp) };
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = store.ledger(&filter, after, 3).await?;
            assert!(page.items.len() <= 3);
            seen.extend(page.items.iter().filter_map(|record| record.end.as_ref()).map(|end| end.tokens.output_tokens));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let right = (1..=20_u64).filter(|number| {
            peer.is_none_or(|peer| (peer == "even") == (number % 2 == 0))
                && since.is_none_or(|since| 100 - number >= since)
                && until.is_none_or(|until| 100 - number < until)
        });
        assert_eq!(seen, right.collect::<Vec<_>>());
    }
    Ok(())
}
