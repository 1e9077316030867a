//! Turns: what is kept of those that are open, and of those that ended.

use std::sync::Arc;

use super::State;
use super::session::Session;
use crate::store::{
    Accept, Accepted, Block, CallState, Destination, Epoch, Event, LedgerEntry, Message, OpenTurn, Resume, Step,
    StoreError, Timestamp, ToolResult, TurnEnd, TurnId, TurnState,
};

use super::MemoryLimits;

/// A turn that is open.
#[derive(Debug)]
pub(super) struct Open {
    /// Where it stands among the turns of all sessions.
    pub(super) order: u64,
    pub(super) accepted_at: Timestamp,
    pub(super) resumes: u32,
    pub(super) events: Vec<Arc<Event>>,
    /// Calls of tools whose results are in no message yet, in the order of their dispatch.
    pub(super) calls: Vec<(String, CallState)>,
    /// How many calls of models it began.
    pub(super) model_calls: u32,
    pub(super) destination: Option<Destination>,
}

/// A turn that ended, and can be replayed.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) turn: TurnId,
    pub(super) order: u64,
    pub(super) accepted_at: Timestamp,
    pub(super) resumes: u32,
    pub(super) events: Vec<Arc<Event>>,
}

impl Open {
    pub(super) fn new(order: u64, accepted_at: Timestamp) -> Self {
        let (events, calls) = (Vec::new(), Vec::new());
        Self { order, accepted_at, resumes: 0, events, calls, model_calls: 0, destination: None }
    }

    /// Takes in what a step adds, but for its messages.
    fn take(&mut self, turn: TurnId, messages: &[Arc<Message>], events: Vec<Arc<Event>>, ledger: &[LedgerEntry]) {
        self.events.extend(events);
        for entry in ledger {
            if let LedgerEntry::Begin(call) = entry
                && call.id.turn == turn
            {
                self.model_calls = self.model_calls.max(call.id.index.saturating_add(1));
            }
        }
        for block in messages.iter().flat_map(|message| &message.blocks) {
            if let Block::ToolResult(result) = block {
                self.calls.retain(|(call, _)| *call != result.tool_use_id);
            }
        }
    }

    /// A call may run from now on.
    pub(super) fn dispatch(&mut self, call: String) {
        if !self.calls.iter().any(|(known, _)| *known == call) {
            self.calls.push((call, CallState::Dispatched));
        }
    }

    /// A call has its result.
    fn answer(&mut self, result: ToolResult) {
        match self.calls.iter_mut().find(|(call, _)| *call == result.tool_use_id) {
            Some((_, state)) => *state = CallState::Answered(result),
            None => self.calls.push((result.tool_use_id.clone(), CallState::Answered(result))),
        }
    }
}

impl Session {
    /// Whether an owner may add to a turn.
    fn allows_step(&self, turn: TurnId, epoch: Epoch) -> Result<(), StoreError> {
        self.allows(epoch)?;
        if self.open.contains_key(&turn) { Ok(()) } else { Err(StoreError::NoTurn(turn)) }
    }

    /// Forgets the oldest turns that ended, beyond `limit`.
    pub(super) fn forget_turns(&mut self, limit: usize) {
        while self.ended.len() > limit {
            self.ended.pop_front();
        }
    }

    /// Takes in an event of a turn that is known, unless it is there.
    pub(super) fn insert_event(&mut self, event: Event) {
        let ended = self.ended.iter_mut().find(|ended| ended.turn == event.turn).map(|ended| &mut ended.events);
        let events = ended.or_else(|| self.open.get_mut(&event.turn).map(|open| &mut open.events));
        if let Some(events) = events
            && let Err(place) = events.binary_search_by_key(&event.seq, |event| event.seq)
        {
            events.insert(place, Arc::new(event));
        }
    }

    /// Where a turn stands among the turns of all sessions.
    pub(super) fn order(&self, turn: TurnId) -> Option<u64> {
        let ended = || self.ended.iter().find(|ended| ended.turn == turn).map(|ended| ended.order);
        self.open.get(&turn).map(|open| open.order).or_else(ended)
    }
}

impl State {
    /// Stores a message and opens its turn.
    pub(super) fn accept(&mut self, accept: Accept, limits: MemoryLimits) -> Result<Accepted, StoreError> {
        accept.check()?;
        let first_call = accept.first_call();
        let Accept { session: key, turn, message, destination, begin: _, idempotency, epoch, now } = accept;
        if let Some(session) = self.sessions.get(&key) {
            session.allows(epoch)?;
        }
        let order = self.next_turn;
        let session = self.touch(&key, now, limits.sessions)?;
        session.epoch = epoch;
        session.keys.forget(now, limits.keys.saturating_sub(1));
        if let Some(idempotency) = idempotency {
            if let Some(earlier) = session.keys.repeated(&idempotency, now) {
                return Ok(earlier);
            }
            session.keys.insert(idempotency, turn, now);
        }
        let model_calls = u32::from(first_call.is_some());
        session.open.insert(turn, Open { destination, model_calls, ..Open::new(order, now) });
        session.record.turns += 1;
        session.add(turn, vec![message], now, limits.messages);
        self.next_turn += 1;
        self.open.insert(order, (key, turn));
        if let Some(call) = first_call {
            self.ledger.apply(LedgerEntry::Begin(call));
        }
        Ok(Accepted::New)
    }

    /// Stores what an open turn did, and hands it out for more.
    pub(super) fn step(&mut self, step: Step, limits: MemoryLimits) -> Result<&mut Open, StoreError> {
        let Step { session, turn, messages, events, ledger, epoch, now } = step;
        let session = self.sessions.get_mut(&session).ok_or(StoreError::NoSession(session))?;
        session.allows(epoch)?;
        let Some(open) = session.open.get_mut(&turn) else { return Err(StoreError::NoTurn(turn)) };
        open.take(turn, &messages, events, &ledger);
        session.epoch = epoch;
        session.add(turn, messages, now, limits.messages);
        for entry in ledger {
            self.ledger.apply(entry);
        }
        session.open.get_mut(&turn).ok_or(StoreError::NoTurn(turn))
    }

    /// Ends a turn.
    pub(super) fn finish(&mut self, end: TurnEnd, limits: MemoryLimits) -> Result<(), StoreError> {
        let (key, turn) = (end.step.session.clone(), end.step.turn);
        self.existing(&key)?.allows_step(turn, end.step.epoch)?;
        for delivery in &end.deliveries {
            self.may_open(delivery)?;
        }
        self.step(end.step, limits)?;
        for delivery in end.deliveries {
            self.outbox.open(delivery);
        }
        let session = self.existing(&key)?;
        if let Some(Open { order, accepted_at, resumes, events, .. }) = session.open.remove(&turn) {
            session.ended.push_back(Ended { turn, order, accepted_at, resumes, events });
            session.forget_turns(limits.turns);
            self.open.remove(&order);
        }
        Ok(())
    }

    /// A page of the turns that are open.
    pub(super) fn open_turns(&self, after: Option<&OpenTurn>, limit: usize) -> Vec<OpenTurn> {
        let order = |after: &OpenTurn| self.sessions.get(&after.session)?.order(after.turn);
        let found = |(session, turn): &(_, _)| {
            let accepted_at = self.sessions.get(session)?.open.get(turn)?.accepted_at;
            Some(OpenTurn { session: Clone::clone(session), turn: *turn, accepted_at })
        };
        match after.map(|after| (after, order(after))) {
            None => self.open.values().filter_map(found).take(limit).collect(),
            Some((_, Some(order))) => {
                self.open.range(order + 1..).filter_map(|(_, open)| found(open)).take(limit).collect()
            }
            // It is forgotten with its session. Rather one turn twice than one not at all.
            Some((after, None)) => {
                let later = self.open.values().filter_map(found).filter(|open| open.accepted_at >= after.accepted_at);
                later.take(limit).collect()
            }
        }
    }

    /// Takes a turn up again.
    pub(super) fn resume(&mut self, resume: &Resume) -> Result<Option<TurnState>, StoreError> {
        let Resume { session, turn, epoch } = resume;
        let Some(session) = self.sessions.get_mut(session) else { return Ok(None) };
        if !session.open.contains_key(turn) {
            return Ok(None);
        }
        session.allows(*epoch)?;
        let Some(open) = session.open.get_mut(turn) else { return Ok(None) };
        session.epoch = *epoch;
        open.resumes = open.resumes.saturating_add(1);
        Ok(Some(TurnState {
            destination: open.destination.clone(),
            resumes: open.resumes,
            events: open.events.clone(),
            calls: open.calls.clone(),
            unsettled: self.ledger.unsettled(*turn),
            // Of an imported turn, only the ledger knows.
            model_calls: open.model_calls.max(self.ledger.begun(*turn)),
        }))
    }

    /// Answers a call of an open turn.
    pub(super) fn answer(&mut self, step: Step, result: ToolResult, limits: MemoryLimits) -> Result<(), StoreError> {
        self.step(step, limits).map(|open| open.answer(result))
    }
}
