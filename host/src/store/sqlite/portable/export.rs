//! Rows as records, table by table: what belongs to something comes after it.

use data_encoding::BASE64;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::cells::{corrupt, from_json, number, parse, small};
use super::super::counters::{self, Counter};
use super::super::error::SqlResult;
use super::super::ledger::{self, LedgerRow};
use super::super::messages::MessageRow;
use super::super::{events, factors, outbox, pairings, recall};
use crate::store::portable::Written;
use crate::store::{
    EventId, ExportCursor, FactId, Idempotency, PortableDestination, Position, Record, Seq, SessionKey, SetAsideId,
    Timestamp,
};

/// A table.
struct Part {
    /// Its name, as a cursor has it.
    name: &'static str,
    /// Its rows behind a place, in order. The last two columns are the place of a row.
    sql: fn() -> String,
    read: fn(&Row<'_>) -> SqlResult<Record>,
}

/// Before every row: numbers of rows, and the ids of turns, are larger.
const BEGINNING: &str = "-1";

/// All tables, in the order of their records.
const PARTS: [Part; 16] = [
    Part { name: "sessions", sql: sessions, read: session },
    Part { name: "messages", sql: messages, read: message },
    Part { name: "turns", sql: turns, read: turn },
    Part { name: "events", sql: turn_events, read: event },
    Part { name: "calls", sql: calls, read: call },
    Part { name: "kv", sql: values, read: value },
    Part { name: "files", sql: files, read: file },
    Part { name: "pieces", sql: pieces, read: piece },
    Part { name: "channels", sql: channels, read: channel },
    Part { name: "seen", sql: seen_events, read: seen },
    Part { name: "set_aside", sql: events_aside, read: set_aside },
    Part { name: "deliveries", sql: deliveries, read: delivery },
    Part { name: "pairings", sql: pairings, read: pairing },
    Part { name: "facts", sql: facts, read: fact },
    Part { name: "ledger", sql: ledger_records, read: ledger_record },
    Part { name: "token_factors", sql: token_factors, read: token_factor },
];

/// The part behind the last: the counters.
const COUNTERS: &str = "counters";

/// Where an export stands: behind a row of a table.
struct Place {
    part: usize,
    /// Both as texts: SQLite compares them as what the columns are.
    row: [String; 2],
}

impl Place {
    fn beginning_of(part: usize) -> Self {
        Self { part, row: [BEGINNING.to_owned(), BEGINNING.to_owned()] }
    }

    fn of(cursor: &ExportCursor) -> SqlResult<Self> {
        let mut members = cursor.0.split('/');
        let members = [members.next(), members.next(), members.next()];
        let [Some(name), Some(first), Some(second)] = members else {
            return Err(corrupt("a place in an export", "it does not have three members"));
        };
        let part = PARTS.iter().position(|part| part.name == name);
        let part = part.or((name == COUNTERS).then_some(PARTS.len()));
        let part = part.ok_or_else(|| corrupt("a place in an export", format!("there is no part `{name}`")))?;
        Ok(Self { part, row: [first.to_owned(), second.to_owned()] })
    }

    fn cursor(&self) -> ExportCursor {
        let name = PARTS.get(self.part).map_or(COUNTERS, |part| part.name);
        let [first, second] = &self.row;
        ExportCursor(format!("{name}/{first}/{second}").into())
    }
}

/// The next records, up to about so many bytes, and where the ones after them begin.
pub(super) fn page(
    connection: &Connection,
    after: Option<ExportCursor>,
    bytes: usize,
) -> SqlResult<(Vec<Record>, Option<ExportCursor>)> {
    let mut place = after.as_ref().map_or_else(|| Ok(Place::beginning_of(0)), Place::of)?;
    let (mut records, mut size) = (Vec::new(), Written::default());
    while let Some(part) = PARTS.get(place.part) {
        let mut statement = connection.prepare_cached(&(part.sql)())?;
        // Rows that have one number for their place do not ask for the second member.
        for (index, member) in (1..=statement.parameter_count()).zip(&place.row) {
            statement.raw_bind_parameter(index, member)?;
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let record = (part.read)(row)?;
            serde_json::to_writer(&mut size, &record).map_err(|error| corrupt("a record", error))?;
            place.row = place_of(row)?;
            records.push(record);
            if size.0 >= bytes {
                return Ok((records, Some(place.cursor())));
            }
        }
        place = Place::beginning_of(place.part + 1);
    }
    records.push(counters(connection)?);
    Ok((records, None))
}

fn place_of(row: &Row<'_>) -> SqlResult<[String; 2]> {
    let columns = row.as_ref().column_count();
    let member = |back: usize| match row.get_ref(columns.saturating_sub(back))? {
        ValueRef::Integer(number) => Ok(number.to_string()),
        other => other.as_str().map(str::to_owned).map_err(|error| corrupt("the place of a row", error)),
    };
    Ok([member(2)?, member(1)?])
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    row.get(column)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp(number(row.get(column)?)))
}

fn base64(row: &Row<'_>, column: usize) -> SqlResult<String> {
    Ok(BASE64.encode(row.get_ref(column)?.as_blob().map_err(|error| corrupt("bytes", error))?))
}

fn session_key(row: &Row<'_>, column: usize) -> SqlResult<SessionKey> {
    parse("a session's key", &text(row, column)?)
}

fn sessions() -> String {
    "SELECT key, created_at, updated_at, turns, next_position, context_from, id, 0
     FROM sessions WHERE id > ?1 ORDER BY id"
        .to_owned()
}

fn session(row: &Row<'_>) -> SqlResult<Record> {
    Ok(Record::Session {
        session: session_key(row, 0)?,
        created_at: time(row, 1)?,
        updated_at: time(row, 2)?,
        turns: number(row.get(3)?),
        next_position: Position(number(row.get(4)?)),
        context_from: Position(number(row.get(5)?)),
    })
}

fn messages() -> String {
    let columns = MessageRow::COLUMNS;
    format!(
        "SELECT {columns}, sessions.key, messages.id, 0 FROM messages JOIN sessions ON sessions.id = messages.session
         WHERE messages.id > ?1 ORDER BY messages.id"
    )
}

fn message(row: &Row<'_>) -> SqlResult<Record> {
    let (message, session) = (MessageRow::of(row)?.read()?, session_key(row, 5)?);
    Record::message(&session, &message).ok_or_else(|| corrupt("a message", "it has no JSON"))
}

fn turns() -> String {
    "SELECT sessions.key, turns.turn, turns.accepted_at, turns.open, turns.resumes, turns.key, turns.digest,
       destinations.channel, destinations.conversation, destinations.address, turns.id, 0
     FROM turns JOIN sessions ON sessions.id = turns.session LEFT JOIN destinations ON destinations.turn = turns.id
     WHERE turns.id > ?1 ORDER BY turns.id"
        .to_owned()
}

fn turn(row: &Row<'_>) -> SqlResult<Record> {
    let idempotency = match (row.get(5)?, row.get(6)?) {
        (Some(key), Some(digest)) => Some(Idempotency { key, digest }),
        _ => None,
    };
    let destination = match (row.get(7)?, row.get(8)?) {
        (Some(channel), Some(conversation)) => {
            Some(PortableDestination { channel, conversation, address: base64(row, 9)? })
        }
        _ => None,
    };
    Ok(Record::Turn {
        session: session_key(row, 0)?,
        turn: parse("a turn's id", &text(row, 1)?)?,
        accepted_at: time(row, 2)?,
        open: row.get(3)?,
        resumes: small(row.get(4)?),
        idempotency,
        destination,
    })
}

fn turn_events() -> String {
    let columns = events::COLUMNS;
    format!(
        "SELECT {columns}, sessions.key, events.session, events.seq
         FROM events JOIN turns ON turns.id = events.turn JOIN sessions ON sessions.id = events.session
         WHERE (events.session, events.seq) > (?1, ?2) ORDER BY events.session, events.seq"
    )
}

fn event(row: &Row<'_>) -> SqlResult<Record> {
    let event = events::read(&session_key(row, 3)?, events::row(row)?)?;
    Record::event(&event).ok_or_else(|| corrupt("an event", "it has no JSON"))
}

fn calls() -> String {
    "SELECT sessions.key, turns.turn, calls.call, calls.result, calls.id, 0
     FROM calls JOIN turns ON turns.id = calls.turn JOIN sessions ON sessions.id = turns.session
     WHERE calls.id > ?1 ORDER BY calls.id"
        .to_owned()
}

fn call(row: &Row<'_>) -> SqlResult<Record> {
    let result: Option<String> = row.get(3)?;
    Ok(Record::Call {
        session: session_key(row, 0)?,
        turn: parse("a turn's id", &text(row, 1)?)?,
        call: row.get(2)?,
        result: result.map(|result| from_json("a call's result", &result)).transpose()?,
    })
}

fn values() -> String {
    "SELECT kv.plugin, kv.agent, sessions.key, kv.key, kv.value, kv.id, 0
     FROM kv LEFT JOIN sessions ON sessions.id = kv.session WHERE kv.id > ?1 ORDER BY kv.id"
        .to_owned()
}

fn value(row: &Row<'_>) -> SqlResult<Record> {
    let session: Option<String> = row.get(2)?;
    Ok(Record::Value {
        plugin: row.get(0)?,
        agent: row.get(1)?,
        session: session.map(|session| parse("a session's key", &session)).transpose()?,
        key: row.get(3)?,
        value: base64(row, 4)?,
    })
}

fn files() -> String {
    "SELECT sessions.key, files.file, files.name, files.mime_type, files.plugin, files.created_at, files.id, 0
     FROM files JOIN sessions ON sessions.id = files.session WHERE files.id > ?1 ORDER BY files.id"
        .to_owned()
}

fn file(row: &Row<'_>) -> SqlResult<Record> {
    Ok(Record::File {
        session: session_key(row, 0)?,
        id: row.get(1)?,
        name: row.get(2)?,
        mime_type: row.get(3)?,
        plugin: row.get(4)?,
        created_at: time(row, 5)?,
    })
}

fn pieces() -> String {
    "SELECT sessions.key, files.file, piece.start, piece.data, piece.file, piece.start
     FROM file_pieces AS piece JOIN files ON files.id = piece.file JOIN sessions ON sessions.id = files.session
     WHERE (piece.file, piece.start) > (?1, ?2) ORDER BY piece.file, piece.start"
        .to_owned()
}

fn piece(row: &Row<'_>) -> SqlResult<Record> {
    Ok(Record::FilePiece {
        session: session_key(row, 0)?,
        id: row.get(1)?,
        start: number(row.get(2)?),
        data: base64(row, 3)?,
    })
}

fn channels() -> String {
    "SELECT name, state, id, 0 FROM channels WHERE id > ?1 AND state IS NOT NULL ORDER BY id".to_owned()
}

fn channel(row: &Row<'_>) -> SqlResult<Record> {
    Ok(Record::Channel { channel: row.get(0)?, state: base64(row, 1)? })
}

fn seen_events() -> String {
    "SELECT channel, account, event, at, id, 0 FROM seen WHERE id > ?1 ORDER BY id".to_owned()
}

fn seen(row: &Row<'_>) -> SqlResult<Record> {
    let event = EventId { account: row.get(1)?, id: row.get(2)? };
    Ok(Record::Seen { channel: row.get(0)?, event, at: time(row, 3)? })
}

fn events_aside() -> String {
    "SELECT channel, event, reason, at, id, 0 FROM set_aside WHERE id > ?1 ORDER BY id".to_owned()
}

fn set_aside(row: &Row<'_>) -> SqlResult<Record> {
    let (event, reason, at) = (base64(row, 1)?, row.get(2)?, time(row, 3)?);
    Ok(Record::SetAside { id: SetAsideId(number(row.get(4)?)), channel: row.get(0)?, event, reason, at })
}

fn deliveries() -> String {
    let columns = outbox::COLUMNS;
    format!(
        "SELECT {columns}, deliveries.id, 0 FROM deliveries LEFT JOIN sessions ON sessions.id = deliveries.session
         WHERE deliveries.id > ?1 ORDER BY deliveries.id"
    )
}

fn delivery(row: &Row<'_>) -> SqlResult<Record> {
    let delivery = outbox::read(row)?;
    Ok(Record::Delivery {
        id: delivery.id,
        session: delivery.session,
        channel: delivery.channel,
        conversation: delivery.conversation,
        content: BASE64.encode(&delivery.content),
        draft: delivery.draft,
        state: delivery.state,
        progress: delivery.progress.map(|progress| BASE64.encode(&progress)),
        attempts: delivery.attempts,
        due: delivery.due,
        reason: delivery.reason,
        shown: delivery.shown,
        receipt: delivery.receipt,
        created_at: delivery.created_at,
    })
}

fn pairings() -> String {
    let columns = pairings::COLUMNS;
    format!("SELECT {columns}, id, 0 FROM pairings WHERE id > ?1 ORDER BY id")
}

fn pairing(row: &Row<'_>) -> SqlResult<Record> {
    Ok(Record::Pairing { pairing: pairings::read(row)? })
}

fn facts() -> String {
    let columns = recall::COLUMNS;
    format!(
        "SELECT {columns}, facts.id, 0 FROM facts LEFT JOIN sessions ON sessions.id = facts.session
         WHERE facts.id > ?1 ORDER BY facts.id"
    )
}

fn fact(row: &Row<'_>) -> SqlResult<Record> {
    Ok(Record::Fact { fact: recall::read(row)? })
}

fn ledger_records() -> String {
    let columns = ledger::COLUMNS;
    format!("SELECT {columns}, turn, call FROM ledger WHERE (turn, call) > (?1, ?2) ORDER BY turn, call")
}

fn ledger_record(row: &Row<'_>) -> SqlResult<Record> {
    Ok(Record::Ledger { entry: LedgerRow::of(row)?.read()? })
}

fn token_factors() -> String {
    let columns = factors::COLUMNS;
    format!("SELECT {columns}, id, 0 FROM token_factors WHERE id > ?1 ORDER BY id")
}

fn token_factor(row: &Row<'_>) -> SqlResult<Record> {
    Ok(Record::TokenFactor { factor: factors::read(row)? })
}

fn counters(connection: &Connection) -> SqlResult<Record> {
    let next = |table: &str| -> SqlResult<u64> {
        let mut statement = connection.prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = ?1")?;
        let last = statement.query_row([table], |row| row.get(0)).optional()?;
        Ok(last.map_or(0, number).saturating_add(1))
    };
    Ok(Record::Counters {
        next_seq: Seq(counters::next(connection, Counter::Seq)?),
        next_fact: FactId(next("facts")?),
        next_set_aside: SetAsideId(next("set_aside")?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Result, plan, store};
    use super::*;

    #[tokio::test]
    async fn every_part_goes_on_behind_its_place_without_sorting() -> Result {
        let (_folder, store) = store()?;
        for part in &PARTS {
            let plan = plan(&store, (part.sql)()).await?;
            let first = plan.lines().next().unwrap_or_default();
            assert!(first.starts_with("SEARCH") && !plan.contains("B-TREE FOR ORDER BY"), "{}: {plan}", part.name);
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_cursor_that_is_none_is_refused() -> Result {
        let (_folder, store) = store()?;
        for bad in ["", "sessions", "sessions/1", "nothing/1/2"] {
            let page = store.db.read(move |connection| page(connection, Some(ExportCursor(bad.into())), 100)).await;
            assert!(matches!(page, Err(crate::store::StoreError::Corrupt { .. })), "{bad}");
        }
        Ok(())
    }
}
