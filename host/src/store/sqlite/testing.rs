//! What tests of rows share: a store in a folder of its own, and a look at what is in it.

use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{Durability, SqliteOptions, SqliteStore};
use crate::config::ByteSize;
use crate::store::{Accept, Epoch, Message, Role, SessionKey, Store, Timestamp, TurnId};

pub(super) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A store, and its folder.
pub(super) fn store() -> Result<(TempDir, SqliteStore)> {
    limited(ByteSize::mib(64), ByteSize::mib(64))
}

/// A store with limits on files.
pub(super) fn limited(files: ByteSize, session_files: ByteSize) -> Result<(TempDir, SqliteStore)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(SqliteOptions { path, durability: Durability::Process, files, session_files })?;
    Ok((folder, store))
}

pub(super) fn session(peer: &str) -> SessionKey {
    SessionKey::new("main", "telegram", "1", peer).expect("a key")
}

pub(super) fn turn(number: u64) -> TurnId {
    TurnId::new(Timestamp(number), number)
}

pub(super) fn message(peer: &str, number: u64, text: &str) -> Accept {
    Accept {
        session: session(peer),
        turn: turn(number),
        message: Arc::new(Message::text(Role::User, text)),
        destination: None,
        begin: None,
        idempotency: None,
        epoch: Epoch(1),
        now: Timestamp(number),
    }
}

/// Opens a turn in a session.
pub(super) async fn open(store: &SqliteStore, peer: &str, number: u64) -> Result {
    store.accept(message(peer, number, "hello")).await?;
    Ok(())
}

/// A number that a query finds.
pub(super) async fn count(store: &SqliteStore, sql: &'static str) -> Result<i64> {
    Ok(store.db.read(move |connection| Ok(connection.query_row(sql, [], |row| row.get(0))?)).await?)
}

/// How SQLite would run a statement, a step a line. Its parameters are unknown.
pub(super) async fn plan(store: &SqliteStore, sql: impl Into<String>) -> Result<String> {
    let sql = format!("EXPLAIN QUERY PLAN {}", sql.into());
    let read = move |connection: &Connection| {
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.raw_query();
        let mut plan = String::new();
        while let Some(row) = rows.next()? {
            plan.push_str(&row.get::<_, String>(3)?);
            plan.push('\n');
        }
        Ok(plan)
    };
    Ok(store.db.read(read).await?)
}
