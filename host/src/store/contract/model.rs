//! A store as simple as it can be: lists, searched from end to end. It shares nothing with any engine.

use std::collections::BTreeMap;

use crate::store::*;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) record: SessionRecord,
    pub(super) epoch: Epoch,
    pub(super) messages: Vec<StoredMessage>,
    pub(super) next_position: u64,
    pub(super) context_from: u64,
}

/// A turn of a session that is there.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) session: SessionKey,
    pub(super) turn: TurnId,
    pub(super) accepted_at: Timestamp,
    pub(super) open: bool,
    pub(super) resumes: u32,
    pub(super) events: Vec<Arc<Event>>,
    pub(super) calls: Vec<(String, CallState)>,
    pub(super) key: Option<Idempotency>,
    pub(super) destination: Option<Destination>,
}

#[derive(Debug, Default)]
pub(super) struct Channel {
    pub(super) epoch: Epoch,
    pub(super) state: Option<bytes::Bytes>,
    seen: Vec<(EventId, Timestamp)>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) sessions: BTreeMap<SessionKey, Session>,
    pub(super) turns: Vec<Turn>,
    pub(super) ledger: BTreeMap<ModelCallId, LedgerRecord>,
    pub(super) channels: BTreeMap<String, Channel>,
    /// With `id` as the store gave it.
    pub(super) aside: Vec<SetAside>,
    /// In the order in which they were opened.
    pub(super) deliveries: Vec<(Delivery, Epoch)>,
    pub(super) facts: Vec<Fact>,
    /// In the order in which they asked last.
    pub(super) pairings: Vec<Pairing>,
    pub(super) values: BTreeMap<(KvScope, String), KvValue>,
}

type Answer<T> = Result<T, StoreError>;

fn allow(epoch: Epoch, by: Epoch) -> Answer<()> {
    if epoch < by { Err(StoreError::Superseded { epoch, by }) } else { Ok(()) }
}

impl Model {
    pub(super) fn accept(&mut self, accept: Accept) -> Answer<Accepted> {
        let Accept { session: key, turn, message, destination, begin, idempotency, epoch, now } = accept;
        allow(epoch, self.sessions.get(&key).map_or(Epoch(0), |session| session.epoch))?;
        let record = SessionRecord { session: key.clone(), created_at: now, updated_at: now, messages: 0, turns: 0 };
        let new = Session { record, epoch, messages: Vec::new(), next_position: 0, context_from: 0 };
        let session = self.sessions.entry(key.clone()).or_insert(new);
        session.epoch = epoch;
        if let Some(wanted) = &idempotency {
            let used = self.turns.iter().rev().filter(|turn| turn.session == key).find_map(|turn| {
                let used = turn.key.as_ref().filter(|used| used.key == wanted.key)?;
                (now.since(turn.accepted_at) < IDEMPOTENCY_WINDOW).then_some((turn.turn, used.digest))
            });
            match used {
                Some((turn, digest)) if digest == wanted.digest => return Ok(Accepted::Duplicate(turn)),
                Some(_) => return Ok(Accepted::KeyReused),
                None => {}
            }
        }
        session.record.turns += 1;
        self.turns.push(Turn {
            session: key.clone(),
            turn,
            accepted_at: now,
            open: true,
            resumes: 0,
            events: Vec::new(),
            calls: Vec::new(),
            key: idempotency,
            destination,
        });
        self.add(&key, turn, vec![message], now);
        if let Some(FirstCall { provider, model, estimate, reserved_cost }) = begin {
            let id = ModelCallId { turn, index: 0 };
            let cause = CallCause::Message;
            let call = ModelCall { id, session: key, provider, model, cause, estimate, reserved_cost, at: now };
            self.ledger.insert(id, LedgerRecord { call, end: None });
        }
        Ok(Accepted::New)
    }

    fn add(&mut self, key: &SessionKey, turn: TurnId, messages: Vec<Arc<Message>>, now: Timestamp) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        for message in messages {
            let position = Position(session.next_position);
            session.next_position += 1;
            session.messages.push(StoredMessage { position, turn, at: now, message });
            session.record.messages += 1;
            session.record.updated_at = session.record.updated_at.max(now);
        }
    }

    /// The open turn that a step is of.
    fn may_step(&self, step: &Step) -> Answer<usize> {
        let session = self.sessions.get(&step.session).ok_or(StoreError::NoSession(step.session.clone()))?;
        allow(step.epoch, session.epoch)?;
        let found =
            self.turns.iter().position(|turn| turn.turn == step.turn && turn.session == step.session && turn.open);
        found.ok_or(StoreError::NoTurn(step.turn))
    }

    fn step(&mut self, step: Step) -> Answer<&mut Turn> {
        let index = self.may_step(&step)?;
        if let Some(session) = self.sessions.get_mut(&step.session) {
            session.epoch = step.epoch;
        }
        for block in step.messages.iter().flat_map(|message| &message.blocks) {
            if let Block::ToolResult(result) = block {
                self.turns[index].calls.retain(|(call, _)| *call != result.tool_use_id);
            }
        }
        self.turns[index].events.extend(step.events);
        for entry in step.ledger {
            match entry {
                LedgerEntry::Begin(call) => {
                    self.ledger.entry(call.id).or_insert(LedgerRecord { call, end: None });
                }
                LedgerEntry::Settle(end) => {
                    if let Some(record) = self.ledger.get_mut(&end.id) {
                        record.end.get_or_insert(end);
                    }
                }
            }
        }
        self.add(&step.session, step.turn, step.messages, step.now);
        Ok(&mut self.turns[index])
    }

    pub(super) fn append(&mut self, step: Step) -> Answer<()> {
        self.step(step).map(drop)
    }

    pub(super) fn dispatch(&mut self, dispatch: Dispatch) -> Answer<()> {
        let turn = self.step(dispatch.step)?;
        for call in dispatch.calls {
            if turn.calls.iter().all(|(known, _)| *known != call) {
                turn.calls.push((call, CallState::Dispatched));
            }
        }
        Ok(())
    }

    pub(super) fn answered(&mut self, answered: CallAnswered) -> Answer<()> {
        let CallAnswered { step, result } = answered;
        let turn = self.step(step)?;
        let call = result.tool_use_id.clone();
        match turn.calls.iter_mut().find(|(known, _)| *known == call) {
            Some(known) => known.1 = CallState::Answered(result),
            None => turn.calls.push((call, CallState::Answered(result))),
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, end: TurnEnd) -> Answer<()> {
        self.may_step(&end.step)?;
        for delivery in &end.deliveries {
            self.may_open(delivery)?;
        }
        let turn = self.step(end.step)?;
        (turn.open, turn.calls, turn.destination) = (false, Vec::new(), None);
        end.deliveries.into_iter().try_for_each(|delivery| self.delivery_open(delivery).map(drop))
    }

    pub(super) fn resume(&mut self, resume: &Resume) -> Answer<Option<TurnState>> {
        let Resume { session, turn, epoch } = resume;
        let Some(found) =
            self.turns.iter_mut().find(|found| found.turn == *turn && found.session == *session && found.open)
        else {
            return Ok(None);
        };
        let Some(session) = self.sessions.get_mut(session) else { return Ok(None) };
        allow(*epoch, session.epoch)?;
        session.epoch = *epoch;
        found.resumes += 1;
        let of_turn = || self.ledger.values().filter(|record| record.call.id.turn == *turn);
        Ok(Some(TurnState {
            destination: found.destination.clone(),
            resumes: found.resumes,
            events: found.events.clone(),
            calls: found.calls.clone(),
            unsettled: of_turn().filter(|record| record.end.is_none()).map(|record| record.call.clone()).collect(),
            model_calls: of_turn().count() as u32,
        }))
    }

    pub(super) fn reset(&mut self, key: &SessionKey, now: Timestamp) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        session.context_from = session.next_position;
        session.record.updated_at = session.record.updated_at.max(now);
        true
    }

    pub(super) fn delete(&mut self, key: &SessionKey, epoch: Epoch) -> Answer<bool> {
        let Some(session) = self.sessions.get(key) else { return Ok(false) };
        allow(epoch, session.epoch)?;
        self.sessions.remove(key);
        self.turns.retain(|turn| turn.session != *key);
        self.deliveries.retain(|(delivery, _)| delivery.session.as_ref() != Some(key));
        self.facts.retain(|fact| fact.source.as_ref().is_none_or(|(session, _)| session != key));
        self.values.retain(|(scope, _), _| *scope != KvScope::Session(key.clone()));
        Ok(true)
    }

    pub(super) fn channel_commit(&mut self, commit: ChannelCommit) -> Answer<Vec<IncomingOutcome>> {
        let ChannelCommit { channel: name, epoch, state, incoming, receipts, set_aside, replays, now } = commit;
        allow(epoch, self.channels.get(&name).map_or(Epoch(0), |channel| channel.epoch))?;
        let (mut epochs, mut opened) = (BTreeMap::new(), BTreeMap::new());
        let mut fresh: Vec<&EventId> = Vec::new();
        for one in &incoming {
            let seen = self.channels.get(&name).is_some_and(|channel| channel.has_seen(&one.event, now));
            if seen || fresh.contains(&&one.event) {
                continue;
            }
            fresh.push(&one.event);
            if let Some(accept) = &one.accept {
                let stored = self.sessions.get(&accept.session).map_or(Epoch(0), |session| session.epoch);
                allow(accept.epoch, epochs.insert(accept.session.clone(), accept.epoch).unwrap_or(stored))?;
            }
            for reply in &one.replies {
                match &reply.session {
                    Some(session) if !epochs.contains_key(session) => self.may_open(reply)?,
                    _ => self.may_open(&NewDelivery { session: None, ..reply.clone() })?,
                }
                allow(reply.epoch, opened.insert(reply.id, reply.epoch).unwrap_or_default())?;
            }
        }
        let mut outcomes = Vec::new();
        for one in incoming {
            let channel = self.channels.entry(name.clone()).or_default();
            if channel.has_seen(&one.event, now) {
                outcomes.push(IncomingOutcome::Repeat);
                continue;
            }
            channel.seen.push((one.event, now));
            outcomes.push(match one.accept {
                None => IncomingOutcome::Noted,
                Some(accept) => IncomingOutcome::Accepted(self.accept(accept)?),
            });
            for reply in one.replies {
                self.delivery_open(reply)?;
            }
            if let Some(pairing) = one.pairing {
                self.ask(pairing);
            }
        }
        for receipt in receipts {
            self.receive(&name, receipt);
        }
        self.aside.retain(|aside| Some(aside.id) != replays || aside.channel != name);
        let channel = self.channels.entry(name.clone()).or_default();
        channel.epoch = epoch;
        channel.state = state.or(channel.state.take());
        if let Some(NewSetAside { event, reason }) = set_aside {
            let id = SetAsideId(self.aside.last().map_or(0, |last| last.id.0) + 1);
            self.aside.push(SetAside { id, channel: name, event, reason, at: now });
        }
        Ok(outcomes)
    }

    fn ask(&mut self, new: NewPairing) {
        let NewPairing { writer, name, code, now } = new;
        let waits_under =
            |pairing: &Pairing| matches!(&pairing.state, PairingState::Pending { code: known, .. } if *known == code);
        self.pairings.retain(|pairing| !waits_under(pairing));
        let known = self.pairings.iter().position(|pairing| pairing.writer == writer);
        if let Some(known) = known {
            if matches!(self.pairings[known].state, PairingState::Approved { .. }) {
                return;
            }
            self.pairings.remove(known);
        }
        let state = PairingState::Pending { code, until: now.plus(PAIRING_WINDOW) };
        self.pairings.push(Pairing { writer, name, state });
    }

    /// Those who are there, in the order of writers.
    pub(super) fn pairings(&self, now: Timestamp) -> Vec<Pairing> {
        let there = |pairing: &&Pairing| match pairing.state {
            PairingState::Pending { until, .. } => now < until,
            PairingState::Approved { .. } => true,
        };
        let mut there: Vec<_> = self.pairings.iter().filter(there).cloned().collect();
        there.sort_by_key(|pairing| pairing.writer.clone());
        there
    }

    pub(super) fn approve(&mut self, wanted: &str, now: Timestamp) -> Option<Pairing> {
        let found = self.pairings.iter_mut().find(|pairing| match &pairing.state {
            PairingState::Pending { code, until } => code == wanted && now < *until,
            PairingState::Approved { .. } => false,
        })?;
        found.state = PairingState::Approved { since: now };
        Some(found.clone())
    }

    pub(super) fn unpair(&mut self, writer: &Writer) -> bool {
        let before = self.pairings.len();
        self.pairings.retain(|pairing| pairing.writer != *writer);
        self.pairings.len() < before
    }

    fn receive(&mut self, channel: &str, new: NewReceipt) {
        let named = |delivery: &Delivery| delivery.id.0.to_string() == new.id;
        let shown = |delivery: &Delivery| delivery.shown.contains(&new.id);
        let of_channel = || self.deliveries.iter().map(|(delivery, _)| delivery).filter(|one| one.channel == channel);
        let found = of_channel().find(|one| named(one)).or_else(|| of_channel().rfind(|one| shown(one)));
        let Some(id) = found.map(|delivery| delivery.id) else { return };
        for (delivery, _) in self.deliveries.iter_mut().filter(|(delivery, _)| delivery.id == id) {
            if delivery.receipt.is_none_or(|former| former < new.receipt) {
                delivery.receipt = Some(new.receipt);
                if new.receipt == Receipt::Failed && delivery.state == DeliveryState::Sent {
                    (delivery.state, delivery.reason) = (DeliveryState::Dead, new.reason.clone());
                }
            }
        }
    }

    fn may_open(&self, new: &NewDelivery) -> Answer<()> {
        if let Some(session) = new.session.as_ref().filter(|session| !self.sessions.contains_key(session)) {
            return Err(StoreError::NoSession(session.clone()));
        }
        let by = self.deliveries.iter().find(|(delivery, _)| delivery.id == new.id).map_or(Epoch(0), |(_, by)| *by);
        allow(new.epoch, by)
    }

    pub(super) fn delivery_open(&mut self, new: NewDelivery) -> Answer<bool> {
        self.may_open(&new)?;
        if let Some((delivery, epoch)) = self.deliveries.iter_mut().find(|(delivery, _)| delivery.id == new.id) {
            let open = is_open(delivery) && (delivery.draft || !new.draft);
            if open {
                if delivery.draft && !new.draft {
                    (delivery.attempts, delivery.due, delivery.reason) = (0, new.now, None);
                    if delivery.state != DeliveryState::Sending {
                        delivery.state = DeliveryState::Pending;
                    }
                }
                (delivery.content, delivery.draft, *epoch) = (new.content, new.draft, new.epoch);
            }
            return Ok(open);
        }
        let delivery = Delivery {
            id: new.id,
            session: new.session,
            channel: new.channel,
            conversation: new.conversation,
            content: new.content,
            draft: new.draft,
            state: DeliveryState::Pending,
            progress: None,
            attempts: 0,
            due: new.now,
            reason: None,
            shown: Vec::new(),
            receipt: None,
            created_at: new.now,
        };
        self.deliveries.push((delivery, new.epoch));
        Ok(true)
    }

    pub(super) fn delivery_update(&mut self, update: DeliveryUpdate) -> Answer<bool> {
        let found = self.deliveries.iter_mut().find(|(delivery, _)| delivery.id == update.id);
        let Some((delivery, epoch)) = found else { return Ok(false) };
        allow(update.epoch, *epoch)?;
        *epoch = update.epoch;
        (delivery.state, delivery.progress) = (update.state, update.progress);
        (delivery.attempts, delivery.due, delivery.reason) = (update.attempts, update.due, update.reason);
        delivery.shown = update.shown;
        Ok(true)
    }

    /// The first that is open in each conversation, where it is due.
    pub(super) fn due(&self, channel: &str, now: Timestamp) -> Vec<Delivery> {
        let open = || self.deliveries.iter().map(|(one, _)| one).filter(|one| one.channel == channel && is_open(one));
        let first = open().filter(|one| open().find(|other| other.conversation == one.conversation) == Some(one));
        let mut due: Vec<_> = first.filter(|one| one.due <= now).cloned().collect();
        due.sort_by_key(|one| one.due);
        due
    }

    pub(super) fn kv_set(&mut self, set: KvSet) -> Answer<KvOutcome> {
        if let KvScope::Session(session) = &set.space.scope
            && !self.sessions.contains_key(session)
        {
            return Err(StoreError::NoSession(session.clone()));
        }
        self.values.insert((set.space.scope, set.key.to_string()), set.value);
        Ok(KvOutcome::Set)
    }
}

fn is_open(delivery: &Delivery) -> bool {
    delivery.draft || matches!(delivery.state, DeliveryState::Pending | DeliveryState::Sending)
}

impl Channel {
    pub(super) fn has_seen(&self, event: &EventId, now: Timestamp) -> bool {
        let last = self.seen.iter().rev().find(|(seen, _)| seen == event);
        last.is_some_and(|(_, at)| now.since(*at) < EVENT_WINDOW)
    }
}
