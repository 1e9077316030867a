//! What the owner sees and does.

use super::*;
use crate::agent::{Courier, Passage};
use crate::channel::Post;
use crate::store::{DeliveryState, Destination};

/// A dead letter: the first part of it is shown, the second was refused.
async fn dead(bench: &Bench, number: u64) -> Result<DeliveryId> {
    let id = bench.open(number, "ada", "one|two").await?;
    bench.asked().await?.shown("m1");
    bench.asked().await?.status(403, "blocked\u{1b}[2J by the user");
    bench.until(id, &[DeliveryState::Dead]).await?;
    Ok(id)
}

async fn list(bench: &Bench, list: OutboxList) -> Result<Vec<OutboxEntry>> {
    Ok(list.page(&bench.store, None, 10, Timestamp::now()).await?.items)
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_listed_with_its_reason_and_sent_again_from_where_it_stands() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let post = Post::default();
    post.attach(bench.outbox.clone());
    let id = dead(&bench, 1).await?;
    let [entry] = &list(&bench, OutboxList::default()).await?[..] else { return Err("not one".into()) };
    assert_eq!((entry.id, entry.state, entry.text.as_str()), (id, OutboxState::Dead, "one|two"));
    assert_eq!(entry.reason.as_deref(), Some("blocked\\u{1b}[2J by the user"), "on a terminal it does nothing");
    let again = post.retry(&bench.store, id).await?;
    assert_eq!(again.state, OutboxState::Pending);
    let asked = bench.asked().await?;
    assert_eq!(asked.body, "1 two");
    assert!(matches!(post.discard(&bench.store, bench.dispatcher.epoch(), id).await, Err(OrderError::Busy(_))));
    asked.shown("m2");
    bench.sent(id).await?;
    assert!(matches!(post.retry(&bench.store, id).await, Err(OrderError::Alive { .. })));
    assert!(list(&bench, OutboxList::default()).await?.is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_not_sent_and_not_listed_any_more() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let post = Post::default();
    post.attach(bench.outbox.clone());
    let epoch = bench.dispatcher.epoch();
    let dead = dead(&bench, 1).await?;
    let entry = post.discard(&bench.store, epoch, dead).await?;
    assert!(entry.state == OutboxState::Dropped && entry.reason.is_some_and(|reason| reason.contains("blocked")));
    // One that waits, too.
    let waits = bench.open(2, "ada", "unavailable").await?;
    while bench.store.delivery(waits).await?.is_some_and(|delivery| delivery.attempts == 0) {
        tokio::task::yield_now().await;
    }
    bench.until(waits, &[DeliveryState::Pending]).await?;
    post.discard(&bench.store, epoch, waits).await?;
    assert!(list(&bench, OutboxList::default()).await?.is_empty());
    let dropped = OutboxList { states: vec![OutboxState::Dropped], ..OutboxList::default() };
    assert_eq!(list(&bench, dropped).await?.len(), 2);
    assert!(bench.quiet_for(Duration::from_secs(90_000)).await);
    let back = post.retry(&bench.store, dead).await?;
    assert_eq!(back.state, OutboxState::Pending, "its owner may change their mind");
    bench.asked().await?.shown("m2");
    bench.sent(dead).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn of_a_channel_that_does_not_run_letters_can_be_dropped_but_not_sent() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let id = dead(&bench, 1).await?;
    let post = Post::default();
    assert!(matches!(post.retry(&bench.store, id).await, Err(OrderError::NoChannel(name)) if name == CHANNEL));
    post.discard(&bench.store, bench.dispatcher.epoch(), id).await?;
    assert!(list(&bench, OutboxList::default()).await?.is_empty());
    let unknown = super::id(99);
    assert!(matches!(post.retry(&bench.store, unknown).await, Err(OrderError::Unknown(_))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn lists_are_pages_without_gap_or_repeat_whatever_is_left_out() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    for number in 1..=20 {
        let text = if number % 3 == 0 { "unsupported" } else { "" };
        let id = bench.open(number, "ada", text).await?;
        bench.until(id, &[DeliveryState::Sent, DeliveryState::Dead]).await?;
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = OutboxList::default().page(&bench.store, after, 2, Timestamp::now()).await?;
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|entry| entry.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=20).filter(|number| number % 3 == 0).map(id).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_stored_before_its_channel_started_is_sent_when_it_does() -> Result {
    let store = memory();
    let post = Post::default();
    let destination = Destination { channel: CHANNEL.into(), conversation: "ada".into(), address: address("ada") };
    let passage = Passage { session: "a:b:c:d".parse()?, turn: id(1).0, destination };
    post.begun(&passage);
    let epoch = store.take_over().await?;
    let content = LetterContent::Markdown { text: "hi".into() };
    store.delivery_open(new(1, "ada", content, epoch, Timestamp::now())).await?;
    post.ended(&passage);
    let bench = Bench::start(&store, &PLAIN).await?;
    post.attach(bench.outbox.clone());
    bench.asked().await?.shown("m1");
    bench.sent(id(1)).await?;
    Ok(())
}
