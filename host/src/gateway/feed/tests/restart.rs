//! Feeds over a restart: what is stored of a turn that was cut, and what follows.

use super::*;

/// A turn that was cut: `queued` and a text are stored, another text was told and not stored. Returns
/// the last number that its watcher has.
async fn cut_turn(world: &World) -> Result<Seq> {
    let mut feeds = world.feeds();
    feeds.subscribe(&session(), None)?;
    world.begin(1).await?;
    world.say(1, 0).await?;
    world.store(1).await?;
    world.say(1, 1).await?;
    Ok(Seq(told_seqs(&mut feeds).await.last().copied().ok_or("nothing told")?))
}

/// What a gateway does with a turn that it takes up again, one thing after the other.
#[derive(Debug, Clone, Copy)]
enum Resumed {
    Reopen,
    Rewind,
    Say(u64),
    Store,
    /// The end is stored, but not told.
    Finish,
    Tell,
}

/// The end of a turn that is stored and not told.
type Untold = Option<Arc<Event>>;

impl World {
    async fn resumed(&self, what: Resumed, untold: &mut Untold) -> Result {
        match what {
            Resumed::Reopen => {
                let events = self.store.events(&session(), Some(id(1)), Seq(0), 100).await?;
                self.topic.reopen(id(1), &events);
            }
            Resumed::Rewind => self.topic.publish(id(1), EventBody::Rewind { step: 0 }).await?,
            Resumed::Say(offset) => self.say(1, offset).await?,
            Resumed::Store => self.store(1).await?,
            Resumed::Finish => {
                let events = self.topic.end(id(1), done()).await?;
                *untold = events.last().cloned();
                let step = Step { events, ..Step::of(session(), id(1), Epoch(0), Timestamp(1)) };
                self.store.finish(TurnEnd { step, deliveries: Vec::new() }).await?;
            }
            Resumed::Tell => {
                let last = untold.take().ok_or("no end")?;
                self.topic.ended(id(1), &last);
            }
        }
        Ok(())
    }
}

/// Whenever the client comes back after a restart, and whenever it reads, it gets each event once and
/// in order, and its text is whole.
#[tokio::test]
async fn a_client_that_comes_back_after_a_restart_gets_each_event_once() -> Result {
    use Resumed::{Finish, Reopen, Rewind, Say, Store, Tell};
    let goes_on = vec![Reopen, Rewind, Say(0), Store, Say(1), Say(2), Finish, Tell];
    // The agent is gone, or the turn was taken up too often: it ends at once.
    let ends = vec![Reopen, Finish, Tell];
    for acts in [goes_on, ends] {
        for subscribed in 0..=acts.len() {
            for read in subscribed..=acts.len() {
                for from_start in [true, false] {
                    let what = format!("{acts:?}: subscribed at {subscribed}, read at {read}, {from_start}");
                    let world = World::new(64);
                    tokio::task::yield_now().await;
                    let seen = cut_turn(&world).await?;
                    let (world, after) = (world.restart(), if from_start { Seq(0) } else { seen });
                    let (mut feeds, mut notices, mut untold) = (world.feeds(), Vec::new(), None);
                    for at in 0..=acts.len() {
                        // Else what is read without waiting runs out of the task's budget.
                        tokio::task::yield_now().await;
                        if at == subscribed {
                            feeds.subscribe(&session(), Some(after))?;
                        }
                        if at == read {
                            notices.extend(told(&mut feeds).await);
                        }
                        if let Some(act) = acts.get(at) {
                            world.resumed(*act, &mut untold).await?;
                        }
                    }
                    tokio::task::yield_now().await;
                    notices.extend(told(&mut feeds).await);
                    let seqs = seqs(&notices);
                    assert!(seqs.iter().all(|seq| *seq > after.0), "{what}: {seqs:?}");
                    assert!(seqs.is_sorted_by(|one, two| one < two), "{what}: {seqs:?}");
                    // Of the first life, the client has two bytes.
                    let (mut text, mut ends) = (if from_start { 0 } else { 2 }, 0);
                    for notice in &notices {
                        let Notice::Event(event) = notice else { panic!("{what}: lagged") };
                        match &event.body {
                            EventBody::Rewind { .. } => text = 0,
                            EventBody::Text(delta) => {
                                assert!(delta.offset <= text, "{what}: a gap");
                                text = delta.offset + delta.delta.len() as u64;
                            }
                            body if body.ends_turn() => ends += 1,
                            _ => {}
                        }
                    }
                    assert_eq!(ends, 1, "{what}");
                    if acts.len() > 3 {
                        assert_eq!(text, 3, "{what}");
                    }
                }
            }
        }
    }
    Ok(())
}
