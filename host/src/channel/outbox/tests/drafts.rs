//! What is shown before an answer is there: that the agent writes, and the text so far.

use super::*;
use crate::agent::Passage;
use crate::bus::Topic;
use crate::store::{
    Accept, Accepted, DeliveryState, Delta, Destination, DoneReason, EventBody, Message, Role, Step, TurnEnd,
};

/// A turn whose model the test is.
struct Turn<'a> {
    bench: &'a Bench,
    passage: Passage,
    topic: Arc<Topic>,
    offset: u64,
}

fn passage(number: u64) -> Result<Passage> {
    let destination = Destination { channel: CHANNEL.into(), conversation: "ada".into(), address: address("ada") };
    Ok(Passage { session: "default:sender:sender:ada".parse()?, turn: id(number).0, destination })
}

impl<'a> Turn<'a> {
    async fn begin(bench: &'a Bench, number: u64) -> Result<Self> {
        let passage = passage(number)?;
        let accept = Accept {
            session: passage.session.clone(),
            turn: passage.turn,
            message: Arc::new(Message::text(Role::User, "?")),
            destination: Some(passage.destination.clone()),
            begin: None,
            idempotency: None,
            epoch: bench.dispatcher.epoch(),
            now: (bench.clock)(),
        };
        assert_eq!(bench.store.accept(accept).await?, Accepted::New);
        Self::resume(bench, number).await
    }

    /// It runs, perhaps again.
    async fn resume(bench: &'a Bench, number: u64) -> Result<Self> {
        let passage = passage(number)?;
        let topic = bench.dispatcher.hub().topic(&passage.session);
        topic.reserve().await?;
        topic.announce(passage.turn, EventBody::Queued);
        bench.outbox.begun(&passage);
        Ok(Self { bench, passage, topic, offset: 0 })
    }

    async fn say(&mut self, delta: &str) -> Result {
        let offset = self.offset;
        self.offset += delta.len() as u64;
        let body = EventBody::Text(Delta { delta: delta.into(), step: 0, offset });
        Ok(self.topic.publish(self.passage.turn, body).await?)
    }

    async fn rewind(&mut self) -> Result {
        self.offset = 0;
        Ok(self.topic.publish(self.passage.turn, EventBody::Rewind { step: 0 }).await?)
    }

    /// Commits the end with its answer, and tells of it.
    async fn end(self, text: &str) -> Result<DeliveryId> {
        let Self { bench, passage, topic, .. } = self;
        let body = EventBody::Done { stop_reason: DoneReason::EndTurn, text: text.into() };
        let events = topic.end(passage.turn, body).await?;
        let last = events.last().cloned().ok_or("no event")?;
        let (epoch, now) = (bench.dispatcher.epoch(), (bench.clock)());
        let step = Step { events, ..Step::of(passage.session.clone(), passage.turn, epoch, now) };
        let letter = Letter {
            address: passage.destination.address.clone(),
            content: LetterContent::Markdown { text: text.into() },
        };
        let delivery = NewDelivery {
            id: DeliveryId(passage.turn),
            session: Some(passage.session.clone()),
            channel: CHANNEL.into(),
            conversation: passage.destination.conversation.clone(),
            content: letter.to_bytes(),
            draft: false,
            epoch,
            now,
        };
        bench.store.finish(TurnEnd { step, deliveries: vec![delivery] }).await?;
        topic.ended(passage.turn, &last);
        bench.outbox.ended(passage.turn);
        Ok(DeliveryId(passage.turn))
    }
}

#[tokio::test(start_paused = true)]
async fn drafts_show_the_latest_text_no_faster_than_they_may_and_the_answer_takes_their_place() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let mut turn = Turn::begin(&bench, 1).await?;
    turn.say("one").await?;
    let first = bench.asked().await?;
    assert_eq!(first.line(), "POST messages 0 one");
    first.shown("m1");
    let shown = tokio::time::Instant::now();
    for _ in 0..50 {
        turn.say(".").await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    turn.rewind().await?;
    turn.say("two").await?;
    let second = bench.asked().await?;
    assert!(shown.elapsed() >= Duration::from_secs(1), "{:?}", shown.elapsed());
    assert_eq!(second.line(), "PUT messages/m1 0 two", "the fifty between are left out");
    second.shown("m1");
    assert!(bench.quiet_for(Duration::from_secs(60)).await, "nothing new, nothing to show");
    let id = turn.end("two and a half").await?;
    let last = bench.asked().await?;
    assert_eq!(last.line(), "PUT messages/m1 0 two and a half");
    last.shown("m1");
    assert_eq!(bench.sent(id).await?.shown, ["m1"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_while_a_draft_is_under_way_waits_for_it_and_goes_on_from_it() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let mut turn = Turn::begin(&bench, 1).await?;
    turn.say("one").await?;
    let draft = bench.asked().await?;
    let id = turn.end("one|two").await?;
    assert!(bench.quiet_for(Duration::from_secs(5)).await, "one step at a time");
    draft.shown("m1");
    // What is shown is right already.
    let last = bench.asked().await?;
    assert_eq!(last.line(), "POST messages 1 two");
    last.shown("m2");
    let sent = bench.sent(id).await?;
    assert_eq!(sent.shown, ["m1", "m2"]);
    assert_eq!(bench.entry(sent).unknown, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn drafts_that_fail_hurt_no_answer() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    for (number, status) in [(1, 403), (2, 503), (3, 502)] {
        let mut turn = Turn::begin(&bench, number).await?;
        turn.say("trap").await?;
        turn.rewind().await?;
        turn.say("dra").await?;
        for _ in 0..3 {
            bench.asked().await?.status(status, "no");
            if status == 502 {
                break;
            }
        }
        let id = turn.end("the answer").await?;
        // What is still asked for the draft fails as it did.
        loop {
            let asked = bench.asked().await?;
            if asked.body == "0 the answer" {
                asked.shown("m1");
                break;
            }
            asked.status(403, "no");
        }
        assert_eq!(bench.sent(id).await?.shown, ["m1"], "{status}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_draft_that_may_be_shown_marks_the_answer() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let mut turn = Turn::begin(&bench, 1).await?;
    turn.say("one").await?;
    let draft = bench.asked().await?;
    let id = turn.end("one").await?;
    draft.unanswered();
    bench.asked().await?.shown("m1");
    let sent = bench.sent(id).await?;
    assert_eq!(bench.entry(sent).unknown, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_a_crash_cut_goes_on_with_its_draft() -> Result {
    let store = memory();
    let bench = Bench::start(&store, &PLAIN).await?;
    let mut turn = Turn::begin(&bench, 1).await?;
    turn.say("one").await?;
    bench.asked().await?.shown("m1");
    while store.delivery(id(1)).await?.is_none_or(|delivery| delivery.shown.is_empty()) {
        tokio::task::yield_now().await;
    }
    drop(turn);
    bench.crash().await;
    let bench = Bench::start(&store, &PLAIN).await?;
    let mut turn = Turn::resume(&bench, 1).await?;
    turn.say("again").await?;
    let draft = bench.asked().await?;
    assert_eq!(draft.line(), "PUT messages/m1 0 again");
    drop(turn);
    bench.crash().await;
    drop(draft);
    // This time the draft was under way, and the turn ends without another.
    let bench = Bench::start(&store, &PLAIN).await?;
    let turn = Turn::resume(&bench, 1).await?;
    let delivery = turn.end("done").await?;
    let last = bench.asked().await?;
    assert_eq!(last.line(), "PUT messages/m1 0 done");
    last.shown("m1");
    let sent = bench.sent(delivery).await?;
    assert_eq!(sent.shown, ["m1"]);
    assert_eq!(bench.entry(sent).unknown, 1, "nobody knows whether that draft was shown");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_draft_of_a_turn_that_is_gone_is_settled_and_nothing_waits_behind_it() -> Result {
    let store = memory();
    let epoch = store.take_over().await?;
    let content = LetterContent::Markdown { text: "half an ans".into() };
    store.delivery_open(NewDelivery { draft: true, ..new(1, "ada", content, epoch, Timestamp::now()) }).await?;
    let bench = Bench::start(&store, &PLAIN).await?;
    let next = bench.open(2, "ada", "next").await?;
    bench.asked().await?.shown("m1");
    bench.sent(next).await?;
    let dead = bench.until(id(1), &[DeliveryState::Dead]).await?;
    assert!(!dead.draft && dead.reason.is_some_and(|reason| reason.contains("its turn is gone")));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_the_host_says_does_not_wait_for_an_answer_that_grows() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let mut turn = Turn::begin(&bench, 1).await?;
    turn.say("well").await?;
    bench.asked().await?.shown("m1");
    let status = bench.open(2, "ada", "a turn runs").await?;
    let asked = bench.asked().await?;
    assert_eq!(asked.body, "0 a turn runs");
    asked.shown("m2");
    bench.sent(status).await?;
    turn.end("well").await?;
    bench.sent(id(1)).await?;
    Ok(())
}

#[tokio::test]
async fn a_draft_that_is_late_takes_the_place_of_no_answer() -> Result {
    let folder = tempfile::tempdir()?;
    for store in [memory(), sqlite(&folder)?] {
        let epoch = store.take_over().await?;
        let content = |text: &str| LetterContent::Markdown { text: text.into() };
        assert!(store.delivery_open(new(1, "ada", content("whole"), epoch, Timestamp(1))).await?);
        let late = NewDelivery { draft: true, ..new(1, "ada", content("who"), epoch, Timestamp(2)) };
        assert!(!store.delivery_open(late).await?);
        let found = store.delivery(id(1)).await?.ok_or("no delivery")?;
        assert!(!found.draft && Letter::from_bytes(&found.content)?.content == content("whole"));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn without_drafts_only_the_answer_is_sent() -> Result {
    let config = ChannelConfig { drafts: false, ..ChannelConfig::default() };
    let bench = Bench::with(&memory(), &PLAIN, Wants { config, ..Wants::default() }).await?;
    let mut turn = Turn::begin(&bench, 1).await?;
    turn.say("so far").await?;
    assert!(bench.quiet_for(Duration::from_secs(60)).await);
    let id = turn.end("all of it").await?;
    let asked = bench.asked().await?;
    assert_eq!(asked.line(), "POST messages 0 all of it");
    asked.shown("m1");
    bench.sent(id).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn typing_is_shown_again_and_again_until_some_text_is() -> Result {
    let bench = Bench::start(&memory(), &TYPING).await?;
    let mut turn = Turn::begin(&bench, 1).await?;
    let mut last = tokio::time::Instant::now();
    for round in 0..3 {
        let asked = bench.asked().await?;
        assert_eq!(asked.path, "typing");
        assert!(round == 0 || last.elapsed() >= Duration::from_secs(4), "{:?}", last.elapsed());
        last = tokio::time::Instant::now();
        asked.status(200, "");
    }
    turn.say("hi").await?;
    bench.asked().await?.shown("m1");
    assert!(bench.quiet_for(Duration::from_secs(60)).await, "it is seen that something comes");
    turn.end("hi").await?;
    bench.sent(id(1)).await?;
    assert!(store_has(&bench, 1).await?, "nothing of the typing is stored");
    Ok(())
}

async fn store_has(bench: &Bench, deliveries: usize) -> Result<bool> {
    let all = bench.store.deliveries(&crate::store::DeliveryFilter::default(), None, 100).await?;
    Ok(all.items.len() == deliveries)
}

#[tokio::test(start_paused = true)]
async fn typing_ends_with_the_turn_and_delays_no_answer() -> Result {
    let config = ChannelConfig { drafts: false, ..ChannelConfig::default() };
    let bench = Bench::with(&memory(), &TYPING, Wants { config, ..Wants::default() }).await?;
    let turn = Turn::begin(&bench, 1).await?;
    let typing = bench.asked().await?;
    assert_eq!(typing.path, "typing");
    let id = turn.end("the answer").await?;
    let answer = bench.asked().await?;
    assert_eq!(answer.body, "0 the answer");
    answer.shown("m1");
    bench.sent(id).await?;
    drop(typing);
    assert!(bench.quiet_for(Duration::from_secs(60)).await);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_fell_behind_misses_nothing() -> Result {
    let bench = Bench::start(&memory(), &PLAIN).await?;
    let mut turn = Turn::begin(&bench, 1).await?;
    // More than may wait for a watcher, which is not let to run meanwhile.
    for _ in 0..5_000 {
        tokio::task::unconstrained(turn.say("x")).await?;
    }
    loop {
        let draft = bench.asked().await?;
        let whole = draft.body.len() == "0 ".len() + 5_000;
        draft.shown("m1");
        if whole {
            break;
        }
    }
    turn.end("short").await?;
    let last = bench.asked().await?;
    assert_eq!(last.line(), "PUT messages/m1 0 short");
    last.shown("m1");
    bench.sent(id(1)).await?;
    Ok(())
}
