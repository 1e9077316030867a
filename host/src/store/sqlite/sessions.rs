//! Sessions, as rows.

use rusqlite::{Connection, OptionalExtension, Row};

use super::cells::{integer, number, parse, rows};
use super::error::SqlResult;
use super::{messages, turns};
use crate::store::{Accept, Accepted, Epoch, Page, SessionKey, SessionRecord, StoreError, Timestamp};

/// The row of a session.
pub(super) fn row_of(connection: &Connection, session: &SessionKey) -> SqlResult<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT id FROM sessions WHERE key = ?")?;
    Ok(statement.query_row([session.as_str()], |row| row.get(0)).optional()?)
}

/// The row of a session, which must be there.
pub(super) fn existing(connection: &Connection, session: &SessionKey) -> SqlResult<i64> {
    row_of(connection, session)?.ok_or_else(|| StoreError::NoSession(session.clone()).into())
}

/// Says that a session's lane is `epoch`'s, unless a later one advanced it.
///
/// # Errors
/// [`StoreError::Superseded`].
pub(super) fn advance(connection: &Connection, session: i64, epoch: Epoch) -> SqlResult<()> {
    let mut statement = connection.prepare_cached("SELECT epoch FROM sessions WHERE id = ?")?;
    let by = Epoch(number(statement.query_row([session], |row| row.get(0))?));
    if by > epoch {
        return Err(StoreError::Superseded { epoch, by }.into());
    }
    if by < epoch {
        let mut statement = connection.prepare_cached("UPDATE sessions SET epoch = ?2 WHERE id = ?1")?;
        statement.execute((session, integer(epoch.0)))?;
    }
    Ok(())
}

/// The row of a session, which is made where there is none.
fn made(connection: &Connection, session: &SessionKey, now: Timestamp) -> SqlResult<i64> {
    if let Some(row) = row_of(connection, session)? {
        return Ok(row);
    }
    let mut statement = connection
        .prepare_cached("INSERT INTO sessions (key, agent, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)")?;
    Ok(statement.insert((session.as_str(), session.agent(), integer(now.0)))?)
}

/// Stores a message and opens its turn.
///
/// # Errors
/// [`StoreError::Superseded`], [`StoreError::TooLarge`].
pub(super) fn accept(connection: &Connection, accept: &Accept) -> SqlResult<Accepted> {
    accept.check()?;
    let session = made(connection, &accept.session, accept.now)?;
    advance(connection, session, accept.epoch)?;
    if let Some(idempotency) = &accept.idempotency
        && let Some(earlier) = turns::repeated(connection, session, idempotency, accept.now)?
    {
        return Ok(earlier);
    }
    turns::open(connection, session, accept)?;
    messages::append(connection, session, accept.turn, std::slice::from_ref(&accept.message), accept.now)?;
    let mut statement = connection.prepare_cached("UPDATE sessions SET turns = turns + 1 WHERE id = ?")?;
    statement.execute([session])?;
    Ok(Accepted::New)
}

/// One session, as a record.
const ONE: &str = "SELECT key, created_at, updated_at, messages, turns FROM sessions WHERE key = ?";

/// The sessions after a key, in the order of their keys, as records.
pub(super) const PAGE: &str =
    "SELECT key, created_at, updated_at, messages, turns FROM sessions WHERE key > ? ORDER BY key LIMIT ?";

/// A row of a record: the key's text, and the rest.
fn record(row: &Row<'_>) -> rusqlite::Result<(String, [i64; 4])> {
    Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]))
}

fn read((key, [created_at, updated_at, messages, turns]): (String, [i64; 4])) -> SqlResult<SessionRecord> {
    Ok(SessionRecord {
        session: parse("a session's key", &key)?,
        created_at: Timestamp(number(created_at)),
        updated_at: Timestamp(number(updated_at)),
        messages: number(messages),
        turns: number(turns),
    })
}

/// One session.
pub(super) fn one(connection: &Connection, session: &SessionKey) -> SqlResult<Option<SessionRecord>> {
    let mut statement = connection.prepare_cached(ONE)?;
    statement.query_row([session.as_str()], record).optional()?.map(read).transpose()
}

/// A page of sessions in the order of their keys.
pub(super) fn page(
    connection: &Connection,
    after: Option<&SessionKey>,
    limit: usize,
) -> SqlResult<Page<SessionRecord, SessionKey>> {
    let mut statement = connection.prepare_cached(PAGE)?;
    // No key is empty, and the text of a key sorts as the key does.
    let after = after.map_or("", SessionKey::as_str);
    let found = statement.query_map((after, rows(limit.saturating_add(1))), record)?;
    let mut items = found.map(|found| read(found?)).collect::<SqlResult<Vec<_>>>()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|record| record.session.clone());
    Ok(Page { items, next })
}

/// Hides all that came before from the model. Says whether there is such a session.
pub(super) fn reset(connection: &Connection, session: &SessionKey, now: Timestamp) -> SqlResult<bool> {
    let mut statement = connection.prepare_cached(
        "UPDATE sessions SET context_from = next_position, updated_at = max(updated_at, ?2) WHERE key = ?1",
    )?;
    Ok(statement.execute((session.as_str(), integer(now.0)))? > 0)
}

/// Removes a session, with all rows that refer to it. Says whether there was one.
///
/// # Errors
/// [`StoreError::Superseded`].
pub(super) fn delete(connection: &Connection, session: &SessionKey, epoch: Epoch) -> SqlResult<bool> {
    let Some(row) = row_of(connection, session)? else { return Ok(false) };
    advance(connection, row, epoch)?;
    connection.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([row])?;
    Ok(true)
}
