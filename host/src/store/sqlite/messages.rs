//! Messages of sessions, as rows. Triggers keep the index of their texts.

use std::sync::Arc;

use rusqlite::{Connection, Row};

use super::cells::{corrupt, from_json, integer, json, number, parse, rows};
use super::error::SqlResult;
use super::sessions;
use crate::store::{Message, Page, Position, Role, SessionKey, StoredMessage, Timestamp, TurnId};

macro_rules! columns {
    () => {
        "messages.position, messages.turn, messages.at, messages.role, messages.blocks"
    };
}

/// The newest messages of a span of positions, newest first.
pub(super) const NEWEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM messages WHERE session = ? AND position >= ? AND position < ? ORDER BY position DESC LIMIT ?"
);

/// A row of the table, as it is read.
pub(super) struct MessageRow {
    position: i64,
    turn: String,
    at: i64,
    role: String,
    blocks: String,
}

impl MessageRow {
    /// The columns that [`MessageRow::of`] reads, in its order.
    pub(super) const COLUMNS: &str = columns!();

    /// A row of [`MessageRow::COLUMNS`].
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { position: row.get(0)?, turn: row.get(1)?, at: row.get(2)?, role: row.get(3)?, blocks: row.get(4)? })
    }

    /// The message that it holds.
    pub(super) fn read(self) -> SqlResult<StoredMessage> {
        let role = match &*self.role {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => return Err(corrupt("a message", format!("its role is `{other}`"))),
        };
        Ok(StoredMessage {
            position: Position(number(self.position)),
            turn: parse("a message's turn", &self.turn)?,
            at: Timestamp(number(self.at)),
            message: Arc::new(Message { role, blocks: from_json("a message", &self.blocks)? }),
        })
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// Stores one message at its position, and says how large it is. The session's row is not told.
pub(super) fn insert(connection: &Connection, session: i64, message: &StoredMessage) -> SqlResult<u64> {
    let StoredMessage { position, turn, at, message } = message;
    let blocks = json("a message", &message.blocks)?;
    let mut statement = connection
        .prepare_cached("INSERT INTO messages (session, position, turn, at, role, blocks) VALUES (?, ?, ?, ?, ?, ?)")?;
    let (place, at) = (integer(position.0), integer(at.0));
    statement.execute((session, place, turn.as_str(), at, role(message.role), &blocks))?;
    Ok(blocks.len() as u64)
}

/// Stores messages of a turn behind the session's last, and tells the session's row.
pub(super) fn append(
    connection: &Connection,
    session: i64,
    turn: TurnId,
    messages: &[Arc<Message>],
    now: Timestamp,
) -> SqlResult<()> {
    let (mut position, mut size) = (0, 0);
    if !messages.is_empty() {
        let mut statement = connection.prepare_cached("SELECT next_position FROM sessions WHERE id = ?")?;
        position = number(statement.query_row([session], |row| row.get(0))?);
    }
    for message in messages {
        let message = StoredMessage { position: Position(position), turn, at: now, message: Arc::clone(message) };
        size += insert(connection, session, &message)?;
        position += 1;
    }
    let mut statement = connection.prepare_cached(
        "UPDATE sessions SET messages = messages + ?2, next_position = next_position + ?2, size = size + ?3,
         updated_at = max(updated_at, ?4) WHERE id = ?1",
    )?;
    statement.execute((session, rows(messages.len()), integer(size), integer(now.0)))?;
    Ok(())
}

/// A page of the history, oldest first, that ends before `before`.
pub(super) fn history(
    connection: &Connection,
    session: &SessionKey,
    before: Option<Position>,
    limit: usize,
) -> SqlResult<Page<StoredMessage, Position>> {
    let session = sessions::existing(connection, session)?;
    let before = before.map_or(i64::MAX, |before| integer(before.0));
    let found = newest(connection, session, 0, before, limit.saturating_add(1))?;
    let mut items: Vec<_> = found.into_iter().map(|(_, message)| message).collect();
    let more = items.len() > limit;
    if more {
        items.remove(0);
    }
    let next = items.first().filter(|_| more).map(|message| message.position);
    Ok(Page { items, next })
}

/// The newest messages of a span of positions, oldest first, each with the bytes of its JSON.
pub(super) fn newest(
    connection: &Connection,
    session: i64,
    from: i64,
    before: i64,
    limit: usize,
) -> SqlResult<Vec<(usize, StoredMessage)>> {
    let mut statement = connection.prepare_cached(NEWEST)?;
    let found = statement.query_map((session, from, before, rows(limit)), MessageRow::of)?;
    let read = |row: MessageRow| Ok((row.blocks.len(), row.read()?));
    let mut found = found.map(|row| read(row?)).collect::<SqlResult<Vec<_>>>()?;
    found.reverse();
    Ok(found)
}
