//! Records in maps. What is there already stays as it is.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::str::FromStr;

use data_encoding::BASE64;

use super::super::turns::{Ended, Open};
use super::super::{MemoryLimits, State};
use crate::config::PluginName;
use crate::store::{
    CallState, Delivery, Destination, Epoch, Event, FileId, FileRecord, KvKey, KvScope, KvSpace, KvValue, MAX_ADDRESS,
    MAX_CHANNEL_STATE, MAX_FACT, MAX_SET_ASIDE, PortableDestination, Record, SessionKey, SetAside, SetAsideId,
    StoreError, StoredMessage,
};

/// What a record does. Nothing of it fails, since it was looked at before.
type Change = Box<dyn FnOnce(&mut State, MemoryLimits)>;

/// Stores records: all of them, or none.
pub(super) fn all(state: &mut State, records: Vec<Record>, limits: MemoryLimits) -> Result<(), StoreError> {
    let mut known = Known { state, new: HashSet::new(), files: HashMap::new(), limits };
    let changes = records.into_iter().map(|record| known.look_at(record)).collect::<Result<Vec<_>, _>>()?;
    for change in changes {
        change(state, limits);
    }
    Ok(())
}

fn bad(what: &'static str, reason: impl Display) -> StoreError {
    StoreError::BadRecord { what, reason: reason.to_string() }
}

fn parse<T: FromStr<Err: Display>>(what: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| bad(what, error))
}

fn json<T: serde::de::DeserializeOwned>(
    what: &'static str,
    json: &serde_json::value::RawValue,
) -> Result<T, StoreError> {
    serde_json::from_str(json.get()).map_err(|error| bad(what, error))
}

fn bytes(what: &'static str, text: &str, limit: usize) -> Result<Vec<u8>, StoreError> {
    let bytes = BASE64.decode(text.as_bytes()).map_err(|error| bad(what, error))?;
    if bytes.len() > limit { Err(StoreError::TooLarge { what, limit }) } else { Ok(bytes) }
}

fn address_of(destination: PortableDestination) -> Result<Destination, StoreError> {
    let PortableDestination { channel, conversation, address } = destination;
    let address = bytes("the address of an answer", &address, MAX_ADDRESS)?.into();
    Ok(Destination { channel, conversation, address })
}

/// What is there, with what the records before add.
struct Known<'a> {
    state: &'a State,
    new: HashSet<SessionKey>,
    /// How long files are.
    files: HashMap<(SessionKey, FileId), u64>,
    limits: MemoryLimits,
}

impl Known<'_> {
    fn session(&self, session: &SessionKey) -> Result<(), StoreError> {
        let known = self.state.sessions.contains_key(session) || self.new.contains(session);
        if known { Ok(()) } else { Err(StoreError::NoSession(session.clone())) }
    }

    fn file(&mut self, session: &SessionKey, id: FileId) -> Option<&mut u64> {
        let there = self.state.sessions.get(session).and_then(|session| session.files.length(&id));
        match self.files.entry((session.clone(), id)) {
            std::collections::hash_map::Entry::Occupied(length) => Some(length.into_mut()),
            std::collections::hash_map::Entry::Vacant(room) => there.map(|length| room.insert(length)),
        }
    }

    /// What a record does.
    ///
    /// # Errors
    /// It cannot be stored.
    fn look_at(&mut self, record: Record) -> Result<Change, StoreError> {
        Ok(match record {
            Record::Session { session, created_at, updated_at, turns, next_position, context_from } => {
                if !self.state.sessions.contains_key(&session) {
                    self.new.insert(session.clone());
                }
                // Nothing is evicted: it may have been imported before.
                if !self.new.is_empty() && self.state.sessions.len() + self.new.len() > self.limits.sessions {
                    return Err(StoreError::Full { limit: self.limits.sessions });
                }
                Box::new(move |state, limits| {
                    if state.sessions.contains_key(&session) {
                        return;
                    }
                    if let Ok(new) = state.touch(&session, created_at, limits.sessions) {
                        (new.record.updated_at, new.record.turns) = (updated_at, turns);
                        (new.next_position, new.context_from) = (next_position.0, context_from);
                    }
                })
            }
            Record::Message { session, message } => {
                self.session(&session)?;
                let message: StoredMessage = json("a message", &message)?;
                Box::new(move |state, limits| {
                    if let Ok(session) = state.existing(&session) {
                        session.insert(message, limits.messages);
                    }
                })
            }
            Record::Turn { session, turn, accepted_at, open, resumes, idempotency, destination } => {
                self.session(&session)?;
                let destination = destination.map(address_of).transpose()?;
                Box::new(move |state, limits| {
                    let order = state.next_turn;
                    let Ok(found) = state.existing(&session) else { return };
                    if found.order(turn).is_some() {
                        return;
                    }
                    if let Some(idempotency) = idempotency.filter(|one| !found.keys.contains(&one.key)) {
                        found.keys.insert(idempotency, turn, accepted_at);
                    }
                    if open {
                        found.open.insert(turn, Open { resumes, destination, ..Open::new(order, accepted_at) });
                        state.open.insert(order, (session, turn));
                    } else {
                        found.ended.push_back(Ended { turn, order, accepted_at, resumes, events: Vec::new() });
                        found.forget_turns(limits.turns);
                    }
                    state.next_turn += 1;
                })
            }
            Record::Event { event } => {
                let event: Event = json("an event", &event)?;
                self.session(&event.session)?;
                Box::new(move |state, _| {
                    if let Ok(session) = state.existing(&event.session.clone()) {
                        session.insert_event(event);
                    }
                })
            }
            Record::Call { session, turn, call, result } => {
                self.session(&session)?;
                Box::new(move |state, _| {
                    let found = state.sessions.get_mut(&session).and_then(|session| session.open.get_mut(&turn));
                    if let Some(open) = found.filter(|open| !open.calls.iter().any(|(known, _)| *known == call)) {
                        open.calls.push((call, result.map_or(CallState::Dispatched, CallState::Answered)));
                    }
                })
            }
            Record::Ledger { entry } => {
                if entry.end.as_ref().is_some_and(|end| end.id != entry.call.id) {
                    return Err(bad("a record of the ledger", "it ends another call than it begins"));
                }
                Box::new(move |state, _| state.ledger.insert(entry))
            }
            Record::TokenFactor { factor } => Box::new(move |state, _| {
                let known = (factor.provider.clone(), factor.model.clone());
                state.token_factors.entry(known).or_insert(factor);
            }),
            Record::Value { plugin, agent, session, key, value } => {
                let scope = match (agent, session) {
                    (None, None) => KvScope::Plugin,
                    (Some(agent), None) => KvScope::Agent(agent),
                    (None, Some(session)) => self.session(&session).map(|()| KvScope::Session(session))?,
                    (Some(_), Some(_)) => {
                        return Err(bad("a plugin's value", "it is both an agent's and a session's"));
                    }
                };
                let plugin: PluginName = parse("a plugin's name", &plugin)?;
                let key: KvKey = parse("a plugin's key", &key)?;
                let value = bytes("a plugin's value", &value, usize::MAX)?;
                let value: KvValue = value.try_into().map_err(|error| bad("a plugin's value", error))?;
                Box::new(move |state, _| state.key_values.insert(KvSpace { plugin, scope }, key, value))
            }
            Record::File { session, id, name, mime_type, plugin, created_at } => {
                self.session(&session)?;
                let id: FileId = parse("a file's id", &id)?;
                let (name, mime_type) = (parse("a file's name", &name)?, parse("a file's media type", &mime_type)?);
                let plugin = parse("the name of a file's plugin", &plugin)?;
                if self.file(&session, id).is_none() {
                    self.files.insert((session.clone(), id), 0);
                }
                let file = FileRecord { id, name, mime_type, size: 0, plugin, created_at };
                Box::new(move |state, _| state.put_file(&session, file))
            }
            Record::FilePiece { session, id, start, data } => {
                self.session(&session)?;
                let (id, data) = (parse("a file's id", &id)?, bytes("a piece of a file", &data, usize::MAX)?);
                let length = self.file(&session, id);
                let length = length.ok_or_else(|| bad("a piece of a file", format!("there is no file `{id}`")))?;
                let Some(there) = length.checked_sub(start) else {
                    let reason = format!("it begins at {start}, and what is there ends at {length}");
                    return Err(bad("a piece of a file", reason));
                };
                *length = (*length).max(start.saturating_add(data.len() as u64));
                Box::new(move |state, _| {
                    if let Some(new) = usize::try_from(there).ok().and_then(|there| data.get(there..)) {
                        state.extend_file(&session, &id, new);
                    }
                })
            }
            Record::Channel { channel, state } => {
                let kept = bytes("the state of a channel", &state, MAX_CHANNEL_STATE)?;
                Box::new(move |state, _| {
                    state.channels.entry(channel).or_default().state.get_or_insert(kept.into());
                })
            }
            Record::Seen { channel, event, at } => Box::new(move |state, _| {
                let channel = state.channels.entry(channel).or_default();
                if !channel.remembers(&event) {
                    channel.see(event, at);
                }
            }),
            Record::SetAside { id, channel, event, reason, at } => {
                let event = bytes("an event that is set aside", &event, MAX_SET_ASIDE)?.into();
                Box::new(move |state, _| state.set_aside.insert(SetAside { id, channel, event, reason, at }))
            }
            Record::Delivery {
                id,
                session,
                channel,
                conversation,
                content,
                draft,
                state,
                progress,
                attempts,
                due,
                reason,
                shown,
                receipt,
                created_at,
            } => {
                session.as_ref().map_or(Ok(()), |session| self.session(session))?;
                let content = bytes("the content of a delivery", &content, usize::MAX)?.into();
                let progress = progress.map(|progress| bytes("the progress of a delivery", &progress, usize::MAX));
                let progress = progress.transpose()?.map(Into::into);
                let delivery = Delivery {
                    id,
                    session,
                    channel,
                    conversation,
                    content,
                    draft,
                    state,
                    progress,
                    attempts,
                    due,
                    reason,
                    shown,
                    receipt,
                    created_at,
                };
                Box::new(move |state, _| state.outbox.insert(delivery, Epoch(0)))
            }
            Record::Pairing { pairing } => Box::new(move |state, _| state.pairings.insert(pairing)),
            Record::Fact { fact } => {
                if fact.text.len() > MAX_FACT {
                    return Err(StoreError::TooLarge { what: "a fact", limit: MAX_FACT });
                }
                if let Some((session, _)) = &fact.source {
                    self.session(session)?;
                }
                Box::new(move |state, _| state.facts.insert(fact))
            }
            Record::Counters { next_seq, next_fact, next_set_aside } => Box::new(move |state, _| {
                state.next_seq = state.next_seq.max(next_seq.0);
                state.facts.skip_to(crate::store::FactId(next_fact.0.saturating_sub(1)));
                state.set_aside.skip_to(SetAsideId(next_set_aside.0.saturating_sub(1)));
            }),
        })
    }
}
