//! Sessions, their messages and their turns, as rows.

use rusqlite::{Connection, OptionalExtension};

use super::error::SqlResult;
use crate::store::{Accept, Accepted, Epoch, SessionKey, StoreError};

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
pub(super) fn advance(connection: &Connection, session: i64, epoch: Epoch) -> SqlResult<()> {
    let _ = (connection, session, epoch);
    todo!()
}

/// Stores a message and opens its turn.
pub(super) fn accept(connection: &Connection, accept: &Accept) -> SqlResult<Accepted> {
    let _ = (connection, accept);
    todo!()
}
