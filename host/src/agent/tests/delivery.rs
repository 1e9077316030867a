//! Answers that go to a platform: they are stored with the ends of their turns.

use super::*;
use crate::store::{Delivery, DeliveryId, DeliveryState, Destination, TurnId};

fn to_ada() -> Destination {
    Destination { channel: "telegram".into(), conversation: "ada".into(), address: "at home".into() }
}

async fn send(bench: &Bench, content: &str) -> Result<(SessionKey, TurnId)> {
    let submission = Submission { destination: Some(to_ada()), ..submission("ada", content) };
    let submitted = bench.dispatcher.submit(submission).await?;
    submitted.ticket.ok_or("a repeat")?.start();
    Ok((submitted.session, submitted.turn))
}

async fn delivery(bench: &Bench, turn: TurnId) -> Result<(Delivery, String)> {
    let delivery = bench.dispatcher.store().delivery(DeliveryId(turn)).await?.ok_or("no delivery")?;
    let letter = Letter::from_bytes(&delivery.content)?;
    assert_eq!(letter.address, to_ada().address);
    match letter.content {
        LetterContent::Markdown { text } => Ok((delivery, text)),
        other => Err(format!("{other:?}").into()),
    }
}

#[tokio::test]
async fn an_answer_is_in_the_outbox_when_its_turn_is_told_to_be_over() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    let (session, turn) = send(&bench, "hi").await?;
    let mut ends = Ends::of(&bench, &session);
    let call = bench.call().await?;
    assert!(bench.dispatcher.store().delivery(DeliveryId(turn)).await?.is_none(), "nothing is said yet");
    call.end("hello");
    ends.next().await?;
    let (delivery, text) = delivery(&bench, turn).await?;
    assert_eq!((delivery.state, delivery.draft, text.as_str()), (DeliveryState::Pending, false, "hello"));
    assert_eq!((delivery.channel.as_str(), delivery.conversation.as_str()), ("telegram", "ada"));
    assert_eq!(delivery.session, Some(session));
    Ok(())
}

#[tokio::test]
async fn who_wrote_on_a_platform_hears_of_a_stop_too() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    let (session, turn) = send(&bench, "hi").await?;
    let mut ends = Ends::of(&bench, &session);
    let call = bench.call().await?;
    call.say("so far");
    while !matches!(ends.live.recv().await.ok_or("lagged")?.body, EventBody::Text(_)) {}
    bench.dispatcher.abort(&session, None).await;
    let (_, text) = delivery(&bench, turn).await?;
    assert_eq!(text, "so far\n\n_(Stopped.)_");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_taken_up_again_still_knows_where_its_answer_goes() -> Result {
    let store: DynStore = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let durable = super::flaky::Flaky::new(Arc::clone(&store), super::flaky::Fault::Never);
    let bench = Bench::over(durable, store.take_over().await?, LimitsConfig::default())?;
    let (session, turn) = send(&bench, "hi").await?;
    let call = bench.call().await?;
    call.say("half");
    bench.dispatcher.drain(Duration::from_secs(1)).await;
    assert!(store.delivery(DeliveryId(turn)).await?.is_none(), "it is left open, and says nothing");
    let bench = Bench::over(Arc::clone(&store), store.take_over().await?, LimitsConfig::default())?;
    let mut ends = Ends::of(&bench, &session);
    assert_eq!(bench.dispatcher.recover().await?, 1);
    bench.call().await?.end("whole");
    ends.next().await?;
    let (delivery, text) = delivery(&bench, turn).await?;
    assert_eq!((text.as_str(), delivery.conversation.as_str()), ("whole", "ada"));
    let all = store.deliveries(&crate::store::DeliveryFilter::default(), None, 10).await?;
    assert_eq!(all.items.len(), 1, "once");
    Ok(())
}
