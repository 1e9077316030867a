//! Numbers, keeps and spreads the events of one session.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::hub::Inner;
use super::log::TurnLog;
use crate::store::{Event, EventBody, Seq, SessionKey, StoreError, TurnId};

/// Sequence numbers that a session takes at once. One that falls idle skips what is left of them.
const SEQ_BLOCK: u64 = 256;

/// When fewer are left, a new message sets aside more before it is announced.
const SEQ_RESERVE: u64 = 16;

/// The events of one session. Exists while someone holds it: its lane, or a watcher.
pub struct Topic {
    session: SessionKey,
    hub: Arc<Inner>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The next sequence number, and where those that were set aside end.
    next: u64,
    end: u64,
    open: Vec<(TurnId, TurnLog)>,
    watchers: Vec<mpsc::Sender<Arc<Event>>>,
    /// A turn's last event has its number but is not stored yet: later ones wait, so that no
    /// watcher sees a number before a lower one.
    ending: bool,
    waiting: VecDeque<(TurnId, EventBody)>,
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let mut topics = self.hub.topics();
        // Another may have taken its place since the last holder let go.
        if topics.get(&self.session).is_some_and(|topic| topic.strong_count() == 0) {
            topics.remove(&self.session);
        }
    }
}

impl Topic {
    pub(super) fn new(session: SessionKey, hub: Arc<Inner>) -> Self {
        Self { session, hub, state: Mutex::default() }
    }

    /// Hands `watcher` all events from now on, and returns those so far of the turns that are open.
    pub(super) fn watch(&self, watcher: mpsc::Sender<Arc<Event>>) -> Vec<Arc<Event>> {
        let mut state = self.state();
        let mut open: Vec<_> = state.open.iter().flat_map(|(_, log)| log.events()).cloned().collect();
        open.sort_by_key(|event| event.seq);
        state.watchers.retain(|watcher| !watcher.is_closed());
        state.watchers.push(watcher);
        open
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for [`Topic::announce`].
    ///
    /// # Errors
    /// The store could not set numbers aside.
    pub async fn reserve(&self) -> Result<(), StoreError> {
        if self.state().left() < SEQ_RESERVE { self.refill(SEQ_RESERVE).await } else { Ok(()) }
    }

    /// Opens a turn and tells of its first event, at once: after this call every watcher that
    /// attaches finds the turn.
    pub fn announce(&self, turn: TurnId, body: EventBody) {
        let mut state = self.state();
        state.open.push((turn, TurnLog::default()));
        // Without a number left, the event goes before the next that is published.
        state.waiting.push_back((turn, body));
        state.flush(&self.session);
    }

    /// Tells of an event of an open turn.
    ///
    /// # Errors
    /// The store could not set numbers aside. The event waits for one ([`Topic::catch_up`]).
    pub async fn publish(&self, turn: TurnId, body: EventBody) -> Result<(), StoreError> {
        {
            let mut state = self.state();
            state.waiting.push_back((turn, body));
            if state.flush(&self.session) {
                return Ok(());
            }
        }
        self.catch_up().await
    }

    /// Tells of the events that wait for a number.
    ///
    /// # Errors
    /// As [`Topic::publish`].
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        while !self.state().flush(&self.session) {
            self.refill(1).await?;
        }
        Ok(())
    }

    /// The turn's events that are not stored yet, in order. They are given out again until
    /// [`Topic::stored`] says that they are.
    #[must_use]
    pub fn unstored(&self, turn: TurnId) -> Vec<Arc<Event>> {
        self.state().log(turn).map_or_else(Vec::new, TurnLog::give_unstored)
    }

    /// The turn's events up to `last` are stored.
    pub fn stored(&self, turn: TurnId, last: Seq) {
        if let Some(log) = self.state().log(turn) {
            log.stored(last);
        }
    }

    /// Opens a turn again whose events so far are in the store: whoever attaches finds it whole.
    /// What was told of it since is forgotten.
    pub fn reopen(&self, turn: TurnId, events: &[Arc<Event>]) {
        let mut state = self.state();
        state.forget(turn);
        state.open.push((turn, TurnLog::of_stored(events)));
        state.flush(&self.session);
    }

    /// Forgets an open turn and tells nobody.
    pub fn leave(&self, turn: TurnId) {
        let mut state = self.state();
        state.forget(turn);
        state.flush(&self.session);
    }

    /// Tells those who watch now of something that is shown and not kept: it has a number of its
    /// own, but no replay and no late watcher sees it. It is left out where it would be in the way:
    /// for a watcher whose queue is half full, for all while earlier events wait or the turn ends.
    pub async fn show(&self, turn: TurnId, body: EventBody) {
        if self.reserve().await.is_ok() {
            self.state().show(&self.session, turn, body);
        }
    }

    /// Gives a turn's last event its number and returns the turn's events that are not stored yet,
    /// this one the last of them. They are to be stored before [`Topic::ended`] tells of the end.
    ///
    /// # Errors
    /// The store could not set numbers aside.
    pub async fn end(&self, turn: TurnId, body: EventBody) -> Result<Vec<Arc<Event>>, StoreError> {
        loop {
            {
                let mut state = self.state();
                if state.flush(&self.session) && state.left() > 0 {
                    let last = state.number(&self.session, turn, body);
                    state.ending = true;
                    // Not into the log: whoever attaches meanwhile would be told of an end that is not stored.
                    let mut unstored = state.log(turn).map_or_else(Vec::new, TurnLog::give_unstored);
                    unstored.push(last);
                    return Ok(unstored);
                }
            }
            self.refill(1).await?;
        }
    }

    /// Tells of the end of a turn, `last`, and forgets the turn.
    pub fn ended(&self, turn: TurnId, last: &Arc<Event>) {
        let mut state = self.state();
        state.open.retain(|(open, _)| *open != turn);
        state.send(last);
        state.ending = false;
        state.flush(&self.session);
    }

    /// Ends a turn of which nothing could be stored: those who watch are told, and no replay will
    /// show it.
    pub fn abandon(&self, turn: TurnId, body: EventBody) {
        let mut state = self.state();
        state.forget(turn);
        state.waiting.push_back((turn, body));
        if !state.flush(&self.session) {
            // Not even a number for the news: let the watchers go, so that they ask again.
            state.watchers.clear();
        }
    }

    async fn refill(&self, least: u64) -> Result<(), StoreError> {
        let first = self.hub.numbers(SEQ_BLOCK).await?;
        let mut state = self.state();
        // Another task may have refilled meanwhile; numbers must not go back.
        if state.left() < least && first >= state.end {
            state.next = first;
            state.end = first.saturating_add(SEQ_BLOCK);
        }
        Ok(())
    }
}

impl State {
    fn log(&mut self, turn: TurnId) -> Option<&mut TurnLog> {
        self.open.iter_mut().find(|(open, _)| *open == turn).map(|(_, log)| log)
    }

    /// Forgets a turn of the lane's: only the one that runs can be at its end.
    fn forget(&mut self, turn: TurnId) {
        self.ending = false;
        self.open.retain(|(open, _)| *open != turn);
        self.waiting.retain(|(waiting, _)| *waiting != turn);
    }

    fn left(&self) -> u64 {
        self.end - self.next
    }

    fn number(&mut self, session: &SessionKey, turn: TurnId, body: EventBody) -> Arc<Event> {
        let seq = Seq(self.next);
        self.next += 1;
        Arc::new(Event { turn, session: session.clone(), seq, body })
    }

    /// Sends what waits, in order. Says whether nothing is left for want of a number.
    fn flush(&mut self, session: &SessionKey) -> bool {
        while !self.ending && self.left() > 0 {
            let Some((turn, body)) = self.waiting.pop_front() else { break };
            let event = self.number(session, turn, body);
            if let Some(log) = self.log(turn) {
                log.push(&event);
            }
            self.send(&event);
        }
        self.ending || self.waiting.is_empty()
    }

    fn show(&mut self, session: &SessionKey, turn: TurnId, body: EventBody) {
        let open = self.open.iter().any(|(open, _)| *open == turn);
        if !open || self.ending || !self.waiting.is_empty() || self.watchers.is_empty() || self.left() == 0 {
            return;
        }
        let event = self.number(session, turn, body);
        // Whoever is behind misses this and nothing else.
        for watcher in self.watchers.iter().filter(|watcher| watcher.capacity() > watcher.max_capacity() / 2) {
            let _ = watcher.try_send(Arc::clone(&event));
        }
    }

    fn send(&mut self, event: &Arc<Event>) {
        // A full queue ends the watcher's subscription; nobody waits for it.
        self.watchers.retain(|watcher| watcher.try_send(Arc::clone(event)).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Hub, Live};
    use crate::store::{Delta, DoneReason, MemoryLimits, MemoryStore, Timestamp};

    type Result = std::result::Result<(), Box<dyn std::error::Error>>;

    fn hub(queue: usize) -> Hub {
        Hub::new(Arc::new(MemoryStore::new(MemoryLimits::default())), queue)
    }

    fn session() -> SessionKey {
        "a:b:c:d".parse().expect("a key")
    }

    fn turn(n: u64) -> TurnId {
        TurnId::new(Timestamp(n), n)
    }

    fn text(offset: u64) -> EventBody {
        EventBody::Text(Delta { delta: "x".into(), step: 0, offset })
    }

    fn progress(done: u64) -> EventBody {
        EventBody::Progress { tool_use_id: "t".into(), message: "works".into(), done, total: None }
    }

    fn done() -> EventBody {
        EventBody::Done { stop_reason: DoneReason::EndTurn, text: String::new() }
    }

    fn drain(live: &mut Live) -> Vec<u64> {
        std::iter::from_fn(|| live.try_recv()).map(|event| event.seq.0).collect()
    }

    #[tokio::test]
    async fn numbers_rise_without_repeat_over_many_blocks_and_lives_of_a_topic() -> Result {
        let hub = hub(10_000);
        let mut seen = Vec::new();
        for life in 0..3 {
            let mut watcher = hub.attach(&session());
            let topic = hub.topic(&session());
            topic.reserve().await?;
            topic.announce(turn(life), EventBody::Queued);
            for offset in 0..SEQ_BLOCK * 2 {
                topic.publish(turn(life), text(offset)).await?;
            }
            seen.extend(drain(&mut watcher.live));
        }
        assert_eq!(hub.topics(), 0);
        assert_eq!(seen.len() as u64, 3 * (2 * SEQ_BLOCK + 1));
        assert!(seen.is_sorted_by(|one, two| one < two));
        Ok(())
    }

    #[tokio::test]
    async fn what_happens_while_an_end_is_being_stored_is_told_after_it() -> Result {
        let hub = hub(16);
        let mut watcher = hub.attach(&session());
        let topic = hub.topic(&session());
        topic.reserve().await?;
        topic.announce(turn(1), EventBody::Started);
        let events = topic.end(turn(1), done()).await?;
        topic.announce(turn(2), EventBody::Queued);
        assert_eq!(drain(&mut watcher.live), [1], "the end and what follows wait for the store");
        let last = events.last().ok_or("no events")?;
        topic.ended(turn(1), last);
        assert_eq!(drain(&mut watcher.live), [2, 3]);
        assert_eq!(events.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn a_late_watcher_finds_the_open_turn_and_nothing_of_ended_ones() -> Result {
        let hub = hub(16);
        let topic = hub.topic(&session());
        topic.reserve().await?;
        for n in 1..=2 {
            topic.announce(turn(n), EventBody::Queued);
            topic.publish(turn(n), text(0)).await?;
            topic.publish(turn(n), text(1)).await?;
        }
        let events = topic.end(turn(1), done()).await?;
        topic.ended(turn(1), events.last().ok_or("no events")?);
        let late = hub.attach(&session());
        assert!(late.open.iter().all(|event| event.turn == turn(2)));
        assert_eq!(late.open.len(), 2, "the two deltas are one");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_only_shown_reaches_those_who_watch_and_nobody_later() -> Result {
        let hub = hub(16);
        let mut watcher = hub.attach(&session());
        let topic = hub.topic(&session());
        topic.reserve().await?;
        topic.announce(turn(1), EventBody::Queued);
        // More than the numbers of one block.
        for done in 0..2 * SEQ_BLOCK {
            topic.show(turn(1), progress(done)).await;
            assert_eq!(drain(&mut watcher.live).len(), if done == 0 { 2 } else { 1 });
        }
        topic.publish(turn(1), text(0)).await?;
        let late = hub.attach(&session());
        assert!(late.open.iter().all(|event| !matches!(event.body, EventBody::Progress { .. })));
        assert_eq!(late.open.len(), 2);
        let events = topic.end(turn(1), done()).await?;
        topic.show(turn(1), progress(0)).await;
        topic.ended(turn(1), events.last().ok_or("no events")?);
        topic.show(turn(1), progress(0)).await;
        let seen = drain(&mut watcher.live);
        assert_eq!((seen.len(), events.len()), (2, 3), "nothing is shown of a turn that ends");
        assert!(seen.is_sorted_by(|one, two| one < two));
        Ok(())
    }

    #[tokio::test]
    async fn nobody_falls_behind_for_what_is_only_shown() -> Result {
        let hub = hub(8);
        let mut slow = hub.attach(&session());
        let topic = hub.topic(&session());
        topic.reserve().await?;
        topic.announce(turn(1), EventBody::Queued);
        for done in 0..1_000 {
            topic.show(turn(1), progress(done)).await;
        }
        for offset in 0..4 {
            topic.publish(turn(1), text(offset)).await?;
        }
        let (mut texts, mut shown) = (0, 0);
        while let Some(event) = slow.live.try_recv() {
            match event.body {
                EventBody::Text(_) => texts += 1,
                EventBody::Progress { .. } => shown += 1,
                _ => {}
            }
        }
        assert_eq!((texts, shown), (4, 3));
        Ok(())
    }

    #[tokio::test]
    async fn whoever_attaches_while_an_end_is_being_stored_is_told_of_it_once_it_is() -> Result {
        let hub = hub(16);
        let topic = hub.topic(&session());
        topic.reserve().await?;
        topic.announce(turn(1), EventBody::Queued);
        let stored = topic.end(turn(1), done()).await?;
        assert_eq!(stored.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [1, 2]);
        let mut late = hub.attach(&session());
        assert_eq!(late.open.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [1], "it may never be stored");
        assert!(late.live.try_recv().is_none());
        topic.ended(turn(1), &stored[1]);
        assert_eq!(drain(&mut late.live), [2]);
        assert!(hub.attach(&session()).open.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_watcher_that_falls_behind_is_let_go_and_the_others_miss_nothing() -> Result {
        let hub = hub(4);
        let (mut slow, mut quick) = (hub.attach(&session()), hub.attach(&session()));
        let topic = hub.topic(&session());
        topic.reserve().await?;
        topic.announce(turn(1), EventBody::Queued);
        let mut seen = drain(&mut quick.live);
        for offset in 0..8 {
            topic.publish(turn(1), text(offset)).await?;
            seen.extend(drain(&mut quick.live));
        }
        assert_eq!(seen, (1..=9).collect::<Vec<_>>());
        let mut got = Vec::new();
        while let Some(event) = slow.live.recv().await {
            got.push(event.seq.0);
        }
        assert_eq!(got, [1, 2, 3, 4], "it gets what its queue held, and then the end");
        Ok(())
    }
}
