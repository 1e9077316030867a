//! Turns, as rows: from the message that opens one to what ends it.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::cells::{from_json, integer, json, number, parse, rows, small};
use super::error::SqlResult;
use super::{events, ledger, messages, outbox, sessions};
use crate::store::{
    Accept, Accepted, Block, CallAnswered, CallState, Destination, Dispatch, IDEMPOTENCY_WINDOW, Idempotency,
    LedgerEntry, OpenTurn, Resume, Step, StoreError, Timestamp, TurnEnd, TurnId, TurnState,
};

/// What an idempotency key says of a message. One that expired says nothing, and is forgotten.
pub(super) fn repeated(
    connection: &Connection,
    session: i64,
    idempotency: &Idempotency,
    now: Timestamp,
) -> SqlResult<Option<Accepted>> {
    let mut statement = connection
        .prepare_cached("SELECT id, turn, accepted_at, digest = ?3 FROM turns WHERE session = ?1 AND key = ?2")?;
    let found = statement.query_row((session, &idempotency.key, idempotency.digest), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get::<_, Option<bool>>(3)?))
    });
    let Some((row, turn, accepted_at, same)) = found.optional()? else { return Ok(None) };
    if now.since(Timestamp(number(accepted_at))) >= IDEMPOTENCY_WINDOW {
        connection.prepare_cached("UPDATE turns SET key = NULL, digest = NULL WHERE id = ?")?.execute([row])?;
        return Ok(None);
    }
    Ok(Some(match same {
        Some(true) => Accepted::Duplicate(parse("a turn's id", &turn)?),
        _ => Accepted::KeyReused,
    }))
}

/// Opens a turn.
pub(super) fn open(connection: &Connection, session: i64, accept: &Accept) -> SqlResult<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO turns (turn, session, agent, accepted_at, key, digest) VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    let (agent, at) = (accept.session.agent(), integer(accept.now.0));
    let key = accept.idempotency.as_ref().map(|idempotency| &idempotency.key);
    let digest = accept.idempotency.as_ref().map(|idempotency| idempotency.digest);
    let turn = statement.insert((accept.turn.as_str(), session, agent, at, key, digest))?;
    if let Some(destination) = &accept.destination {
        put_destination(connection, turn, destination)?;
    }
    accept.first_call().map_or(Ok(()), |call| ledger::apply(connection, &LedgerEntry::Begin(call)))
}

/// Notes where the answer of a turn goes, unless that is known.
pub(super) fn put_destination(connection: &Connection, turn: i64, destination: &Destination) -> SqlResult<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO destinations (turn, channel, conversation, address) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    let Destination { channel, conversation, address } = destination;
    statement.execute((turn, channel, conversation, &address[..]))?;
    Ok(())
}

fn destination(connection: &Connection, turn: i64) -> SqlResult<Option<Destination>> {
    let mut statement =
        connection.prepare_cached("SELECT channel, conversation, address FROM destinations WHERE turn = ?")?;
    let found = statement.query_row([turn], |row| {
        let address = row.get::<_, Vec<u8>>(2)?.into();
        Ok(Destination { channel: row.get(0)?, conversation: row.get(1)?, address })
    });
    Ok(found.optional()?)
}

/// The row of an open turn of a session.
fn row_of(connection: &Connection, session: i64, turn: TurnId) -> SqlResult<Option<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM turns WHERE turn = ? AND session = ? AND open = 1")?;
    Ok(statement.query_row((turn.as_str(), session), |row| row.get(0)).optional()?)
}

/// Stores what a turn did, and says its row.
///
/// # Errors
/// [`StoreError::NoSession`], [`StoreError::Superseded`], [`StoreError::NoTurn`].
pub(super) fn step(connection: &Connection, step: &Step) -> SqlResult<i64> {
    let session = sessions::existing(connection, &step.session)?;
    sessions::advance(connection, session, step.epoch)?;
    let turn = row_of(connection, session, step.turn)?.ok_or(StoreError::NoTurn(step.turn))?;
    if !step.messages.is_empty() {
        messages::append(connection, session, step.turn, &step.messages, step.now)?;
    }
    let mut held = connection.prepare_cached("DELETE FROM calls WHERE turn = ? AND call = ?")?;
    for block in step.messages.iter().flat_map(|message| &message.blocks) {
        if let Block::ToolResult(result) = block {
            held.execute((turn, &result.tool_use_id))?;
        }
    }
    for event in &step.events {
        events::insert(connection, session, turn, event)?;
    }
    for entry in &step.ledger {
        ledger::apply(connection, entry)?;
    }
    Ok(turn)
}

/// Stores the intent to run calls.
pub(super) fn dispatch(connection: &Connection, dispatch: &Dispatch) -> SqlResult<()> {
    let turn = step(connection, &dispatch.step)?;
    let mut statement =
        connection.prepare_cached("INSERT INTO calls (turn, call) VALUES (?, ?) ON CONFLICT DO NOTHING")?;
    for call in &dispatch.calls {
        statement.execute((turn, call))?;
    }
    Ok(())
}

/// Stores the result of a call.
pub(super) fn answered(connection: &Connection, answered: &CallAnswered) -> SqlResult<()> {
    let turn = step(connection, &answered.step)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO calls (turn, call, result) VALUES (?, ?, ?)
         ON CONFLICT (turn, call) DO UPDATE SET result = excluded.result",
    )?;
    statement.execute((turn, &answered.result.tool_use_id, json("a call's result", &answered.result)?))?;
    Ok(())
}

/// Ends a turn.
pub(super) fn finish(connection: &Connection, end: &TurnEnd) -> SqlResult<()> {
    let turn = step(connection, &end.step)?;
    connection.prepare_cached("UPDATE turns SET open = 0 WHERE id = ?")?.execute([turn])?;
    connection.prepare_cached("DELETE FROM calls WHERE turn = ?")?.execute([turn])?;
    connection.prepare_cached("DELETE FROM destinations WHERE turn = ?")?.execute([turn])?;
    for delivery in &end.deliveries {
        outbox::open(connection, delivery)?;
    }
    Ok(())
}

/// The open turns after a row, in the order of their rows.
pub(super) const OPEN: &str = "SELECT sessions.key, turns.turn, turns.accepted_at
    FROM turns INDEXED BY turns_open CROSS JOIN sessions ON sessions.id = turns.session
    WHERE turns.open = 1 AND turns.id > ? ORDER BY turns.id LIMIT ?";

/// The turns that are open, in the order in which their messages were stored.
pub(super) fn open_after(connection: &Connection, after: Option<&OpenTurn>, limit: usize) -> SqlResult<Vec<OpenTurn>> {
    let after = after.map(|after| place(connection, after)).transpose()?.unwrap_or(i64::MIN);
    let mut statement = connection.prepare_cached(OPEN)?;
    let found = statement
        .query_map((after, rows(limit)), |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?)))?;
    let read = |(session, turn, accepted_at): (String, String, i64)| {
        Ok(OpenTurn {
            session: parse("a session's key", &session)?,
            turn: parse("a turn's id", &turn)?,
            accepted_at: Timestamp(number(accepted_at)),
        })
    };
    found.map(|found| read(found?)).collect()
}

/// After which row a page begins. Where the turn is no more, before the first that was accepted with it or
/// later: better one is seen twice than missed.
fn place(connection: &Connection, after: &OpenTurn) -> SqlResult<i64> {
    let mut statement = connection.prepare_cached("SELECT id FROM turns WHERE turn = ?")?;
    if let Some(row) = statement.query_row([after.turn.as_str()], |row| row.get(0)).optional()? {
        return Ok(row);
    }
    let mut statement = connection
        .prepare_cached("SELECT min(id) - 1 FROM turns INDEXED BY turns_open WHERE open = 1 AND accepted_at >= ?")?;
    let found: Option<i64> = statement.query_row([integer(after.accepted_at.0)], |row| row.get(0))?;
    Ok(found.unwrap_or(i64::MAX))
}

/// Takes an open turn up again, and says where it stands.
///
/// # Errors
/// [`StoreError::Superseded`].
pub(super) fn resume(connection: &Connection, resume: &Resume) -> SqlResult<Option<TurnState>> {
    let Some(session) = sessions::row_of(connection, &resume.session)? else { return Ok(None) };
    let Some(turn) = row_of(connection, session, resume.turn)? else { return Ok(None) };
    sessions::advance(connection, session, resume.epoch)?;
    let mut statement =
        connection.prepare_cached("UPDATE turns SET resumes = resumes + 1 WHERE id = ? RETURNING resumes")?;
    let resumes = small(statement.query_row([turn], |row| row.get(0))?);
    let events = events::of_turn(connection, session, turn, -1, usize::MAX)?;
    let events = events.into_iter().map(|row| events::read(&resume.session, row).map(Arc::new));
    Ok(Some(TurnState {
        destination: destination(connection, turn)?,
        resumes,
        events: events.collect::<SqlResult<_>>()?,
        calls: calls(connection, turn)?,
        unsettled: ledger::unsettled(connection, resume.turn)?,
        model_calls: ledger::begun(connection, resume.turn)?,
    }))
}

/// The calls of a turn whose results are in no message yet, in the order of their dispatch.
fn calls(connection: &Connection, turn: i64) -> SqlResult<Vec<(String, CallState)>> {
    let mut statement = connection.prepare_cached("SELECT call, result FROM calls WHERE turn = ? ORDER BY id")?;
    let found = statement.query_map([turn], |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?)))?;
    let read = |(call, result): (String, Option<String>)| {
        let state = match result {
            None => CallState::Dispatched,
            Some(result) => CallState::Answered(from_json("a call's result", &result)?),
        };
        Ok((call, state))
    };
    found.map(|found| read(found?)).collect()
}
