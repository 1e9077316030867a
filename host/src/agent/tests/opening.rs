//! The first request of a turn, recorded with its message.

use super::flaky::{Fault, Flaky};
use super::*;
use crate::agent::opening::Opening;
use crate::provider::CachePolicy;
use crate::store::{
    Accept, Accepted, FirstCall, LedgerRecord, Message, ModelCallEnd, Seq, Timestamp, TokenUsage, TurnId,
};

fn memory() -> DynStore {
    Arc::new(MemoryStore::new(MemoryLimits::default()))
}

async fn start(store: &DynStore, fault: Fault) -> Result<(Bench, Arc<Flaky>)> {
    let (epoch, flaky) = (store.take_over().await?, Flaky::new(Arc::clone(store), fault));
    Ok((Bench::over(Arc::clone(&flaky) as DynStore, epoch, LimitsConfig::default())?, flaky))
}

async fn records(store: &DynStore) -> Result<Vec<LedgerRecord>> {
    Ok(store.ledger(&LedgerFilter::default(), None, 10).await?.items)
}

fn outcome(record: &LedgerRecord) -> Option<CallOutcome> {
    record.end.as_ref().map(|end| end.outcome)
}

#[tokio::test]
async fn between_a_message_and_its_model_there_is_one_transaction() -> Result {
    let store = memory();
    let (bench, flaky) = start(&store, Fault::Never).await?;
    for (content, expected) in [("one", &["one"][..]), ("two", &["one", "answer", "two"])] {
        let submitted = bench.submit("p", content).await?;
        let before = records(&store).await?;
        let record = before.iter().find(|record| record.call.id.turn == submitted.turn).ok_or("a record")?;
        assert_eq!((record.call.provider.as_str(), record.call.model.as_str()), ("held", "fine"));
        assert!(record.call.estimate.input_tokens > 0 && record.end.is_none());
        let made = flaky.transactions();
        let mut ends = Ends::of(&bench, &submitted.session);
        submitted.ticket.ok_or("a repeat")?.start();
        let call = bench.call().await?;
        assert_eq!(call.texts(), expected);
        assert_eq!(flaky.transactions(), made, "nothing else was stored before the model was asked");
        call.end("answer");
        assert_eq!(reason(&ends.next().await?), Some((DoneReason::EndTurn, "answer")));
        bench.dispatcher.lanes().idle(&submitted.session).await;
    }
    let records = records(&store).await?;
    assert_eq!(records.iter().map(outcome).collect::<Vec<_>>(), [Some(CallOutcome::Finished); 2]);
    Ok(())
}

#[tokio::test]
async fn what_has_to_wait_is_recorded_when_it_is_asked() -> Result {
    let store = memory();
    let limits = LimitsConfig { turns: 1, ..LimitsConfig::default() };
    let bench = Bench::over(Arc::clone(&store), store.take_over().await?, limits)?;
    bench.send("p", "one").await?;
    let first = bench.call().await?;
    bench.send("p", "two").await?;
    bench.send("q", "there is no place for it").await?;
    assert_eq!(records(&store).await?.len(), 1);
    first.end("answer");
    for _ in 0..2 {
        let call = bench.call().await?;
        let texts = call.texts();
        assert!(texts == ["one", "answer", "two"] || texts == ["there is no place for it"], "{texts:?}");
        call.end("answer");
    }
    assert_eq!(records(&store).await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn of_messages_that_are_admitted_together_the_first_of_each_session_is_recorded() -> Result {
    let store = memory();
    let (bench, _) = start(&store, Fault::Never).await?;
    let submissions = [("p", "one"), ("p", "two"), ("q", "three")].map(|(peer, content)| submission(peer, content));
    let admission = bench.dispatcher.admit(submissions.into(), Timestamp(5)).await;
    let (mut begun, mut waiting) = (Vec::new(), Vec::new());
    for admitted in admission.messages {
        let admitted = admitted?;
        begun.push(admitted.accept().begin.is_some());
        let stored = store.accept(admitted.accept().clone()).await?;
        waiting.extend(admitted.stored(stored).and_then(|submitted| submitted.ticket));
    }
    assert_eq!(begun, [true, false, true]);
    drop(waiting);
    for _ in 0..3 {
        bench.call().await?.end("answer");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_made_after_all_consumed_nothing() -> Result {
    let store = memory();
    let (bench, _) = start(&store, Fault::Never).await?;
    let submitted = bench.submit("p", "one").await?;
    assert!(bench.dispatcher.abort(&submitted.session, None).await);
    let mut ends = Ends::of(&bench, &submitted.session);
    submitted.ticket.ok_or("a repeat")?.start();
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::Aborted, "")));
    let of_none = |records: Vec<LedgerRecord>| {
        records.len() == 1
            && matches!(&records[0].end, Some(ModelCallEnd { tokens, estimated: false, outcome: CallOutcome::Failed, .. })
                if *tokens == TokenUsage::default())
    };
    assert!(of_none(records(&store).await?));

    // The same where the gateway goes down before: the next one does not count it as lost.
    let store = memory();
    let (bench, _) = start(&store, Fault::Never).await?;
    let submitted = bench.submit("p", "one").await?;
    let answered = async {
        // It is to stop by now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(submitted.ticket);
    };
    tokio::join!(bench.dispatcher.drain(Duration::ZERO), answered);
    assert!(of_none(records(&store).await?));
    assert_eq!(store.open_turns(None, 10).await?.len(), 1);
    let (bench, _) = start(&store, Fault::Never).await?;
    bench.dispatcher.recover().await?;
    assert_eq!(bench.call().await?.texts(), ["one"]);
    let records = records(&store).await?;
    assert_eq!(records.iter().map(outcome).collect::<Vec<_>>(), [Some(CallOutcome::Failed), None]);
    Ok(())
}

#[tokio::test]
async fn a_crash_before_the_request_leaves_a_call_that_is_counted_as_an_estimate() -> Result {
    let store = memory();
    let (bench, _) = start(&store, Fault::Never).await?;
    let submitted = bench.submit("p", "one").await?;
    // The process is gone: nobody lets the turn run.
    let estimate = records(&store).await?[0].call.estimate;
    let sent = TokenUsage { output_tokens: 0, ..estimate };
    let (again, _) = start(&store, Fault::Never).await?;
    again.dispatcher.recover().await?;
    let mut ends = Ends::of(&again, &submitted.session);
    again.call().await?.end("answer");
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::EndTurn, "answer")));
    let records = records(&store).await?;
    let lost = records[0].end.as_ref().ok_or("settled")?;
    assert_eq!((lost.outcome, lost.estimated, lost.tokens), (CallOutcome::Lost, true, sent));
    assert_eq!((records.len(), outcome(&records[1])), (2, Some(CallOutcome::Finished)));
    let events = store.events(&submitted.session, None, Seq(0), 100).await?;
    let told = events.iter().filter(|event| matches!(&event.body, EventBody::Usage(_)));
    assert_eq!(told.count(), 2, "each is told of once");
    Ok(())
}

#[tokio::test]
async fn a_record_of_another_model_than_is_asked_is_closed_and_another_made() -> Result {
    let store = memory();
    let (bench, _) = start(&store, Fault::Never).await?;
    let (agent, session) = bench.dispatcher.addressee(&submission("p", "one"))?;
    let entry = bench.dispatcher.lanes().enter(&session).await.map_err(|refused| format!("{refused:?}"))?;
    let topic = bench.dispatcher.hub().topic(&session);
    topic.reserve().await?;
    let message = Arc::new(Message::text(Role::User, "one"));
    let accept = Accept {
        session,
        turn: TurnId::new(Timestamp(1), 1),
        message: Arc::clone(&message),
        destination: None,
        begin: Some(FirstCall {
            provider: "held".into(),
            model: "other".into(),
            estimate: TokenUsage::default(),
            reserved_cost: None,
        }),
        idempotency: None,
        epoch: bench.dispatcher.epoch(),
        now: Timestamp(1),
    };
    assert_eq!(store.accept(accept.clone()).await?, Accepted::New);
    let request = Arc::new(agent.request(vec![message], CachePolicy::default()));
    let call = accept.first_call().ok_or("a record")?;
    let opening = Opening { request, call, _held: bench.dispatcher.meter().hold(accept.turn) };
    entry.put(&accept, agent, topic, Some(opening)).start();
    let call = bench.call().await?;
    let records = records(&store).await?;
    let models: Vec<_> = records.iter().map(|record| (record.call.model.as_str(), outcome(record))).collect();
    assert_eq!(models, [("other", Some(CallOutcome::Failed)), ("fine", None)]);
    call.end("answer");
    Ok(())
}
