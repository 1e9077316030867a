//! Tests of the connections, on a schema of one table.

mod group;
mod maintain;
mod open;
mod sick;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::db::Db;
use super::error::{OpenError, SqlResult};
use super::migrate::Migration;
use super::{Durability, SqliteOptions};
use crate::config::ByteSize;
use crate::store::StoreError;

/// A store of version 1 with a table of items.
const ONE: &[Migration] =
    &[Migration::new(1, &["CREATE TABLE item (key INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"])];

fn options(path: &Path) -> SqliteOptions {
    SqliteOptions {
        path: path.to_owned(),
        durability: Durability::Power,
        files: ByteSize::mib(1),
        session_files: ByteSize::mib(1),
    }
}

/// A folder and a store's path in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").join("exoclaw.db");
    (folder, path)
}

fn open(path: &Path) -> Result<Db, OpenError> {
    Db::open_with(&options(path), ONE)
}

fn insert(connection: &Connection, key: i64, text: &str) -> SqlResult<()> {
    connection.prepare_cached("INSERT INTO item VALUES (?, ?)")?.execute((key, text))?;
    Ok(())
}

async fn put(db: &Db, key: i64, text: &str) -> Result<(), StoreError> {
    let text = text.to_owned();
    db.write(move |connection| insert(connection, key, &text)).await
}

async fn keys(db: &Db) -> Vec<i64> {
    let read = db.read(|connection| {
        let mut statement = connection.prepare_cached("SELECT key FROM item ORDER BY key")?;
        let keys = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        Ok(keys)
    });
    read.await.unwrap()
}
