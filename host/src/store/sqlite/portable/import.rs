//! Records as rows. What is there already stays as it is.

use std::fmt::Display;
use std::str::FromStr;

use data_encoding::BASE64;
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::super::cells::{integer, json};
use super::super::counters::{self, Counter};
use super::super::error::{SqlError, SqlResult};
use super::super::files::File;
use super::super::kv::Space;
use super::super::sessions::existing;
use super::super::{events, factors, ledger, messages, outbox, pairings, turns};
use crate::store::{
    Destination, Event, FILE_OVERHEAD, Fact, FileId, FileName, Idempotency, KvKey, KvScope, KvSpace, KvValue,
    LedgerEntry, LedgerRecord, MAX_ADDRESS, MAX_CHANNEL_STATE, MAX_FACT, MAX_SET_ASIDE, MimeType, Pairing,
    PairingState, PortableDestination, Record, SessionKey, StoreError, StoredMessage, TurnId,
};

/// What a record holds cannot be read.
fn bad(what: &'static str, reason: impl Display) -> SqlError {
    StoreError::BadRecord { what, reason: reason.to_string() }.into()
}

fn parse<T: FromStr<Err: Display>>(what: &'static str, text: &str) -> SqlResult<T> {
    text.parse().map_err(|error| bad(what, error))
}

fn bytes(what: &'static str, text: &str) -> SqlResult<Vec<u8>> {
    BASE64.decode(text.as_bytes()).map_err(|error| bad(what, error))
}

fn bounded(what: &'static str, bytes: usize, limit: usize) -> SqlResult<()> {
    if bytes > limit { Err(StoreError::TooLarge { what, limit }.into()) } else { Ok(()) }
}

/// Whether a query finds a row.
fn found(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> SqlResult<bool> {
    Ok(connection.prepare_cached(sql)?.exists(values)?)
}

/// Stores one record.
pub(super) fn one(connection: &Connection, record: Record) -> SqlResult<()> {
    match record {
        Record::Session { session, created_at, updated_at, turns, next_position, context_from } => insert(
            connection,
            "INSERT INTO sessions (key, agent, created_at, updated_at, turns, next_position, context_from)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO NOTHING",
            params![
                session.as_str(),
                session.agent(),
                integer(created_at.0),
                integer(updated_at.0),
                integer(turns),
                integer(next_position.0),
                integer(context_from.0),
            ],
        ),
        Record::Message { session, message } => {
            let message = serde_json::from_str(message.get()).map_err(|error| bad("a message", error))?;
            put_message(connection, &session, &message)
        }
        Record::Turn { session, turn, accepted_at, open, resumes, idempotency, destination } => {
            let row = existing(connection, &session)?;
            let idempotency = unused(connection, row, idempotency)?;
            let (key, digest) = idempotency.map(|idempotency| (idempotency.key, idempotency.digest)).unzip();
            let mut statement = connection.prepare_cached(
                "INSERT INTO turns (turn, session, agent, accepted_at, open, resumes, key, digest)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (turn) DO NOTHING",
            )?;
            let agent = session.agent();
            let values = params![turn.as_str(), row, agent, integer(accepted_at.0), open, resumes, key, digest];
            let added = statement.execute(values)? > 0;
            match destination.filter(|_| open && added) {
                Some(destination) => put_destination(connection, row, turn, destination),
                None => Ok(()),
            }
        }
        Record::Event { event } => {
            put_event(connection, &serde_json::from_str(event.get()).map_err(|error| bad("an event", error))?)
        }
        Record::Call { session, turn, call, result } => {
            let turn = turn_row(connection, existing(connection, &session)?, turn)?;
            let result = result.map(|result| json("a call's result", &result)).transpose()?;
            insert(
                connection,
                "INSERT INTO calls (turn, call, result) VALUES (?1, ?2, ?3) ON CONFLICT (turn, call) DO NOTHING",
                params![turn, call, result],
            )
        }
        Record::Ledger { entry } => put_ledger(connection, entry),
        Record::TokenFactor { factor } => factors::put_new(connection, &factor),
        Record::Value { plugin, agent, session, key, value } => {
            let scope = match (agent, session) {
                (None, None) => KvScope::Plugin,
                (Some(agent), None) => KvScope::Agent(agent),
                (None, Some(session)) => KvScope::Session(session),
                (Some(_), Some(_)) => return Err(bad("a plugin's value", "it is both an agent's and a session's")),
            };
            let space = KvSpace { plugin: parse("a plugin's name", &plugin)?, scope };
            let key: KvKey = parse("a plugin's key", &key)?;
            let value = KvValue::try_from(bytes("a plugin's value", &value)?);
            let value = value.map_err(|error| bad("a plugin's value", error))?;
            Space::existing(connection, &space)?.put_new(connection, &key, &value)
        }
        Record::File { session, id, name, mime_type, plugin, created_at } => {
            let row = existing(connection, &session)?;
            let (id, name): (FileId, FileName) = (parse("a file's id", &id)?, parse("a file's name", &name)?);
            let mime_type: MimeType = parse("a file's media type", &mime_type)?;
            let plugin: crate::config::PluginName = parse("the name of a file's plugin", &plugin)?;
            insert(
                connection,
                "INSERT INTO files (session, file, name, mime_type, plugin, cost, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (session, file) DO NOTHING",
                params![
                    row,
                    id.as_str(),
                    name.as_str(),
                    mime_type.as_str(),
                    plugin.as_str(),
                    integer(FILE_OVERHEAD),
                    integer(created_at.0),
                ],
            )
        }
        Record::FilePiece { session, id, start, data } => put_piece(connection, &session, &id, start, &data),
        Record::Channel { channel, state } => {
            let state = bytes("the state of a channel", &state)?;
            bounded("the state of a channel", state.len(), MAX_CHANNEL_STATE)?;
            insert(
                connection,
                "INSERT INTO channels (name, state) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET state = excluded.state WHERE state IS NULL",
                params![channel, state],
            )
        }
        Record::Seen { channel, event, at } => insert(
            connection,
            "INSERT INTO seen (channel, account, event, at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (channel, account, event) DO NOTHING",
            params![channel, event.account, event.id, integer(at.0)],
        ),
        Record::SetAside { id, channel, event, reason, at } => {
            let event = bytes("an event that is set aside", &event)?;
            bounded("an event that is set aside", event.len(), MAX_SET_ASIDE)?;
            insert(
                connection,
                "INSERT INTO set_aside (id, channel, at, reason, event) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO NOTHING",
                params![integer(id.0), channel, integer(at.0), reason, event],
            )
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
            if found(connection, "SELECT 1 FROM deliveries WHERE delivery = ?1", params![id.0.as_str()])? {
                return Ok(());
            }
            let row = session.as_ref().map(|session| existing(connection, session)).transpose()?;
            let mut statement = connection.prepare_cached(
                "INSERT INTO deliveries (delivery, session, agent, channel, conversation, draft, state, epoch, attempts,
                   due, reason, created_at, content, progress, receipt, open)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
                   (?6 = 1 OR ?7 IN ('pending', 'sending')))",
            )?;
            let delivery = statement.insert(params![
                id.0.as_str(),
                row,
                session.as_ref().map(SessionKey::agent),
                channel,
                conversation,
                draft,
                outbox::state_text(state),
                attempts,
                integer(due.0),
                reason,
                integer(created_at.0),
                bytes("the content of a delivery", &content)?,
                progress.map(|progress| bytes("the progress of a delivery", &progress)).transpose()?,
                receipt.map(outbox::receipt_text),
            ])?;
            outbox::show(connection, delivery, &shown)
        }
        Record::Pairing { pairing } => put_pairing(connection, &pairing),
        Record::Fact { fact } => put_fact(connection, &fact),
        Record::Counters { next_seq, next_fact, next_set_aside } => {
            counters::raise(connection, Counter::Seq, next_seq.0)?;
            raise(connection, "facts", next_fact.0)?;
            raise(connection, "set_aside", next_set_aside.0)
        }
    }
}

fn insert(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> SqlResult<()> {
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn put_message(connection: &Connection, session: &SessionKey, message: &StoredMessage) -> SqlResult<()> {
    let (session, place) = (existing(connection, session)?, integer(message.position.0));
    if found(connection, "SELECT 1 FROM messages WHERE session = ?1 AND position = ?2", params![session, place])? {
        return Ok(());
    }
    let size = messages::insert(connection, session, message)?;
    insert(
        connection,
        "UPDATE sessions SET messages = messages + 1, size = size + ?2, next_position = max(next_position, ?3 + 1)
         WHERE id = ?1",
        params![session, integer(size), place],
    )
}

/// An idempotency key that no other turn of the session has.
fn unused(connection: &Connection, session: i64, idempotency: Option<Idempotency>) -> SqlResult<Option<Idempotency>> {
    let Some(idempotency) = idempotency else { return Ok(None) };
    let sql = "SELECT 1 FROM turns WHERE session = ?1 AND key = ?2";
    let used = found(connection, sql, params![session, idempotency.key])?;
    Ok(Some(idempotency).filter(|_| !used))
}

/// The row of a turn, which must be there.
fn turn_row(connection: &Connection, session: i64, turn: TurnId) -> SqlResult<i64> {
    let mut statement = connection.prepare_cached("SELECT id FROM turns WHERE turn = ?1 AND session = ?2")?;
    let row = statement.query_row(params![turn.as_str(), session], |row| row.get(0)).optional()?;
    row.ok_or_else(|| StoreError::NoTurn(turn).into())
}

/// Notes where the answer of a turn goes.
fn put_destination(
    connection: &Connection,
    session: i64,
    turn: TurnId,
    destination: PortableDestination,
) -> SqlResult<()> {
    let PortableDestination { channel, conversation, address } = destination;
    let address = bytes("the address of an answer", &address)?;
    bounded("the address of an answer", address.len(), MAX_ADDRESS)?;
    let destination = Destination { channel, conversation, address: address.into() };
    turns::put_destination(connection, turn_row(connection, session, turn)?, &destination)
}

fn put_event(connection: &Connection, event: &Event) -> SqlResult<()> {
    let session = existing(connection, &event.session)?;
    let turn = turn_row(connection, session, event.turn)?;
    let sql = "SELECT 1 FROM events WHERE session = ?1 AND seq = ?2";
    if found(connection, sql, params![session, integer(event.seq.0)])? {
        return Ok(());
    }
    events::insert(connection, session, turn, event)
}

fn put_ledger(connection: &Connection, record: LedgerRecord) -> SqlResult<()> {
    let id = record.call.id;
    let sql = "SELECT 1 FROM ledger WHERE turn = ?1 AND call = ?2";
    if found(connection, sql, params![id.turn.as_str(), id.index])? {
        return Ok(());
    }
    if record.end.as_ref().is_some_and(|end| end.id != id) {
        return Err(bad("a record of the ledger", "it ends another call than it begins"));
    }
    ledger::apply(connection, &LedgerEntry::Begin(record.call))?;
    match record.end {
        Some(end) => ledger::apply(connection, &LedgerEntry::Settle(end)),
        None => Ok(()),
    }
}

/// Adds what is not there yet of a piece.
fn put_piece(connection: &Connection, session: &SessionKey, id: &str, start: u64, data: &str) -> SqlResult<()> {
    existing(connection, session)?;
    let data = bytes("a piece of a file", data)?;
    let file = File::find(connection, session, id)?;
    let file = file.ok_or_else(|| bad("a piece of a file", format!("there is no file `{id}`")))?;
    let Some(there) = file.size.checked_sub(start) else {
        let reason = format!("it begins at {start}, and what is there ends at {}", file.size);
        return Err(bad("a piece of a file", reason));
    };
    match usize::try_from(there).ok().and_then(|there| data.get(there..)) {
        Some(new) if !new.is_empty() => file.extend(connection, new),
        _ => Ok(()),
    }
}

fn put_fact(connection: &Connection, fact: &Fact) -> SqlResult<()> {
    bounded("a fact", fact.text.len(), MAX_FACT)?;
    let session = fact.source.as_ref().map(|(session, _)| existing(connection, session)).transpose()?;
    insert(
        connection,
        "INSERT INTO facts (id, owner, text, session, turn, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO NOTHING",
        params![
            integer(fact.id.0),
            fact.owner,
            fact.text,
            session,
            fact.source.as_ref().map(|(_, turn)| turn.as_str()),
            integer(fact.created_at.0),
        ],
    )
}

/// A writer, unless they are known, or wait under a code that another has.
fn put_pairing(connection: &Connection, pairing: &Pairing) -> SqlResult<()> {
    let Pairing { writer, name, state } = pairing;
    let (code, until, approved_at) = match state {
        PairingState::Pending { code, until } => (Some(code), Some(integer(until.0)), None),
        PairingState::Approved { since } => (None, None, Some(integer(since.0))),
    };
    insert(
        connection,
        "INSERT INTO pairings (channel, account, kind, writer, name, code, until, approved_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        params![
            writer.channel,
            writer.account,
            pairings::kind_text(writer.kind),
            writer.id,
            name,
            code,
            until,
            approved_at
        ],
    )
}

/// Sees to it that a table gives no number below `next`.
fn raise(connection: &Connection, table: &str, next: u64) -> SqlResult<()> {
    let last = integer(next.saturating_sub(1));
    let sql = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
    if connection.prepare_cached(sql)?.execute(params![table, last])? == 0 {
        insert(connection, "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", params![table, last])?;
    }
    Ok(())
}
