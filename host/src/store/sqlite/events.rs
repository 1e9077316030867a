//! Events of turns, as rows.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::cells::{corrupt, from_json, integer, json, number, rows};
use super::error::SqlResult;
use super::sessions;
use crate::store::{Event, Seq, SessionKey, TurnId};

/// Stores an event of a turn.
pub(super) fn insert(connection: &Connection, session: i64, turn: i64, event: &Event) -> SqlResult<()> {
    let body = json("an event", &event.body)?;
    let mut statement =
        connection.prepare_cached("INSERT INTO events (session, seq, turn, body) VALUES (?, ?, ?, ?)")?;
    statement.execute((session, integer(event.seq.0), turn, body))?;
    Ok(())
}

/// A row of an event: its turn's id, its number, its body.
pub(super) type EventRow = (String, i64, String);

macro_rules! columns {
    () => {
        "turns.turn, events.seq, events.body"
    };
}

/// The columns of an [`EventRow`], of `events` joined with `turns`.
pub(super) const COLUMNS: &str = columns!();

/// The events of a session after a number, in order.
pub(super) const ALL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events CROSS JOIN turns ON turns.id = events.turn
      WHERE events.session = ? AND events.seq > ? ORDER BY events.seq LIMIT ?"
);

/// The events of a turn after a number, in order.
pub(super) const OF_TURN: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events INDEXED BY events_turn CROSS JOIN turns ON turns.id = events.turn
      WHERE events.turn = ? AND events.session = ? AND events.seq > ? ORDER BY events.seq LIMIT ?"
);

/// A row of [`COLUMNS`].
pub(super) fn row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// The event that a row holds.
pub(super) fn read(session: &SessionKey, (turn, seq, body): EventRow) -> SqlResult<Event> {
    let members = body.strip_prefix('{').ok_or_else(|| corrupt("an event", "its body is no JSON object"))?;
    let (turn, session) = (json("a turn's id", &turn)?, json("a session's key", session)?);
    // The body alone does not say what its members mean without its type, which `Event` reads by hand.
    let text = format!(r#"{{"turn":{turn},"session":{session},"seq":{},{members}"#, number(seq));
    from_json("an event", &text)
}

/// Events after `after`, in order, of one turn or of all.
pub(super) fn after(
    connection: &Connection,
    session: &SessionKey,
    turn: Option<TurnId>,
    after: Seq,
    limit: usize,
) -> SqlResult<Vec<Arc<Event>>> {
    let Some(row_of_session) = sessions::row_of(connection, session)? else { return Ok(Vec::new()) };
    let after = integer(after.0);
    let found = match turn {
        None => {
            let mut statement = connection.prepare_cached(ALL)?;
            let found = statement.query_map((row_of_session, after, rows(limit)), row)?;
            found.collect::<rusqlite::Result<Vec<_>>>()?
        }
        Some(turn) => {
            let mut statement = connection.prepare_cached("SELECT id FROM turns WHERE turn = ? AND session = ?")?;
            let turn = statement.query_row((turn.as_str(), row_of_session), |row| row.get(0)).optional()?;
            let Some(turn) = turn else { return Ok(Vec::new()) };
            of_turn(connection, row_of_session, turn, after, limit)?
        }
    };
    found.into_iter().map(|row| read(session, row).map(Arc::new)).collect()
}

/// Events of a turn after `after`, in order.
pub(super) fn of_turn(
    connection: &Connection,
    session: i64,
    turn: i64,
    after: i64,
    limit: usize,
) -> SqlResult<Vec<EventRow>> {
    let mut statement = connection.prepare_cached(OF_TURN)?;
    let found = statement.query_map((turn, session, after, rows(limit)), row)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
