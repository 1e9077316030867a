//! The versions of the schema, and the way from one to the next.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::connection::beside;
use super::error::{OpenError, SqlError, SqlResult, explain};
use super::maintain::copy;
use super::rollup;

/// Marks a database as a store of this program: `exoc`. SQLite's header has a field for it.
const APPLICATION_ID: i32 = 0x6578_6f63;

/// One step of the schema. It is one transaction: a store is of one version or of the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Migration {
    /// The version that it leads to, from the one before it.
    pub(super) to: u32,
    /// What it does, in this order. Foreign keys are checked at its end, so that tables can be rebuilt.
    sql: &'static [&'static str],
    /// What it does then, where no statement can do it.
    then: Option<fn(&Connection) -> SqlResult<()>>,
}

impl Migration {
    pub(super) const fn new(to: u32, sql: &'static [&'static str]) -> Self {
        Self { to, sql, then: None }
    }
}

/// All of them, in order. One that was released is never changed.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration::new(1, &[include_str!("schema/sessions.sql"), include_str!("schema/rest.sql")]),
    Migration::new(2, &[include_str!("schema/channels.sql")]),
    Migration { then: Some(rollup::fill), ..Migration::new(3, &[include_str!("schema/usage.sql")]) },
];

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet.
    New,
    /// A store of a version that is known.
    Version(u32),
}

/// The version that a program with these migrations works with.
pub(super) fn latest(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |migration| migration.to)
}

/// What the file holds, if it is a store that these migrations know or can become one.
pub(super) fn find(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<Found, OpenError> {
    let sql = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    let application = number("application_id").map_err(sql)?;
    let version = number("user_version").map_err(sql)?;
    let known = latest(migrations);
    match (application, u32::try_from(version)) {
        (0, Ok(0)) if tables == 0 => Ok(Found::New),
        (APPLICATION_ID, Ok(found)) if found > known => Err(OpenError::Newer { path: path.to_owned(), found, known }),
        (APPLICATION_ID, Ok(found)) if found > 0 => Ok(Found::Version(found)),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

/// The copy that is left before a store of `version` is changed.
pub(super) fn backup_of(path: &Path, version: u32) -> PathBuf {
    beside(path, &format!(".v{version}-backup"))
}

/// Brings a store up to date. One that holds something is copied first; the copy stays, for the way back.
pub(super) fn migrate(
    connection: &Connection,
    path: &Path,
    found: Found,
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let to = latest(migrations);
    let mut version = match found {
        Found::New => 0,
        Found::Version(version) if version == to => return Ok(()),
        Found::Version(from) => {
            let kept = backup_of(path, from);
            // One of an earlier try, or from before a way back that was taken, holds less than this one.
            copy::copy(connection, &kept, &mut |_| {}).and_then(copy::Copied::replace).map_err(|error| {
                OpenError::Migration { path: path.to_owned(), from, to, reason: format!("its copy: {error}") }
            })?;
            tracing::info!(path = %path.display(), backup = %kept.display(), from, to, "the store is brought up to date");
            from
        }
    };
    let failed = |from: u32, to: u32, error: &SqlError| match (from, error) {
        (0, SqlError::Sqlite(error)) => OpenError::sqlite(path, error),
        (_, SqlError::Sqlite(error)) => {
            OpenError::Migration { path: path.to_owned(), from, to, reason: explain(error) }
        }
        (_, error) => OpenError::Migration { path: path.to_owned(), from, to, reason: error.to_string() },
    };
    // Tables are rebuilt under their rows' references; each step checks them at its end.
    connection.pragma_update(None, "foreign_keys", false).map_err(|error| failed(version, to, &error.into()))?;
    let from = version;
    for migration in migrations.iter().filter(|migration| migration.to > from) {
        if let Err(error) = apply(connection, migration) {
            let _ = connection.execute_batch("ROLLBACK");
            return Err(failed(version, migration.to, &error));
        }
        version = migration.to;
    }
    connection.pragma_update(None, "foreign_keys", true).map_err(|error| failed(version, to, &error.into()))
}

fn apply(connection: &Connection, migration: &Migration) -> SqlResult<()> {
    connection.execute_batch("BEGIN EXCLUSIVE")?;
    for sql in migration.sql {
        connection.execute_batch(sql)?;
    }
    if let Some(then) = migration.then {
        then(connection)?;
    }
    let dangling = connection.prepare("PRAGMA foreign_key_check")?.exists([])?;
    if dangling {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY);
        let reason = "rows refer to rows that are not there".to_owned();
        return Err(rusqlite::Error::SqliteFailure(code, Some(reason)).into());
    }
    // Both are part of the transaction.
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", migration.to)?;
    Ok(connection.execute_batch("COMMIT")?)
}
