//! What is left for the next start, what that makes of it, and what is removed for good.

use super::flaky::{Fault, Flaky};
use super::*;
use crate::store::{Accept, Message, Resume, Seq, Timestamp, TurnId};

fn memory() -> DynStore {
    Arc::new(MemoryStore::new(MemoryLimits::default()))
}

/// A gateway over a store that outlives it.
async fn start(store: &DynStore, fault: Fault) -> Result<Bench> {
    let epoch = store.take_over().await?;
    Bench::over(Flaky::new(Arc::clone(store), fault), epoch, LimitsConfig::default())
}

async fn accepted(store: &DynStore, session: &SessionKey, content: &str, at: u64) -> Result<TurnId> {
    let turn = TurnId::new(Timestamp(at), at);
    let message = Arc::new(Message::text(Role::User, content));
    let accept = Accept {
        session: session.clone(),
        turn,
        message,
        destination: None,
        begin: None,
        idempotency: None,
        epoch: Epoch(0),
        now: Timestamp(at),
    };
    store.accept(accept).await?;
    Ok(turn)
}

async fn events(store: &DynStore, session: &SessionKey) -> Result<Vec<Arc<Event>>> {
    Ok(store.events(session, None, Seq(0), 1_000).await?)
}

fn count(events: &[Arc<Event>], what: impl Fn(&EventBody) -> bool) -> usize {
    events.iter().filter(|event| what(&event.body)).count()
}

#[tokio::test(start_paused = true)]
async fn what_a_shutdown_cuts_goes_on_at_the_next_start_in_order() -> Result {
    let store = memory();
    let bench = start(&store, Fault::Never).await?;
    let session = bench.send("p", "runs").await?;
    bench.send("p", "waits").await?;
    let mut watcher = bench.dispatcher.hub().attach(&session).live;
    let call = bench.call().await?;
    call.say("so far");
    while !matches!(watcher.recv().await.ok_or("lagged")?.body, EventBody::Text(_)) {}
    bench.dispatcher.drain(Duration::from_secs(1)).await;
    while let Some(event) = watcher.try_recv() {
        assert!(!event.body.ends_turn(), "nothing ends, since nothing has to be sent again");
    }
    assert_eq!(bench.reading.load(Ordering::SeqCst), 0);
    assert_eq!(store.open_turns(None, 10).await?.len(), 2);
    let records = store.ledger(&LedgerFilter::default(), None, 10).await?.items;
    let end = records[0].end.clone().ok_or("settled before it went down")?;
    assert_eq!((end.outcome, end.estimated), (CallOutcome::Cut, true));

    let bench = start(&store, Fault::Never).await?;
    assert_eq!(bench.dispatcher.recover().await?, 2);
    let call = bench.call().await?;
    assert_eq!(call.texts(), ["runs"]);
    call.end("answer");
    let call = bench.call().await?;
    assert_eq!(call.texts(), ["runs", "answer", "waits"]);
    let mut ends = Ends::of(&bench, &session);
    call.end("again");
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::EndTurn, "again")));
    let events = events(&store, &session).await?;
    assert_eq!(count(&events, |body| matches!(body, EventBody::Rewind { step: 0 })), 1, "of the one that was cut");
    assert_eq!(count(&events, EventBody::ends_turn), 2);
    Ok(())
}

#[tokio::test]
async fn a_turn_that_goes_down_with_the_gateway_each_time_is_given_up() -> Result {
    let (store, session) = (memory(), SessionKey::new("default", "c", "a", "p")?);
    let turn = accepted(&store, &session, "poison", 1).await?;
    for _ in 0..3 {
        store.resume(Resume { session: session.clone(), turn, epoch: Epoch(1) }).await?.ok_or("not open")?;
    }
    let bench = start(&store, Fault::Never).await?;
    let mut ends = Ends::of(&bench, &session);
    bench.dispatcher.recover().await?;
    ends.next().await?;
    let events = events(&store, &session).await?;
    let Some(EventBody::Error(error)) = events.last().map(|event| &event.body) else { return Err("no error".into()) };
    assert!(error.code == ErrorCode::Internal && error.retryable && error.message.contains("3 times"), "{error:?}");
    assert!(store.open_turns(None, 10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_turn_of_an_agent_that_is_gone_ends_with_an_error_that_says_so() -> Result {
    let (store, session) = (memory(), SessionKey::new("former", "c", "a", "p")?);
    accepted(&store, &session, "anyone?", 1).await?;
    let bench = start(&store, Fault::Never).await?;
    let mut ends = Ends::of(&bench, &session);
    bench.dispatcher.recover().await?;
    let EventBody::Error(error) = ends.next().await? else { return Err("no error".into()) };
    assert!(error.code == ErrorCode::NoAgent && error.message.contains("former"), "{error:?}");
    assert!(store.open_turns(None, 10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn many_open_turns_are_all_taken_up_each_session_in_its_order() -> Result {
    let store = memory();
    for at in 0..600 {
        let session = SessionKey::new("default", "c", "a", &format!("{}", at % 300))?;
        accepted(&store, &session, &format!("{}", at / 300), at + 1).await?;
    }
    let bench = start(&store, Fault::Never).await?;
    assert_eq!(bench.dispatcher.recover().await?, 600);
    for _ in 0..600 {
        let call = bench.call().await?;
        let texts = call.texts();
        assert!(texts == ["0"] || texts == ["0", "a", "1"], "{texts:?}");
        call.end("a");
    }
    Ok(())
}

#[tokio::test]
async fn a_turn_that_is_taken_up_can_be_stopped_before_it_runs() -> Result {
    let (store, session) = (memory(), SessionKey::new("default", "c", "a", "p")?);
    accepted(&store, &session, "one", 1).await?;
    let second = accepted(&store, &session, "two", 2).await?;
    let bench = start(&store, Fault::Never).await?;
    bench.dispatcher.recover().await?;
    let call = bench.call().await?;
    let mut ends = Ends::of(&bench, &session);
    assert!(bench.dispatcher.abort(&session, Some(second)).await);
    call.end("answer");
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::EndTurn, "answer")));
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::Aborted, "")));
    assert!(store.open_turns(None, 10).await?.is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_waits_for_a_sick_storage_asks_nobody_and_is_left_for_the_next_start() -> Result {
    let (store, session) = (memory(), SessionKey::new("default", "c", "a", "p")?);
    accepted(&store, &session, "one", 1).await?;
    // It is taken up, and gets numbers for its events; nothing after that is stored.
    let bench = start(&store, Fault::Sick(2, usize::MAX - 2)).await?;
    bench.dispatcher.recover().await?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.dispatcher.load().running, 1);
    bench.dispatcher.drain(Duration::from_secs(3_000)).await;
    assert!(bench.calls.lock().await.try_recv().is_err(), "no request is without its record");
    assert_eq!(store.open_turns(None, 10).await?.len(), 1);
    let bench = start(&store, Fault::Never).await?;
    bench.dispatcher.recover().await?;
    assert_eq!(bench.call().await?.texts(), ["one"]);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_was_superseded_stores_nothing_and_says_so() -> Result {
    let store = memory();
    let (old, new) = (start(&store, Fault::Never).await?, start(&store, Fault::Never).await?);
    let session = old.send("p", "one").await?;
    let mut ends = Ends::of(&old, &session);
    let call = old.call().await?;
    // The other takes the turn over, as it would after the first was taken for dead.
    new.dispatcher.recover().await?;
    let taken = new.call().await?;
    call.end("of the old one");
    let EventBody::Error(error) = ends.next().await? else { return Err("no error".into()) };
    assert!(error.message.contains("another gateway") && !error.retryable, "{error:?}");
    let mut ends = Ends::of(&new, &session);
    taken.end("of the new one");
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::EndTurn, "of the new one")));
    let history = store.history(&session, None, 10).await?.items;
    assert_eq!(history.len(), 2, "one answer");
    assert!(old.submit("p", "two").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_deleted_session_is_gone_with_its_turns_and_can_begin_anew() -> Result {
    let store = memory();
    let bench = start(&store, Fault::Never).await?;
    let session = bench.send("p", "old").await?;
    bench.send("p", "waits").await?;
    let other = bench.send("q", "other").await?;
    let (_first, _second) = (bench.call().await?, bench.call().await?);
    let mut ends = Ends::of(&bench, &session);
    assert!(bench.dispatcher.delete(&session).await?);
    assert_eq!(bench.reading.load(Ordering::SeqCst), 1, "only the other session is answered");
    for _ in 0..2 {
        assert_eq!(reason(&ends.next().await?).map(|(reason, _)| reason), Some(DoneReason::Aborted));
    }
    assert!(store.session(&session).await?.is_none() && store.session(&other).await?.is_some());
    assert!(!bench.dispatcher.delete(&session).await?, "it is gone");
    bench.send("p", "new").await?;
    assert_eq!(bench.call().await?.texts(), ["new"]);
    Ok(())
}

#[tokio::test]
async fn a_turn_whose_session_is_deleted_before_its_sender_is_answered_ends_for_whoever_watches() -> Result {
    let store = memory();
    let bench = start(&store, Fault::Never).await?;
    let submitted = bench.submit("p", "one").await?;
    assert!(bench.dispatcher.delete(&submitted.session).await?);
    let mut ends = Ends::of(&bench, &submitted.session);
    submitted.ticket.ok_or("a repeat")?.start();
    assert!(matches!(ends.next().await?, EventBody::Error(error) if error.code == ErrorCode::NotFound));
    assert!(store.session(&submitted.session).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_message_whose_sender_is_gone_before_it_is_stored_is_answered_all_the_same() -> Result {
    let store = memory();
    let bench = start(&store, Fault::Never).await?;
    let mut sending = Box::pin(bench.submit("p", "one"));
    assert!(futures_util::poll!(&mut sending).is_pending());
    drop(sending);
    assert_eq!(bench.call().await?.texts(), ["one"]);
    Ok(())
}

#[tokio::test]
async fn a_message_is_answered_however_many_wait_behind_it() -> Result {
    let waiting = 600;
    let (store, session) = (memory(), SessionKey::new("default", "c", "a", "p")?);
    for number in 0..waiting {
        accepted(&store, &session, &format!("question {number}"), number).await?;
    }
    let limits = LimitsConfig { queued: waiting as usize, queued_total: waiting as usize, ..LimitsConfig::default() };
    let bench = Bench::over(Arc::clone(&store), store.take_over().await?, limits)?;
    bench.dispatcher.recover().await?;
    for number in 0..3 {
        let call = bench.call().await?;
        assert_eq!(call.texts().last(), Some(&format!("question {number}")));
        call.end("answer");
    }
    Ok(())
}
