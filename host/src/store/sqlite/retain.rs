//! Removes what was kept for long enough, or is too much.

use std::time::Duration;

use rusqlite::Connection;

use super::cells::{integer, rows};
use super::error::SqlResult;
use super::{channels, outbox, pairings};
use crate::store::{DELIVERY_WINDOW, IDEMPOTENCY_WINDOW, Retention, Timestamp};

/// Rows that one call removes, about: the writer does nothing else meanwhile. A turn goes whole.
const ROWS: usize = 500;

/// What a session that goes counts for: with it go rows that nobody counted.
const SESSION_ROWS: usize = 25;

/// Turns of one session that are looked at together.
const TURNS: usize = 64;

/// Does a bounded amount of work, and says whether there may be more.
pub(super) fn retain(connection: &Connection, retention: &Retention) -> SqlResult<bool> {
    let mut left = Left(ROWS);
    expire_keys(connection, retention.now, &mut left)?;
    if left.some() {
        left.took(channels::forget(connection, retention.now, left.0)?);
    }
    if left.some() {
        left.took(pairings::forget(connection, retention.now, left.0)?);
    }
    settled(connection, None, retention.now, DELIVERY_WINDOW, &mut left)?;
    if let Some(max_age) = retention.max_age {
        by_age(connection, retention, max_age, &mut left)?;
        settled(connection, Some(retention.agent.as_str()), retention.now, max_age, &mut left)?;
    }
    if let Some(max_size) = retention.max_size {
        by_size(connection, retention, rows(max_size.bytes()), &mut left)?;
    }
    if let Some(max_age) = retention.max_age {
        unused(connection, retention, max_age, &mut left)?;
    }
    Ok(!left.some())
}

/// How many rows may still be removed.
struct Left(usize);

impl Left {
    fn some(&self) -> bool {
        self.0 > 0
    }

    fn took(&mut self, rows: usize) {
        self.0 = self.0.saturating_sub(rows);
    }
}

/// The time before which everything is older than `age`; absent where nothing can be.
fn before(now: Timestamp, age: Duration) -> Option<i64> {
    let age = u64::try_from(age.as_millis()).ok()?;
    now.0.checked_sub(age).map(integer)
}

/// Forgets idempotency keys that have passed their window.
fn expire_keys(connection: &Connection, now: Timestamp, left: &mut Left) -> SqlResult<()> {
    let Some(until) = before(now, IDEMPOTENCY_WINDOW) else { return Ok(()) };
    let mut expired = connection.prepare_cached(
        "SELECT id, emptied FROM turns INDEXED BY turns_key_age WHERE key IS NOT NULL AND accepted_at <= ?
         ORDER BY accepted_at LIMIT ?",
    )?;
    let found = expired.query_map((until, rows(left.0)), |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
    for (turn, emptied) in found.collect::<rusqlite::Result<Vec<_>>>()? {
        // Of a turn that was removed, nothing but the key was left.
        let sql = if emptied {
            "DELETE FROM turns WHERE id = ?"
        } else {
            "UPDATE turns SET key = NULL, digest = NULL WHERE id = ?"
        };
        connection.prepare_cached(sql)?.execute([turn])?;
        left.took(1);
    }
    Ok(())
}

/// A turn that goes.
struct Old {
    row: i64,
    session: i64,
    turn: String,
    keyed: bool,
}

impl Old {
    /// The columns that [`Old::of`] reads.
    const COLUMNS: &str = "id, session, turn, key IS NOT NULL";

    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { row: row.get(0)?, session: row.get(1)?, turn: row.get(2)?, keyed: row.get(3)? })
    }

    /// Removes its messages and events, and itself, unless its key is still to be known. Says how many bytes of
    /// messages went.
    fn remove(&self, connection: &Connection, left: &mut Left) -> SqlResult<i64> {
        let mut statement = connection
            .prepare_cached("SELECT count(*), coalesce(sum(octet_length(blocks)), 0) FROM messages WHERE turn = ?")?;
        let (messages, size): (i64, i64) = statement.query_row([&self.turn], |row| Ok((row.get(0)?, row.get(1)?)))?;
        left.took(connection.prepare_cached("DELETE FROM messages WHERE turn = ?")?.execute([&self.turn])?);
        left.took(connection.prepare_cached("DELETE FROM events WHERE turn = ?")?.execute([self.row])?);
        let mut statement = connection.prepare_cached(
            "UPDATE sessions SET messages = messages - ?2, size = size - ?3, removals = removals + 1 WHERE id = ?1",
        )?;
        statement.execute((self.session, messages, size))?;
        let itself =
            if self.keyed { "UPDATE turns SET emptied = 1 WHERE id = ?" } else { "DELETE FROM turns WHERE id = ?" };
        left.took(connection.prepare_cached(itself)?.execute([self.row])?);
        Ok(size)
    }
}

/// Removes ended turns of the agent that are too old, the oldest first.
fn by_age(connection: &Connection, retention: &Retention, max_age: Duration, left: &mut Left) -> SqlResult<()> {
    let Some(until) = before(retention.now, max_age) else { return Ok(()) };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM turns INDEXED BY turns_age
         WHERE agent = ? AND open = 0 AND emptied = 0 AND accepted_at < ? ORDER BY accepted_at LIMIT ?",
        Old::COLUMNS
    ))?;
    let found = statement.query_map((retention.agent.as_str(), until, rows(left.0)), Old::of)?;
    for old in found.collect::<rusqlite::Result<Vec<_>>>()? {
        if !left.some() {
            break;
        }
        old.remove(connection, left)?;
    }
    Ok(())
}

/// Removes deliveries of an agent's sessions, or of none, that are settled and too old, the oldest first.
fn settled(
    connection: &Connection,
    agent: Option<&str>,
    now: Timestamp,
    max_age: Duration,
    left: &mut Left,
) -> SqlResult<()> {
    let until = before(now, max_age).filter(|_| left.some());
    let Some(until) = until else { return Ok(()) };
    left.took(outbox::forget_settled(connection, agent, until, left.0)?);
    Ok(())
}

/// Removes ended turns of sessions that are too large, the oldest first.
fn by_size(connection: &Connection, retention: &Retention, max_size: i64, left: &mut Left) -> SqlResult<()> {
    let mut largest = connection.prepare_cached(
        "SELECT id, size FROM sessions INDEXED BY sessions_size WHERE agent = ? AND size > ?
         AND EXISTS (SELECT 1 FROM turns WHERE turns.session = sessions.id AND open = 0 AND emptied = 0)
         ORDER BY size DESC LIMIT 1",
    )?;
    let mut oldest = connection.prepare_cached(&format!(
        "SELECT {} FROM turns WHERE session = ? AND open = 0 AND emptied = 0 ORDER BY id LIMIT ?",
        Old::COLUMNS
    ))?;
    while left.some() {
        let mut found =
            largest.query_map((retention.agent.as_str(), max_size), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some(found) = found.next() else { break };
        let (session, mut size): (i64, i64) = found?;
        let turns = oldest.query_map((session, rows(TURNS)), Old::of)?;
        for old in turns.collect::<rusqlite::Result<Vec<_>>>()? {
            if size <= max_size || !left.some() {
                break;
            }
            size -= old.remove(connection, left)?;
        }
    }
    Ok(())
}

/// Removes sessions of the agent that are empty and were not used for too long.
fn unused(connection: &Connection, retention: &Retention, max_age: Duration, left: &mut Left) -> SqlResult<()> {
    let Some(until) = before(retention.now, max_age) else { return Ok(()) };
    let mut statement = connection.prepare_cached(
        "SELECT id FROM sessions INDEXED BY sessions_empty WHERE agent = ? AND messages = 0 AND updated_at < ?
         AND NOT EXISTS (SELECT 1 FROM turns WHERE turns.session = sessions.id AND (open = 1 OR key IS NOT NULL))
         AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.session = sessions.id AND deliveries.open = 1)
         ORDER BY updated_at LIMIT ?",
    )?;
    let limit = left.0.div_ceil(SESSION_ROWS);
    let found = statement.query_map((retention.agent.as_str(), until, rows(limit)), |row| row.get::<_, i64>(0))?;
    for session in found.collect::<rusqlite::Result<Vec<_>>>()? {
        connection.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([session])?;
        left.took(SESSION_ROWS);
    }
    Ok(())
}
