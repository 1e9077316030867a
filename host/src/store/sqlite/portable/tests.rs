//! What goes out of one store comes into another as it was.

use std::sync::Arc;

use bytes::Bytes;

use super::super::testing::{Result, count, message, session, store, turn};
use super::*;
use crate::store::{
    CallAnswered, CallCause, CallOutcome, ChannelCommit, Channels, DeliveryId, DeliveryState, DeliveryUpdate,
    Destination, Dispatch, Epoch, Event, EventBody, EventId, FileAppend, FileId, Idempotency, Incoming, KvExpected,
    KvScope, KvSet, KvSpace, LedgerEntry, Message, ModelCall, ModelCallEnd, ModelCallId, NanoDollars, NewDelivery,
    NewFact, NewFile, NewPairing, NewReceipt, NewSetAside, Outbox, Pairings, PluginData, Recall, Receipt, Role, Seq,
    SessionFiles, SessionKey, Step, Store, Timestamp, TokenUsage, ToolContent, ToolResult, TurnEnd, Writer, WriterKind,
};

/// Everything that a store holds, a record a line.
async fn lines(store: &SqliteStore, bytes: usize) -> Result<Vec<String>> {
    let (mut after, mut lines) = (None, Vec::new());
    loop {
        let (records, next) = store.export(after, bytes).await?;
        assert!(!records.is_empty());
        for record in &records {
            lines.push(serde_json::to_string(record)?);
        }
        after = next;
        if after.is_none() {
            return Ok(lines);
        }
    }
}

fn records(lines: &[String]) -> Result<Vec<Record>> {
    Ok(lines.iter().map(|line| serde_json::from_str(line)).collect::<serde_json::Result<_>>()?)
}

fn result(call: &str) -> ToolResult {
    ToolResult { tool_use_id: call.to_owned(), content: vec![ToolContent::text("4")], is_error: false }
}

fn event(peer: &str, number: u64, seq: u64, body: EventBody) -> Arc<Event> {
    Arc::new(Event { turn: turn(number), session: session(peer), seq: Seq(seq), body })
}

/// A turn that ended, with all that one leaves, and one that is open.
async fn turns(store: &SqliteStore, peer: &str, first: u64) -> Result {
    let idempotency = Some(Idempotency { key: format!("key {first}"), digest: [7; 32] });
    let accept = crate::store::Accept { idempotency, ..message(peer, first, "what is 2 + 2?") };
    store.accept(accept).await?;
    let seq = store.reserve_seq(10).await?.0;
    let id = ModelCallId { turn: turn(first), index: 0 };
    let call = ModelCall {
        id,
        session: session(peer),
        provider: "anthropic".to_owned(),
        model: "m".to_owned(),
        cause: CallCause::Plugin("calculator".parse()?),
        estimate: TokenUsage { input_tokens: 9, output_tokens: 4_096, ..TokenUsage::default() },
        reserved_cost: Some(NanoDollars::from_nanos(61_467)),
        at: Timestamp(first),
    };
    let end = ModelCallEnd {
        id,
        tokens: TokenUsage { output_tokens: 3, reasoning_tokens: 1, ..TokenUsage::default() },
        estimated: false,
        cost: Some(NanoDollars::from_nanos(45)),
        price: Some("2026-11".to_owned()),
        cache_saving: Some(-2),
        outcome: CallOutcome::Finished,
        at: Timestamp(first + 1),
    };
    let mut step = Step::of(session(peer), turn(first), Epoch(1), Timestamp(first + 1));
    step.messages.push(Arc::new(Message::text(Role::Assistant, format!("it is four, {peer}"))));
    step.events.push(event(peer, first, seq, EventBody::Queued));
    step.events.push(event(peer, first, seq + 1, EventBody::Started));
    step.ledger.push(LedgerEntry::Begin(call));
    step.ledger.push(LedgerEntry::Settle(end));
    let delivery = NewDelivery {
        id: DeliveryId(turn(first)),
        session: Some(session(peer)),
        channel: "telegram".to_owned(),
        conversation: peer.to_owned(),
        content: Bytes::from_static(b"it is four \xff"),
        draft: false,
        epoch: Epoch(1),
        now: Timestamp(first + 1),
    };
    store.finish(TurnEnd { step, deliveries: vec![delivery] }).await?;
    let destination = Some(Destination {
        channel: "telegram".to_owned(),
        conversation: peer.to_owned(),
        address: Bytes::from_static(b"chat \xff"),
    });
    let accept = crate::store::Accept { destination, ..message(peer, first + 10, "and 3 + 3?") };
    store.accept(accept).await?;
    let step = || Step::of(session(peer), turn(first + 10), Epoch(1), Timestamp(first + 11));
    let calls = vec!["c1".to_owned(), "c2".to_owned()];
    store.dispatch(Dispatch { step: step(), calls }).await?;
    store.answered(CallAnswered { step: step(), result: result("c1") }).await?;
    Ok(())
}

async fn value(store: &SqliteStore, scope: KvScope, bytes: Vec<u8>) -> Result {
    let space = KvSpace { plugin: "notes".parse()?, scope };
    let (key, value) = ("a/k\u{e9}y".parse()?, bytes.try_into()?);
    store.kv_set(KvSet { space, key, value, expected: KvExpected::Anything, quota: u64::MAX }).await?;
    Ok(())
}

async fn file(store: &SqliteStore, peer: &str, id: u128, pieces: &[usize]) -> Result {
    let file = NewFile {
        id: FileId::new(id),
        session: session(peer),
        plugin: "notes".parse()?,
        name: "notes.txt".parse()?,
        mime_type: "text/plain".parse()?,
        now: Timestamp(7),
    };
    store.file_create(file).await?;
    for (index, bytes) in pieces.iter().enumerate() {
        let data = vec![u8::try_from(index)?; *bytes];
        let append = FileAppend { session: session(peer), id: FileId::new(id), data, limit: u64::MAX };
        store.file_append(append).await?;
    }
    Ok(())
}

fn writer(number: u64) -> Writer {
    let (channel, account) = ("telegram".to_owned(), "1".to_owned());
    Writer { channel, account, kind: WriterKind::Direct, id: format!("u{number}") }
}

/// A store with something of everything, some of which went again.
async fn fill(store: &SqliteStore) -> Result {
    turns(store, "gone", 1).await?;
    turns(store, "ann", 2).await?;
    turns(store, "ben", 3).await?;
    store.reset(&session("ben"), Timestamp(50)).await?;
    value(store, KvScope::Plugin, Vec::new()).await?;
    value(store, KvScope::Agent("main".to_owned()), vec![0, 255]).await?;
    value(store, KvScope::Session(session("ann")), vec![1; 1_000]).await?;
    file(store, "gone", 1, &[10]).await?;
    file(store, "ann", 1, &[1, 1, 300_000, 40_000, 2]).await?;
    file(store, "ann", 2, &[]).await?;
    file(store, "ben", 1, &[600_000]).await?;
    let noted = |number: u64| Incoming {
        event: EventId { account: "1".into(), id: format!("{number}") },
        accept: None,
        replies: vec![NewDelivery {
            id: DeliveryId(turn(100 + number)),
            session: None,
            channel: "telegram".to_owned(),
            conversation: "stranger".to_owned(),
            content: Bytes::from_static(b"who are you?"),
            draft: false,
            epoch: Epoch(1),
            now: Timestamp(60 + number),
        }],
        pairing: Some(NewPairing {
            writer: writer(number),
            name: Some(format!("stranger {number}")),
            code: format!("code{number}"),
            now: Timestamp(60 + number),
        }),
    };
    for number in 0..3 {
        let commit = ChannelCommit {
            channel: "telegram".to_owned(),
            epoch: Epoch(1),
            state: Some(Bytes::from_static(b"\0state")),
            incoming: vec![noted(number)],
            receipts: Vec::new(),
            set_aside: Some(NewSetAside { event: Bytes::from_static(b"odd \xff"), reason: "it is odd".into() }),
            replays: None,
            now: Timestamp(60 + number),
        };
        store.channel_commit(commit).await?;
    }
    let newest = store.set_aside(None, None, 10).await?.items.pop().ok_or("an event")?;
    store.set_aside_remove(newest.id).await?;
    let update = DeliveryUpdate {
        id: DeliveryId(turn(2)),
        epoch: Epoch(1),
        state: DeliveryState::Unknown,
        progress: Some(Bytes::from_static(b"half")),
        attempts: 3,
        due: Timestamp(99),
        reason: Some("it timed out".to_owned()),
        shown: vec!["m1".to_owned(), "m2".to_owned()],
    };
    store.delivery_update(update).await?;
    store.pairing_approve("code1", Timestamp(70)).await?.ok_or("someone who waits")?;
    let receipts = vec![NewReceipt { id: "m2".to_owned(), receipt: Receipt::Read, reason: None }];
    let commit = ChannelCommit {
        channel: "telegram".to_owned(),
        epoch: Epoch(1),
        state: None,
        incoming: Vec::new(),
        receipts,
        set_aside: None,
        replays: None,
        now: Timestamp(70),
    };
    store.channel_commit(commit).await?;
    let fact = |text: &str, source: Option<&str>| NewFact {
        owner: "ann".to_owned(),
        text: text.to_owned(),
        source: source.map(|peer| (session(peer), turn(2))),
        now: Timestamp(70),
    };
    store.fact_add(fact("likes tea", Some("ann"))).await?;
    store.fact_add(fact("likes coffee", None)).await?;
    let newest = store.fact_add(fact("likes nothing", None)).await?;
    store.fact_forget("ann", newest).await?;
    store.delete(&session("gone"), Epoch(1)).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_exported_and_imported_is_exported_as_it_was() -> Result {
    let ((_one, from), (_two, to)) = (store()?, store()?);
    fill(&from).await?;
    let whole = lines(&from, 1 << 20).await?;
    let kinds: std::collections::BTreeSet<_> = whole.iter().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(kinds.len(), 16, "something of everything: {kinds:?}");
    assert!(lines(&from, 1).await? == whole, "the size of a page says nothing of what is in it");
    to.import(records(&whole)?).await?;
    assert_eq!(lines(&to, 1 << 20).await?.join("\n"), whole.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_store_that_is_opened_again_holds_what_it_held() -> Result {
    let (_folder, store) = store()?;
    fill(&store).await?;
    let (whole, options) = (lines(&store, 1 << 20).await?, store.options.clone());
    drop(store);
    assert!(lines(&SqliteStore::open(options)?, 1 << 20).await? == whole);
    Ok(())
}

#[tokio::test]
async fn what_was_imported_can_be_gone_on_with() -> Result {
    let ((_one, from), (_two, to)) = (store()?, store()?);
    fill(&from).await?;
    to.import(records(&lines(&from, 1 << 20).await?)?).await?;
    let ann = session("ann");
    assert_eq!(to.session(&ann).await?, from.session(&ann).await?);
    assert_eq!(to.open_turns(None, 10).await?, from.open_turns(None, 10).await?);
    assert_eq!(to.message_search(&ann, "four", 10).await?.len(), 1);
    assert_eq!(to.fact_search("ann", "tea", 10).await?.len(), 1);
    assert_eq!(to.recent(&session("ben"), 10).await?.len(), 0);
    for counter in
        ["SELECT sum(bytes) FROM kv_use", "SELECT sum(bytes) FROM file_use", "SELECT sum(size) FROM sessions"]
    {
        assert_eq!(count(&to, counter).await?, count(&from, counter).await?, "{counter}");
    }
    let read = to.file_read(&ann, &FileId::new(1), 0, usize::MAX).await?;
    assert!(read == from.file_read(&ann, &FileId::new(1), 0, usize::MAX).await?);
    // Numbers that were given before are not given again, also those of what is no more.
    let fact = NewFact { owner: "ann".to_owned(), text: "new".to_owned(), source: None, now: Timestamp(80) };
    assert_eq!(to.fact_add(fact.clone()).await?, from.fact_add(fact).await?);
    assert_eq!(to.reserve_seq(1).await?, from.reserve_seq(1).await?);
    Ok(())
}

#[tokio::test]
async fn an_import_that_was_cut_can_be_run_again() -> Result {
    let (_one, from) = store()?;
    fill(&from).await?;
    let whole = lines(&from, 1 << 20).await?;
    for cut in (0..=whole.len()).step_by(5) {
        let (_two, to) = store()?;
        to.import(records(&whole[..cut])?).await?;
        for batch in whole.chunks(7) {
            to.import(records(batch)?).await?;
        }
        assert!(lines(&to, 1 << 20).await? == whole, "cut after {cut} records");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_there_stays_as_it_is() -> Result {
    let ((_one, from), (_two, to)) = (store()?, store()?);
    fill(&from).await?;
    to.accept(message("ann", 2, "something else")).await?;
    value(&to, KvScope::Plugin, vec![42]).await?;
    to.import(records(&lines(&from, 1 << 20).await?)?).await?;
    let history = to.history(&session("ann"), None, 10).await?.items;
    assert!(serde_json::to_string(&history[0])?.contains("something else"));
    let space = KvSpace { plugin: "notes".parse()?, scope: KvScope::Plugin };
    let found = to.kv_get(&space, &"a/k\u{e9}y".parse()?).await?.ok_or("a value")?;
    assert_eq!(found.as_bytes(), [42]);
    let counted = to.session(&session("ann")).await?.ok_or("a session")?.messages;
    assert_eq!(counted, to.history(&session("ann"), None, 100).await?.items.len() as u64);
    Ok(())
}

#[tokio::test]
async fn a_record_that_cannot_be_read_leaves_nothing_of_its_page() -> Result {
    let (_folder, store) = store()?;
    let session = r#"{"session":{"session":"a:b:c:d","created_at":1,"updated_at":1,"turns":0,"next_position":0,"context_from":0}}"#;
    let key: SessionKey = "a:b:c:d".parse()?;
    for bad in [
        r#"{"value":{"plugin":"notes","agent":null,"session":null,"key":"k","value":"no base64!"}}"#,
        r#"{"value":{"plugin":"notes","agent":"x","session":"a:b:c:d","key":"k","value":""}}"#,
        r#"{"value":{"plugin":"NO NAME","agent":null,"session":null,"key":"k","value":""}}"#,
        r#"{"file_piece":{"session":"a:b:c:d","id":"0123456789abcdefghjkmnpqrs","start":0,"data":""}}"#,
        r#"{"event":{"event":{"turn":"x"}}}"#,
        r#"{"message":{"session":"a:b:c:d","message":{"position":"first"}}}"#,
    ] {
        let imported = store.import(records(&[session.to_owned(), bad.to_owned()])?).await;
        assert!(matches!(imported, Err(StoreError::BadRecord { .. })), "{bad}: {imported:?}");
        assert!(store.session(&key).await?.is_none());
    }
    let orphan = r#"{"call":{"session":"a:b:c:d","turn":"01hzzzzzzzzzzzzzzzzz","call":"c","result":null}}"#;
    assert!(matches!(store.import(records(&[orphan.to_owned()])?).await, Err(StoreError::NoSession(_))));
    let imported = store.import(records(&[session.to_owned(), orphan.to_owned()])?).await;
    assert!(matches!(imported, Err(StoreError::NoTurn(_))));
    Ok(())
}
