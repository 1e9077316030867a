//! Feeds on a real hub and a real store. Sessions are `a:b:c:d`; turns are numbers.

mod restart;

use std::task::Poll;

use proptest::prelude::*;

use super::*;
use crate::bus::Topic;
use crate::store::{
    Accept, Delta, DoneReason, Epoch, EventBody, MemoryLimits, MemoryStore, Message, Role, Step, Timestamp, TurnEnd,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

struct World {
    hub: Hub,
    store: DynStore,
    topic: Arc<Topic>,
}

fn session() -> SessionKey {
    "a:b:c:d".parse().expect("a key")
}

fn id(turn: u64) -> TurnId {
    TurnId::new(Timestamp(turn), turn)
}

impl World {
    fn new(queue: usize) -> Self {
        let store: DynStore = Arc::new(MemoryStore::new(MemoryLimits::default()));
        let hub = Hub::new(Arc::clone(&store), queue);
        let topic = hub.topic(&session());
        Self { hub, store, topic }
    }

    fn feeds(&self) -> Feeds {
        Feeds::new(self.hub.clone(), Arc::clone(&self.store), 1)
    }

    async fn accept(&self, turn: u64) -> Result {
        let message = Arc::new(Message::text(Role::User, "x"));
        let accept = Accept {
            session: session(),
            turn: id(turn),
            message,
            destination: None,
            begin: None,
            idempotency: None,
            epoch: Epoch(0),
            now: Timestamp(turn),
        };
        self.store.accept(accept).await?;
        self.topic.reserve().await?;
        Ok(())
    }

    async fn begin(&self, turn: u64) -> Result {
        self.accept(turn).await?;
        self.topic.announce(id(turn), EventBody::Queued);
        Ok(())
    }

    async fn say(&self, turn: u64, offset: u64) -> Result {
        let delta = Delta { delta: "x".into(), step: 0, offset };
        Ok(self.topic.publish(id(turn), EventBody::Text(delta)).await?)
    }

    async fn end(&self, turn: u64) -> Result {
        let events = self.topic.end(id(turn), done()).await?;
        let last = events.last().cloned().ok_or("no events")?;
        let step = Step { events, ..Step::of(session(), id(turn), Epoch(0), Timestamp(turn)) };
        self.store.finish(TurnEnd { step, deliveries: Vec::new() }).await?;
        self.topic.ended(id(turn), &last);
        Ok(())
    }

    /// Stores what the turn told so far.
    async fn store(&self, turn: u64) -> Result {
        let events = self.topic.unstored(id(turn));
        let last = events.last().map(|event| event.seq).ok_or("nothing to store")?;
        self.store.append(Step { events, ..Step::of(session(), id(turn), Epoch(0), Timestamp(turn)) }).await?;
        self.topic.stored(id(turn), last);
        Ok(())
    }

    /// The process ends and another begins over the same store.
    fn restart(self) -> Self {
        let store = self.store;
        let hub = Hub::new(Arc::clone(&store), 64);
        let topic = hub.topic(&session());
        Self { hub, store, topic }
    }

    /// A whole turn: `queued`, one text and `done`.
    async fn run(&self, turn: u64) -> Result {
        self.begin(turn).await?;
        self.say(turn, 0).await?;
        self.end(turn).await
    }
}

fn done() -> EventBody {
    EventBody::Done { stop_reason: DoneReason::EndTurn, text: "x".into() }
}

/// Everything that can be told now.
async fn told(feeds: &mut Feeds) -> Vec<Notice> {
    let mut notices = Vec::new();
    while let Poll::Ready(notice) = std::future::poll_fn(|cx| Poll::Ready(feeds.poll_notice(cx))).await {
        notices.push(notice);
    }
    notices
}

fn seqs(notices: &[Notice]) -> Vec<u64> {
    notices
        .iter()
        .map(|notice| match notice {
            Notice::Event(event) => event.seq.0,
            Notice::Lagged { .. } => 0,
        })
        .collect()
}

async fn told_seqs(feeds: &mut Feeds) -> Vec<u64> {
    seqs(&told(feeds).await)
}

#[tokio::test]
async fn a_sender_is_shown_its_own_turn_and_no_other() -> Result {
    let world = World::new(64);
    let mut feeds = world.feeds();
    feeds.follow(&session(), Turn::New(id(2)));
    world.run(1).await?;
    world.run(2).await?;
    world.run(3).await?;
    assert_eq!(told_seqs(&mut feeds).await, [4, 5, 6]);
    drop(world.topic);
    assert_eq!(world.hub.topics(), 0, "the feed of a turn that ended is gone");
    Ok(())
}

#[tokio::test]
async fn a_subscriber_that_resumes_gets_what_it_missed_and_then_what_happens() -> Result {
    let world = World::new(64);
    let mut feeds = world.feeds();
    world.run(1).await?;
    world.begin(2).await?;
    world.say(2, 0).await?;
    feeds.subscribe(&session(), Some(Seq(2)))?;
    world.say(2, 1).await?;
    world.end(2).await?;
    world.run(3).await?;
    assert_eq!(told_seqs(&mut feeds).await, [3, 4, 5, 6, 7, 8, 9, 10]);
    Ok(())
}

#[tokio::test]
async fn a_turn_that_is_sent_again_is_shown_from_its_beginning() -> Result {
    let world = World::new(64);
    world.run(1).await?;
    world.begin(2).await?;
    world.say(2, 0).await?;
    let mut feeds = world.feeds();
    feeds.follow(&session(), Turn::Again(id(1)));
    assert_eq!(told_seqs(&mut feeds).await, [1, 2, 3], "a turn that ended comes from the store");
    feeds.follow(&session(), Turn::Again(id(2)));
    world.end(2).await?;
    assert_eq!(told_seqs(&mut feeds).await, [4, 5, 6], "an open one from the hub, and its end is live");
    Ok(())
}

#[tokio::test]
async fn a_turn_that_is_sent_again_before_it_began_is_shown_when_it_begins() -> Result {
    let world = World::new(64);
    world.accept(1).await?;
    let mut feeds = world.feeds();
    feeds.follow(&session(), Turn::Again(id(1)));
    assert!(told(&mut feeds).await.is_empty());
    world.topic.announce(id(1), EventBody::Queued);
    world.end(1).await?;
    assert_eq!(told_seqs(&mut feeds).await, [1, 2]);
    Ok(())
}

#[tokio::test]
async fn a_subscriber_that_sends_a_turn_again_is_not_told_of_its_end_twice() -> Result {
    let world = World::new(64);
    let mut feeds = world.feeds();
    feeds.subscribe(&session(), None)?;
    world.run(1).await?;
    feeds.follow(&session(), Turn::Again(id(1)));
    world.run(2).await?;
    assert_eq!(told_seqs(&mut feeds).await, [1, 2, 3, 4, 5, 6]);
    Ok(())
}

#[tokio::test]
async fn after_an_unsubscription_own_turns_still_arrive() -> Result {
    let world = World::new(64);
    let mut feeds = world.feeds();
    feeds.subscribe(&session(), None)?;
    feeds.follow(&session(), Turn::New(id(2)));
    world.begin(1).await?;
    world.begin(2).await?;
    assert_eq!(told_seqs(&mut feeds).await, [1, 2]);
    feeds.unsubscribe(&session());
    world.end(1).await?;
    world.end(2).await?;
    assert_eq!(told_seqs(&mut feeds).await, [4]);
    drop(world.topic);
    assert_eq!(world.hub.topics(), 0);
    Ok(())
}

#[tokio::test]
async fn an_unsubscription_in_the_middle_of_a_replay_loses_nothing_of_own_turns() -> Result {
    let world = World::new(64);
    let mut feeds = world.feeds();
    feeds.follow(&session(), Turn::New(id(2)));
    world.run(1).await?;
    world.begin(2).await?;
    feeds.subscribe(&session(), Some(Seq(0)))?;
    feeds.unsubscribe(&session());
    world.end(2).await?;
    assert_eq!(told_seqs(&mut feeds).await, [4, 5]);
    Ok(())
}

#[tokio::test]
async fn a_client_that_falls_behind_is_told_from_where_to_resume_and_resumes_without_gap() -> Result {
    let world = World::new(4);
    let mut feeds = world.feeds();
    feeds.subscribe(&session(), None)?;
    for turn in 1..=3 {
        world.run(turn).await?;
    }
    let notices = told(&mut feeds).await;
    assert_eq!(seqs(&notices), [1, 2, 3, 4, 0]);
    let Some(Notice::Lagged { after_seq, .. }) = notices.last() else { return Err("no lag".into()) };
    assert_eq!(*after_seq, Seq(4));
    world.run(4).await?;
    assert!(told(&mut feeds).await.is_empty(), "the subscription ended");
    feeds.subscribe(&session(), Some(*after_seq))?;
    assert_eq!(told_seqs(&mut feeds).await, [5, 6, 7, 8, 9, 10, 11, 12]);
    Ok(())
}

#[tokio::test]
async fn subscriptions_are_limited_and_one_session_counts_once() -> Result {
    let world = World::new(4);
    let mut feeds = world.feeds();
    feeds.subscribe(&session(), None)?;
    feeds.subscribe(&session(), Some(Seq(0)))?;
    let other = "a:b:c:other".parse()?;
    assert!(feeds.subscribe(&other, None).is_err());
    feeds.unsubscribe(&session());
    feeds.subscribe(&other, None)?;
    Ok(())
}

#[tokio::test]
async fn a_replay_of_many_pages_is_whole_and_in_order() -> Result {
    let world = World::new(64);
    world.begin(100).await?;
    for turn in 0..60 {
        world.begin(turn).await?;
        for offset in 0..10 {
            // A gap in the offsets keeps the deltas apart.
            world.say(turn, offset * 2).await?;
        }
        world.end(turn).await?;
    }
    let mut feeds = world.feeds();
    feeds.subscribe(&session(), Some(Seq(0)))?;
    world.end(100).await?;
    let told = told_seqs(&mut feeds).await;
    assert_eq!(told.len(), 60 * 12 + 2);
    assert!(told.is_sorted_by(|one, two| one < two));
    Ok(())
}

/// What happens to one of three turns, or to the subscriber.
#[derive(Debug, Clone, Copy)]
enum Act {
    Begin(u64),
    Say(u64),
    End(u64),
    Resume,
    Read,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0..3u64).prop_map(Act::Begin),
        (0..3u64).prop_map(Act::Say),
        (0..3u64).prop_map(Act::Say),
        (0..3u64).prop_map(Act::End),
        Just(Act::Resume),
        Just(Act::Read),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    /// Whatever happens between subscribing and reading, a client that always resumes after the
    /// last `seq` it has gets rising numbers, and every turn's text and end.
    #[test]
    fn a_client_that_resumes_at_any_time_ends_with_every_text_and_every_end(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::new(1_000);
            let mut feeds = world.feeds();
            feeds.subscribe(&session(), None).expect("a subscription");
            let mut lives = [None::<u64>; 3];
            let (mut next_turn, mut said) = (1, std::collections::HashMap::new());
            let (mut last, mut shown, mut ended) = (Seq(0), std::collections::HashMap::new(), Vec::new());
            let mut take = |notices: Vec<Notice>| {
                for notice in notices {
                    let Notice::Event(event) = notice else { panic!("lagged") };
                    assert!(event.seq > last, "{:?} after {last:?}", event.seq);
                    last = event.seq;
                    if let EventBody::Text(delta) = &event.body {
                        let shown: &mut u64 = shown.entry(event.turn).or_default();
                        assert!(delta.offset <= *shown, "a gap in the text");
                        *shown = delta.offset + delta.delta.len() as u64;
                    }
                    if event.body.ends_turn() {
                        ended.push(event.turn);
                    }
                }
                last
            };
            for act in acts {
                match act {
                    Act::Begin(place) if lives[place as usize].is_none() => {
                        world.begin(next_turn).await.expect("begins");
                        lives[place as usize] = Some(next_turn);
                        next_turn += 1;
                    }
                    Act::Say(place) => if let Some(turn) = lives[place as usize] {
                        let offset: &mut u64 = said.entry(id(turn)).or_default();
                        world.say(turn, *offset).await.expect("says");
                        *offset += 1;
                    },
                    Act::End(place) => if let Some(turn) = lives[place as usize].take() {
                        world.end(turn).await.expect("ends");
                    },
                    Act::Resume => {
                        let after = take(Vec::new());
                        feeds.subscribe(&session(), Some(after)).expect("a subscription");
                    }
                    Act::Read => {
                        take(told(&mut feeds).await);
                    }
                    Act::Begin(_) => {}
                }
            }
            for turn in lives.into_iter().flatten() {
                world.end(turn).await.expect("ends");
            }
            take(told(&mut feeds).await);
            assert_eq!(shown, said);
            ended.sort();
            assert_eq!(ended, (1..next_turn).map(id).collect::<Vec<_>>());
        });
    }
}

#[tokio::test]
async fn a_feed_that_waits_goes_on_when_it_is_given_a_replay() -> Result {
    let world = World::new(64);
    world.run(1).await?;
    let mut feeds = world.feeds();
    feeds.subscribe(&session(), None)?;
    let mut waiting = Box::pin(std::future::poll_fn(|cx| feeds.poll_notice(cx)));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(waiting);
    feeds.subscribe(&session(), Some(Seq(1)))?;
    assert_eq!(told_seqs(&mut feeds).await, [2, 3]);
    Ok(())
}
