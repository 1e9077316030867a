//! What may have been sent, where the platform cannot tell.

use super::*;
use crate::config::UnknownDelivery;
use crate::store::DeliveryState;

fn hold() -> Wants {
    let delivery = DeliveryConfig { unknown: UnknownDelivery::Hold, ..DeliveryConfig::default() };
    Wants { delivery, ..Wants::default() }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_is_sent_again_from_that_part_on_and_stays_marked() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let id = bench.open(1, "ada", "one|two|three").await?;
    bench.asked().await?.shown("m1");
    bench.asked().await?.unanswered();
    for (body, id) in [("1 two", "m2"), ("2 three", "m3")] {
        let asked = bench.asked().await?;
        assert_eq!(asked.body, body);
        asked.shown(id);
    }
    let sent = bench.sent(id).await?;
    assert_eq!(sent.shown, ["m1", "m2", "m3"]);
    let entry = bench.entry(sent);
    assert_eq!((entry.state, entry.unknown), (OutboxState::Sent, 1));
    let list = OutboxList { unknown: true, ..OutboxList::default() };
    let listed = list.page(&bench.store, None, 10, Timestamp::now()).await?.items;
    assert_eq!(listed.iter().map(|entry| entry.id).collect::<Vec<_>>(), [id]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_never_answers_is_not_flooded() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let id = bench.open(1, "ada", "hi").await?;
    for _ in 0..4 {
        bench.asked().await?.unanswered();
    }
    let held = bench.until(id, &[DeliveryState::Unknown]).await?;
    assert_eq!(bench.entry(held).unknown, 4);
    assert!(bench.quiet_for(Duration::from_secs(90_000)).await);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn on_hold_it_waits_for_its_owner_and_nobody_waits_for_it() -> Result {
    let store = memory();
    let bench = Bench::with(&store, &PLAIN, hold()).await?;
    let held = bench.open(1, "ada", "one|two").await?;
    let next = bench.open(2, "ada", "next").await?;
    bench.asked().await?.shown("m1");
    bench.asked().await?.unanswered();
    let asked = bench.asked().await?;
    assert_eq!(asked.body, "0 next");
    asked.shown("m3");
    bench.sent(next).await?;
    let found = bench.until(held, &[DeliveryState::Unknown]).await?;
    assert_eq!(found.reason.as_deref(), Some("it took too long"));
    bench.crash().await;

    let bench = Bench::with(&store, &PLAIN, hold()).await?;
    assert!(bench.quiet_for(Duration::from_secs(90_000)).await, "a restart sends it neither");
    bench.outbox.order(OrderKind::Retry, held).await?;
    let asked = bench.asked().await?;
    assert_eq!(asked.body, "1 two", "its owner sends it again, and of it what is not shown");
    asked.shown("m2");
    assert_eq!(bench.sent(held).await?.shown, ["m1", "m2"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn on_hold_a_crash_while_a_request_is_under_way_leaves_it_to_its_owner() -> Result {
    let store = memory();
    let bench = Bench::with(&store, &PLAIN, hold()).await?;
    let id = bench.open(1, "ada", "hi").await?;
    let _under_way = bench.asked().await?;
    bench.crash().await;
    let bench = Bench::with(&store, &PLAIN, hold()).await?;
    let held = bench.until(id, &[DeliveryState::Unknown]).await?;
    assert!(held.reason.is_some_and(|reason| reason.contains("the gateway was stopped")));
    assert!(bench.asked.lock().await.try_recv().is_err());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn on_a_platform_with_keys_the_plugin_asks_again_and_nothing_is_unknown() -> Result {
    let bench = Bench::start(&memory(), &KEYED).await?;
    let id = bench.open(1, "ada", "hi").await?;
    bench.asked().await?.unanswered();
    bench.asked().await?.shown("m1");
    let sent = bench.sent(id).await?;
    assert_eq!(bench.entry(sent).unknown, 0);
    Ok(())
}
