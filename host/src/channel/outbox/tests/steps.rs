//! Order, rate limits, failures: how deliveries go.

use super::*;
use crate::store::{DeliveryState, FileRef};

#[tokio::test(start_paused = true)]
async fn a_text_is_sent_part_by_part_and_then_it_is_settled() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let id = bench.open(1, "ada", "one|two").await?;
    let first = bench.asked().await?;
    assert_eq!((first.line().as_str(), first.to.as_str()), ("POST messages 0 one", "ada"));
    let stored = bench.store.delivery(id).await?.ok_or("no delivery")?;
    assert_eq!(stored.state, DeliveryState::Sending, "it is stored before it leaves");
    first.shown("m1");
    let second = bench.asked().await?;
    assert_eq!(second.line(), "POST messages 1 two");
    second.shown("m2");
    let sent = bench.sent(id).await?;
    assert_eq!((sent.shown.as_slice(), sent.reason), (&["m1".to_owned(), "m2".to_owned()][..], None));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_conversation_keeps_its_order_and_a_slow_one_holds_up_no_other() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    bench.open(1, "slow", "first").await?;
    bench.open(2, "slow", "second").await?;
    let slow = bench.asked().await?;
    assert_eq!(slow.body, "0 first");
    for number in 3..200 {
        let id = bench.open(number, &format!("peer{number}"), "quick").await?;
        let quick = bench.asked().await?;
        assert_eq!(quick.body, "0 quick");
        quick.shown("q");
        bench.sent(id).await?;
    }
    slow.shown("m1");
    let second = bench.asked().await?;
    assert_eq!((second.to.as_str(), second.body.as_str()), ("slow", "0 second"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn many_conversations_go_side_by_side_but_not_all_at_once() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    for number in 1..=300 {
        bench.open(number, &format!("peer{number}"), "hi").await?;
    }
    let mut waiting = std::collections::VecDeque::new();
    for _ in 0..32 {
        waiting.push_back(bench.asked().await?);
    }
    assert!(bench.quiet_for(Duration::from_secs(5)).await, "no more than may be at once");
    let mut peers = std::collections::BTreeSet::new();
    while let Some(asked) = waiting.pop_front() {
        assert!(peers.insert(asked.to.clone()), "each once");
        asked.shown("m");
        if peers.len() + waiting.len() < 300 {
            waiting.push_back(bench.asked().await?);
        }
    }
    assert_eq!(peers.len(), 300);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn under_a_held_key_nothing_leaves_and_what_waits_takes_no_room() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    bench.open(1, "ada", "one").await?;
    let start = tokio::time::Instant::now();
    bench.asked().await?.status(429, "20000");
    // More of them than may be at work at once.
    for number in 2..=50 {
        bench.open(number, &format!("peer{number}"), "hi").await?;
    }
    let first = bench.asked().await?;
    assert!(start.elapsed() >= Duration::from_secs(20), "{:?}", start.elapsed());
    first.shown("m");
    for _ in 2..=50 {
        bench.asked().await?.shown("m");
    }
    for number in 1..=50 {
        bench.sent(id(number)).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_held_between_two_parts_repeats_neither() -> Result {
    let store = memory();
    let bench = Bench::start(&store, &PLAIN).await?;
    let delivery = bench.open(1, "ada", "one|two").await?;
    let first = bench.asked().await?;
    bench.open(2, "bob", "hi").await?;
    bench.asked().await?.status(429, "30000");
    bench.until(id(2), &[DeliveryState::Pending]).await?;
    first.shown("m1");
    let waits = bench.until(delivery, &[DeliveryState::Pending]).await?;
    assert!(waits.reason.is_some_and(|reason| reason.contains("rate limit")));
    // It may be in the same process that it goes on, or in the next one, which knows of no limit.
    bench.crash().await;
    let bench = Bench::start(&store, &PLAIN).await?;
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let asked = bench.asked().await?;
        bodies.push(asked.body.clone());
        asked.shown("m");
    }
    bodies.sort();
    assert_eq!(bodies, ["0 hi", "1 two"]);
    let sent = bench.sent(delivery).await?;
    assert_eq!(bench.entry(sent).unknown, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_down_is_asked_less_and_less_until_the_delivery_is_given_up() -> Result {
    let give_up_after = Duration::from_secs(3_600);
    let delivery = DeliveryConfig { give_up_after, ..DeliveryConfig::default() };
    let bench = Bench::with(&memory(), &PLAIN, Wants { delivery, ..Wants::default() }).await?;
    let id = bench.open(1, "ada", "hi").await?;
    let behind = bench.open(2, "ada", "there").await?;
    let (start, mut tries) = (tokio::time::Instant::now(), 0);
    while tries < 1_000 {
        let asked = bench.asked().await?;
        if asked.body == "0 there" {
            asked.shown("m");
            break;
        }
        tries += 1;
        asked.not_sent();
    }
    assert!((10..60).contains(&tries), "{tries}");
    assert!(start.elapsed() >= give_up_after, "{:?}", start.elapsed());
    let dead = bench.until(id, &[DeliveryState::Dead]).await?;
    assert!(dead.reason.is_some_and(|reason| reason.contains("give_up_after")));
    bench.sent(behind).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_asks_the_same_again_and_again_is_slowed_down() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    bench.open(1, "ada", "hi").await?;
    let start = tokio::time::Instant::now();
    for _ in 0..20 {
        bench.asked().await?.status(503, "");
    }
    assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
    bench.asked().await?.shown("m1");
    bench.sent(id(1)).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_the_plugin_refuses_is_a_dead_letter_at_once_and_what_it_fails_at_is_after_three_times() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    for (number, text, reason) in
        [(1, "unsupported", "as it was told"), (2, "trap", "failed 3 times"), (3, "no such chat", "blocked")]
    {
        let id = bench.open(number, &format!("peer{number}"), text).await?;
        if number == 3 {
            bench.asked().await?.status(403, "blocked by the user");
        }
        let dead = bench.until(id, &[DeliveryState::Dead]).await?;
        assert!(dead.reason.as_ref().is_some_and(|why| why.contains(reason)), "{dead:?}");
    }
    let once = bench.open(4, "peer4", "trap once").await?;
    bench.asked().await?.shown("m");
    bench.sent(once).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_unavailable_comes_again_when_it_says_and_what_came_of_a_request_is_not_forgotten() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let id = bench.open(1, "ada", "one|two").await?;
    let start = tokio::time::Instant::now();
    bench.asked().await?.status(502, "");
    let waits = bench.until(id, &[DeliveryState::Pending]).await?;
    assert_eq!(waits.attempts, 1);
    let store = Arc::clone(&bench.store);
    // It is told the same again, and again can do nothing: the request is not made a second time.
    assert!(bench.quiet_for(Duration::from_secs(9)).await);
    assert!(start.elapsed() >= Duration::from_secs(9));
    let waits = store.delivery(id).await?.ok_or("no delivery")?;
    assert!(waits.attempts > 2, "{waits:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn frames_go_by_the_connection_and_one_that_is_not_there_is_waited_for() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let id = bench.open(1, "ada", "line a|pause|line b").await?;
    let (text, result) = bench.frame().await?;
    assert_eq!(text, "line a");
    let _ = result.send(Err(TransportError::NotSent("not connected".into())));
    let (text, result) = bench.frame().await?;
    assert_eq!(text, "line a", "it was not written");
    let _ = result.send(Ok(()));
    bench.asked().await?.shown("m");
    let (text, result) = bench.frame().await?;
    assert_eq!(text, "line b");
    let _ = result.send(Ok(()));
    let sent = bench.sent(id).await?;
    assert_eq!(bench.entry(sent).unknown, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_empty_text_is_settled_and_a_file_is_refused_only_where_it_is_too_large() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let empty = bench.open(1, "ada", " \n").await?;
    bench.sent(empty).await?;
    let file = |size| LetterContent::File {
        file: FileRef { id: "f".into(), name: "a.csv".into(), mime_type: "text/csv".into(), size },
    };
    let large = bench.open_letter(2, "ada", file(1_001)).await?;
    let dead = bench.until(large, &[DeliveryState::Dead]).await?;
    assert!(dead.reason.is_some_and(|reason| reason.contains("at most 1000")));
    let fits = bench.open_letter(3, "ada", file(1_000)).await?;
    let asked = bench.asked().await?;
    assert_eq!(asked.line(), "POST files 1 fields");
    asked.shown("f1");
    assert_eq!(bench.sent(fits).await?.shown, ["f1"]);
    let reaction = LetterContent::Reaction { message: "7".into(), emoji: "👍".into() };
    let reaction = bench.open_letter(4, "ada", reaction).await?;
    bench.until(reaction, &[DeliveryState::Dead]).await?;
    assert!(bench.quiet_for(Duration::from_secs(60)).await);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_the_end_is_waited_for_and_nothing_more_leaves() -> Result {
    let store = memory();
    let bench = Bench::start(&store, &PLAIN).await?;
    let id = bench.open(1, "ada", "one|two").await?;
    bench.open(2, "bob", "later").await?;
    let mut under_way = [bench.asked().await?, bench.asked().await?];
    under_way.sort_by(|one, other| one.to.cmp(&other.to));
    let closing = tokio::spawn({
        let outbox = bench.outbox.clone();
        async move { outbox.close(Duration::from_secs(30)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    for asked in under_way {
        asked.shown("m1");
    }
    closing.await?;
    assert!(bench.asked.lock().await.try_recv().is_err(), "the second part waits for the next start");
    let bench = Bench::start(&store, &PLAIN).await?;
    let second = bench.asked().await?;
    assert_eq!(second.body, "1 two");
    second.shown("m2");
    let sent = bench.sent(id).await?;
    assert_eq!(sent.shown, ["m1", "m2"]);
    assert_eq!(bench.entry(sent).unknown, 0);
    Ok(())
}
