//! Export and import: what every engine is held to.

use super::{Tested, open, session};
use crate::config::PluginName;
use crate::store::*;

/// All records of a store, in pages of about so many bytes.
async fn records(store: &dyn Store, bytes: usize) -> Result<Vec<Record>, Box<dyn std::error::Error>> {
    let (mut records, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = store.export(after, bytes).await?;
        assert!(!page.is_empty(), "a page has a record");
        records.extend(page);
        match next {
            Some(next) => after = Some(next),
            None => return Ok(records),
        }
    }
}

fn lines(records: &[Record]) -> Result<Vec<String>, serde_json::Error> {
    records.iter().map(serde_json::to_string).collect()
}

/// One of everything, and more than one of what has an order.
async fn fill(store: &dyn Store) -> Tested {
    let (one, two) = (session("one"), session("two"));
    let (first, second) = (open(store, &two, 1).await?, open(store, &one, 2).await?);
    let message = Arc::new(Message::text(Role::User, "again"));
    let (turn, now) = (TurnId::new(Timestamp(3), 3), Timestamp(3));
    let idempotency = Some(Idempotency { key: "key".to_owned(), digest: [7; 32] });
    let destination =
        Some(Destination { channel: "left".to_owned(), conversation: "c".to_owned(), address: vec![0, 254].into() });
    let (session, epoch) = (one.clone(), Epoch(0));
    store.accept(Accept { session, turn, message, destination, begin: None, idempotency, epoch, now }).await?;
    let step = |session: &SessionKey, turn| Step::of(session.clone(), turn, Epoch(0), Timestamp(4));
    let seq = store.reserve_seq(9).await?;
    let call = ModelCall {
        id: ModelCallId { turn: second, index: 0 },
        session: one.clone(),
        provider: "p".to_owned(),
        model: "m".to_owned(),
        cause: CallCause::Message,
        estimate: TokenUsage::default(),
        reserved_cost: None,
        at: Timestamp(4),
    };
    let ended = ModelCall { id: ModelCallId { turn: first, index: 0 }, session: two.clone(), ..call.clone() };
    let end = ModelCallEnd {
        id: ended.id,
        tokens: TokenUsage {
            input_tokens: 5,
            cache_write_tokens: 4,
            cache_write_1h_tokens: 3,
            ..TokenUsage::default()
        },
        estimated: true,
        cost: Some(NanoDollars::from_nanos(70)),
        price: Some("v1".to_owned()),
        cache_saving: Some(-6),
        outcome: CallOutcome::Finished,
        at: Timestamp(5),
    };
    let ledger = vec![LedgerEntry::Begin(ended), LedgerEntry::Settle(end)];
    store.append(Step { ledger, ..step(&two, first) }).await?;
    let (provider, model) = ("p".to_owned(), "m".to_owned());
    store.save_token_factor(TokenFactor { provider, model, base: 100, counted: 113, calls: 2 }).await?;
    let event = Event { turn: second, session: one.clone(), seq, body: EventBody::Started };
    let begun = Step { events: vec![Arc::new(event)], ledger: vec![LedgerEntry::Begin(call)], ..step(&one, second) };
    store.dispatch(Dispatch { step: begun, calls: vec!["a".to_owned(), "b".to_owned()] }).await?;
    let result = ToolResult { tool_use_id: "b".to_owned(), content: vec![ToolContent::text("4")], is_error: false };
    store.answered(CallAnswered { step: step(&one, second), result }).await?;
    let delivery = |turn, conversation: &str| NewDelivery {
        id: DeliveryId(turn),
        session: Some(two.clone()),
        channel: "left".to_owned(),
        conversation: conversation.to_owned(),
        content: vec![0, 255].into(),
        draft: false,
        epoch: Epoch(0),
        now: Timestamp(5),
    };
    // The one that is opened first has the later id.
    store.delivery_open(delivery(second, "c")).await?;
    store.finish(TurnEnd { step: step(&two, first), deliveries: vec![delivery(first, "c")] }).await?;
    store.reset(&two, Timestamp(6)).await?;
    let update = DeliveryUpdate {
        id: DeliveryId(first),
        epoch: Epoch(0),
        state: DeliveryState::Sending,
        progress: Some(vec![3].into()),
        attempts: 1,
        due: Timestamp(6),
        reason: None,
        shown: vec!["m1".to_owned(), "m2".to_owned()],
    };
    store.delivery_update(update).await?;
    let asks = |id: &str, code: &str| NewPairing {
        writer: Writer { channel: "left".into(), account: "a".into(), kind: WriterKind::Group, id: id.into() },
        name: Some("them".to_owned()),
        code: code.to_owned(),
        now,
    };
    let noted = |id: &str, code: &str, reply| Incoming {
        event: EventId { account: "a".to_owned(), id: id.to_owned() },
        accept: None,
        replies: vec![NewDelivery { session: None, ..delivery(reply, "stranger") }],
        pairing: Some(asks(id, code)),
    };
    let reply = |number| TurnId::new(Timestamp(number), number);
    let incoming = vec![noted("e", "c1", reply(7)), noted("f", "c2", reply(8))];
    let receipts = vec![NewReceipt { id: "m2".to_owned(), receipt: Receipt::Read, reason: None }];
    let set_aside = Some(NewSetAside { event: vec![1, 2].into(), reason: "why".to_owned() });
    let (channel, state) = ("left".to_owned(), Some(vec![9].into()));
    let (epoch, replays) = (Epoch(0), None);
    store.channel_commit(ChannelCommit { channel, epoch, state, incoming, receipts, set_aside, replays, now }).await?;
    store.pairing_approve("c2", now).await?.ok_or("someone who waits")?;
    for source in [None, Some((one.clone(), second))] {
        let (owner, text) = ("me".to_owned(), "a fact".to_owned());
        store.fact_add(NewFact { owner, text, source, now }).await?;
    }
    for scope in [KvScope::Plugin, KvScope::Agent("a".to_owned()), KvScope::Session(one.clone())] {
        let space = KvSpace { plugin: PluginName::unnamed(), scope };
        let (key, value) = ("k".parse()?, vec![0, 255].try_into()?);
        store.kv_set(KvSet { space, key, value, expected: KvExpected::Anything, quota: 10_000 }).await?;
    }
    store.file_create(super::files::new_file(1, &one)).await?;
    let append = FileAppend { session: one, id: FileId::new(1), data: vec![b'x'; 150_000], limit: 1 << 20 };
    assert_eq!(store.file_append(append).await?, FileOutcome::Done);
    Ok(())
}

/// What one store exports, in pages of any size, another imports: it exports the same then, and goes
/// on as the first would. What was imported can be imported again.
pub(in crate::store) async fn what_is_exported_is_found_again_where_it_is_imported(
    from: &dyn Store,
    to: &dyn Store,
) -> Tested {
    fill(from).await?;
    let whole = records(from, usize::MAX).await?;
    let expected = lines(&whole)?;
    assert_eq!(lines(&records(from, 1).await?)?, expected, "pages of one record");
    assert!(matches!(whole.last(), Some(Record::Counters { .. })), "the counters come last");
    // Through text, as a file has it; the first part twice, as after an import that was cut.
    let read = || expected.iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Record>, _>>();
    let mut cut = read()?;
    cut.truncate(cut.len() / 2);
    to.import(cut).await?;
    to.import(read()?).await?;
    to.import(read()?).await?;
    let pieces = |line: &&String| !line.starts_with(r#"{"file_piece""#);
    let imported = lines(&records(to, 2_000).await?)?;
    let (mut imported, mut expected): (Vec<_>, Vec<_>) =
        (imported.iter().filter(pieces).collect(), expected.iter().filter(pieces).collect());
    imported.sort();
    expected.sort();
    assert_eq!(imported, expected);

    let (one, two) = (session("one"), session("two"));
    let (mine, theirs) = (from.open_turns(None, 9).await?, to.open_turns(None, 9).await?);
    assert_eq!(mine, theirs, "open turns keep their order");
    let due = |deliveries: Vec<Delivery>| deliveries.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>();
    let later = Timestamp(1_000);
    assert_eq!(
        due(from.deliveries_due("left", later, 9).await?),
        due(to.deliveries_due("left", later, 9).await?),
        "deliveries keep their order"
    );
    let content = from.file_read(&one, &FileId::new(1), 0, 200_000).await?;
    assert_eq!(content.as_ref().map(Vec::len), Some(150_000));
    assert_eq!(to.file_read(&one, &FileId::new(1), 0, 200_000).await?, content);
    assert!(to.recent(&two, 9).await?.is_empty(), "the reset holds");
    assert!(to.reserve_seq(1).await?.0 >= 10, "no number of an event is given again");
    let again = Accept {
        session: one.clone(),
        turn: TurnId::new(Timestamp(9), 9),
        message: Arc::new(Message::text(Role::User, "again")),
        destination: None,
        begin: None,
        idempotency: Some(Idempotency { key: "key".to_owned(), digest: [7; 32] }),
        epoch: Epoch(1),
        now: Timestamp(9),
    };
    assert_eq!(to.accept(again).await?, Accepted::Duplicate(TurnId::new(Timestamp(3), 3)));
    let resume = Resume { session: one.clone(), turn: TurnId::new(Timestamp(2), 2), epoch: Epoch(1) };
    let state = to.resume(resume.clone()).await?.ok_or("an open turn")?;
    assert_eq!(format!("{state:?}"), format!("{:?}", from.resume(resume).await?.ok_or("an open turn")?));
    assert_eq!((state.calls.len(), state.unsettled.len(), state.model_calls), (2, 1, 1));

    let resume = Resume { session: one.clone(), turn: TurnId::new(Timestamp(3), 3), epoch: Epoch(1) };
    let destination = to.resume(resume).await?.ok_or("an open turn")?.destination.ok_or("a destination")?;
    assert_eq!(destination.address[..], [0, 254]);
    assert_eq!(to.pairings(None, Timestamp(9)).await?, from.pairings(None, Timestamp(9)).await?);
    assert_eq!(to.pairings(None, Timestamp(9)).await?.len(), 2);
    let sending = to.delivery(DeliveryId(TurnId::new(Timestamp(1), 1))).await?.ok_or("a delivery")?;
    assert_eq!((sending.shown.len(), sending.receipt), (2, Some(Receipt::Read)));

    let query = UsageQuery {
        since: None,
        until: None,
        group: UsageGroup::Session,
        filter: UsageFilter::default(),
        after: None,
        limit: 9,
    };
    let usage = to.usage(query.clone()).await?;
    assert_eq!(usage, from.usage(query).await?, "what was spent is added up, once");
    assert_eq!(usage.items.iter().map(|row| (row.sums.calls, row.sums.cache_saving)).collect::<Vec<_>>(), [(1, -6)]);

    // Of records that cannot all be stored, none is.
    let bad = Record::Value { plugin: "p".into(), agent: None, session: None, key: "k".into(), value: "%".into() };
    let new = Record::Session {
        session: session("three"),
        created_at: Timestamp(1),
        updated_at: Timestamp(1),
        turns: 0,
        next_position: Position(0),
        context_from: Position(0),
    };
    assert!(matches!(to.import(vec![new, bad]).await, Err(StoreError::BadRecord { .. })));
    assert_eq!(to.session(&session("three")).await?, None);
    Ok(())
}
