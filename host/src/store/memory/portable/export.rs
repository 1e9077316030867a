//! What the maps hold, as records: what belongs to something comes after it.

use std::collections::HashMap;

use data_encoding::BASE64;

use super::super::State;
use super::super::session::Session;
use crate::store::portable::Written;
use crate::store::{
    CallState, Delivery, Destination, ExportCursor, FactId, Idempotency, KvScope, PortableDestination, Record, Seq,
    SessionKey, SetAsideId, StoreError, Timestamp, TurnId,
};

/// A record that is made when its turn comes; nothing, where it has no JSON.
type Lazy<'a> = Box<dyn FnOnce() -> Option<Record> + 'a>;
type Records<'a> = Box<dyn Iterator<Item = Lazy<'a>> + 'a>;

/// All parts, in the order of their records.
const PARTS: [fn(&State) -> Records<'_>; 16] = [
    sessions,
    messages,
    turns,
    events,
    calls,
    values,
    files,
    channels,
    seen,
    set_aside,
    deliveries,
    pairings,
    facts,
    ledger,
    token_factors,
    counters,
];

/// The next records, up to about so many bytes, and where the ones after them begin: behind so many
/// records of a part.
pub(super) fn page(
    state: &State,
    after: Option<&ExportCursor>,
    bytes: usize,
) -> Result<(Vec<Record>, Option<ExportCursor>), StoreError> {
    let (first, mut behind) = after.map_or(Ok((0, 0)), read)?;
    let (mut records, mut size) = (Vec::new(), Written::default());
    for (part, of_part) in PARTS.iter().enumerate().skip(first) {
        for record in of_part(state).skip(behind) {
            if !records.is_empty() && size.0 >= bytes {
                return Ok((records, Some(ExportCursor(format!("{part}/{behind}").into()))));
            }
            let record = record().ok_or_else(|| corrupt("a record", "it has no JSON".to_owned()))?;
            serde_json::to_writer(&mut size, &record).map_err(|error| corrupt("a record", error.to_string()))?;
            records.push(record);
            behind += 1;
        }
        behind = 0;
    }
    Ok((records, None))
}

fn corrupt(what: &'static str, reason: String) -> StoreError {
    StoreError::Corrupt { what, reason }
}

fn read(cursor: &ExportCursor) -> Result<(usize, usize), StoreError> {
    let place = cursor.0.split_once('/').and_then(|(part, behind)| Some((part.parse().ok()?, behind.parse().ok()?)));
    place.ok_or_else(|| corrupt("a place in an export", format!("`{}` is none", cursor.0)))
}

fn lazy<'a>(record: impl FnOnce() -> Option<Record> + 'a) -> Lazy<'a> {
    Box::new(record)
}

fn sessions(state: &State) -> Records<'_> {
    Box::new(state.sessions.values().map(|session| {
        lazy(|| {
            Some(Record::Session {
                session: session.record.session.clone(),
                created_at: session.record.created_at,
                updated_at: session.record.updated_at,
                turns: session.record.turns,
                next_position: crate::store::Position(session.next_position),
                context_from: session.context_from,
            })
        })
    }))
}

fn messages(state: &State) -> Records<'_> {
    let all = state.sessions.iter().flat_map(|(key, session)| session.messages.iter().map(move |one| (key, one)));
    Box::new(all.map(|(key, message)| lazy(move || Record::message(key, message))))
}

/// A turn, as its record has it.
struct Turn<'a> {
    session: &'a SessionKey,
    turn: TurnId,
    accepted_at: Timestamp,
    open: bool,
    resumes: u32,
    destination: Option<&'a Destination>,
}

/// The turns of a session by their order, and those of which only a key is left before all others.
fn turns_of<'a>(key: &'a SessionKey, session: &'a Session) -> Vec<(Option<u64>, Turn<'a>)> {
    let one = |turn, accepted_at, open, resumes| {
        let destination = None;
        Turn { session: key, turn, accepted_at, open, resumes, destination }
    };
    let mut known = std::collections::HashSet::new();
    let mut turns = Vec::new();
    for ended in &session.ended {
        known.insert(ended.turn);
        turns.push((Some(ended.order), one(ended.turn, ended.accepted_at, false, ended.resumes)));
    }
    for (turn, open) in &session.open {
        known.insert(*turn);
        let turn = one(*turn, open.accepted_at, true, open.resumes);
        turns.push((Some(open.order), Turn { destination: open.destination.as_ref(), ..turn }));
    }
    let keys = session.keys.iter().map(|(_, used)| used).filter(|used| !known.contains(&used.turn));
    turns.extend(keys.map(|used| (None, one(used.turn, used.at, false, 0))));
    turns
}

fn turns(state: &State) -> Records<'_> {
    let mut all: Vec<_> = state.sessions.iter().flat_map(|(key, session)| turns_of(key, session)).collect();
    all.sort_by_key(|(order, turn)| (*order, turn.accepted_at, turn.turn));
    let mut keys = HashMap::new();
    for session in state.sessions.values() {
        keys.extend(session.keys.iter().map(|(key, used)| (used.turn, (key, used.digest))));
    }
    Box::new(all.into_iter().map(move |(_, turn)| {
        let idempotency =
            keys.get(&turn.turn).map(|(key, digest)| Idempotency { key: (*key).clone(), digest: *digest });
        lazy(move || {
            let Turn { session, turn, accepted_at, open, resumes, destination } = turn;
            let destination = destination.map(|Destination { channel, conversation, address }| PortableDestination {
                channel: channel.clone(),
                conversation: conversation.clone(),
                address: BASE64.encode(address),
            });
            Some(Record::Turn { session: session.clone(), turn, accepted_at, open, resumes, idempotency, destination })
        })
    }))
}

fn events(state: &State) -> Records<'_> {
    let of_session = |session: &Session| session.events(None, Seq(0), usize::MAX);
    Box::new(state.sessions.values().flat_map(of_session).map(|event| lazy(move || Record::event(&event))))
}

fn calls(state: &State) -> Records<'_> {
    let open = state.open.values().filter_map(|(key, turn)| {
        let open = state.sessions.get(key)?.open.get(turn)?;
        Some((key, *turn, open))
    });
    let calls = open.flat_map(|(key, turn, open)| open.calls.iter().map(move |call| (key, turn, call)));
    Box::new(calls.map(|(session, turn, (call, state))| {
        lazy(move || {
            let result = match state {
                CallState::Dispatched => None,
                CallState::Answered(result) => Some(result.clone()),
            };
            Some(Record::Call { session: session.clone(), turn, call: call.clone(), result })
        })
    }))
}

fn values(state: &State) -> Records<'_> {
    Box::new(state.key_values.iter().map(|(plugin, scope, key, value)| {
        lazy(move || {
            let (agent, session) = match scope {
                KvScope::Plugin => (None, None),
                KvScope::Agent(agent) => (Some(agent.clone()), None),
                KvScope::Session(session) => (None, Some(session.clone())),
            };
            let (plugin, key, value) = (plugin.to_string(), key.to_string(), BASE64.encode(value.as_bytes()));
            Some(Record::Value { plugin, agent, session, key, value })
        })
    }))
}

fn files(state: &State) -> Records<'_> {
    let all = state.sessions.iter().flat_map(|(key, session)| session.files.iter().map(move |file| (key, file)));
    Box::new(all.flat_map(|(session, (record, pieces))| {
        let id = record.id;
        let file = lazy(move || {
            Some(Record::File {
                session: session.clone(),
                id: id.to_string(),
                name: record.name.as_str().to_owned(),
                mime_type: record.mime_type.as_str().to_owned(),
                plugin: record.plugin.to_string(),
                created_at: record.created_at,
            })
        });
        let pieces = pieces.map(move |(start, piece)| {
            lazy(move || {
                let (session, id) = (session.clone(), id.to_string());
                Some(Record::FilePiece { session, id, start, data: BASE64.encode(piece) })
            })
        });
        std::iter::once(file).chain(pieces)
    }))
}

fn channels(state: &State) -> Records<'_> {
    let states = state.channels.iter().filter_map(|(name, channel)| Some((name, channel.state.as_ref()?)));
    Box::new(states.map(|(channel, state)| {
        lazy(|| Some(Record::Channel { channel: channel.clone(), state: BASE64.encode(state) }))
    }))
}

fn seen(state: &State) -> Records<'_> {
    let seen = state
        .channels
        .iter()
        .flat_map(|(name, channel)| channel.seen().into_iter().map(move |(event, at)| (name, event, at)));
    Box::new(seen.map(|(channel, event, at)| {
        lazy(move || Some(Record::Seen { channel: channel.clone(), event: event.clone(), at }))
    }))
}

fn set_aside(state: &State) -> Records<'_> {
    Box::new(state.set_aside.after(None).map(|one| {
        lazy(|| {
            let (event, reason) = (BASE64.encode(&one.event), one.reason.clone());
            Some(Record::SetAside { id: one.id, channel: one.channel.clone(), event, reason, at: one.at })
        })
    }))
}

fn deliveries(state: &State) -> Records<'_> {
    let record = |delivery: &Delivery| Record::Delivery {
        id: delivery.id,
        session: delivery.session.clone(),
        channel: delivery.channel.clone(),
        conversation: delivery.conversation.clone(),
        content: BASE64.encode(&delivery.content),
        draft: delivery.draft,
        state: delivery.state,
        progress: delivery.progress.as_ref().map(|progress| BASE64.encode(progress)),
        attempts: delivery.attempts,
        due: delivery.due,
        reason: delivery.reason.clone(),
        shown: delivery.shown.clone(),
        receipt: delivery.receipt,
        created_at: delivery.created_at,
    };
    Box::new(state.outbox.in_order().into_iter().map(move |delivery| lazy(move || Some(record(delivery)))))
}

fn pairings(state: &State) -> Records<'_> {
    Box::new(state.pairings.iter().map(|pairing| lazy(|| Some(Record::Pairing { pairing }))))
}

fn facts(state: &State) -> Records<'_> {
    Box::new(state.facts.after(None).map(|fact| lazy(|| Some(Record::Fact { fact: fact.clone() }))))
}

fn ledger(state: &State) -> Records<'_> {
    Box::new(state.ledger.after(None).map(|record| lazy(|| Some(Record::Ledger { entry: record.clone() }))))
}

fn token_factors(state: &State) -> Records<'_> {
    let factors = state.token_factors.values();
    Box::new(factors.map(|factor| lazy(|| Some(Record::TokenFactor { factor: factor.clone() }))))
}

fn counters(state: &State) -> Records<'_> {
    Box::new(std::iter::once(lazy(|| {
        Some(Record::Counters {
            next_seq: Seq(state.next_seq.max(1)),
            next_fact: FactId(state.facts.last().0 + 1),
            next_set_aside: SetAsideId(state.set_aside.last().0 + 1),
        })
    })))
}
