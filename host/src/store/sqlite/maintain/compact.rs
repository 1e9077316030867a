//! Giving the room of what was deleted back to the disk.

use std::path::Path;

use rusqlite::Connection;

use super::super::connection::{beside, resolve, writer};
use super::super::error::explain;
use super::super::lock::Lock;
use super::super::migrate::{MIGRATIONS, Migration};
use super::super::{OpenError, SqliteOptions};
use super::{MaintainError, Progress};

/// Free pages that are given back in one transaction: 4 MiB.
const STEP_PAGES: i64 = 1_024;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The store's files before, in bytes.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// Makes the store small: gives free pages back, merges full-text indexes, and writes all pages anew, in
/// order, for which the disk needs room for two more copies. Needs the store for itself. Blocks.
///
/// # Errors
/// Each step is whole or did not happen, so the store is as good as before.
pub fn compact(options: &SqliteOptions, progress: &mut dyn FnMut(Progress)) -> Result<Compacted, MaintainError> {
    compact_with(options, MIGRATIONS, progress)
}

pub(in super::super) fn compact_with(
    options: &SqliteOptions,
    migrations: &[Migration],
    progress: &mut dyn FnMut(Progress),
) -> Result<Compacted, MaintainError> {
    let missing = || OpenError::Missing { path: options.path.clone() };
    let path = resolve(&options.path).map_err(|_| missing())?;
    if !path.is_file() {
        return Err(missing().into());
    }
    let _lock = Lock::take(&path)?;
    let before = size(&path);
    let connection = writer(&path, options.durability, migrations)?;
    let failed = |what: &'static str| {
        let path = path.clone();
        move |error: rusqlite::Error| MaintainError::Sqlite { path, what, reason: explain(&error) }
    };
    cut(&connection).map_err(failed("moving the log into the file"))?;
    let indexes = full_text(&connection).map_err(failed("looking for full-text indexes"))?;
    let free = free(&connection).map_err(failed("counting free pages"))?;
    let steps = u64::try_from(free / STEP_PAGES).unwrap_or(0) + 1;
    let total = indexes.len() as u64 + steps + 1;
    let mut done = 0;
    let mut at = |what: &'static str, done: u64| progress(Progress { what, done, total });
    // First what needs no room, so that the rest has more.
    for _ in 0..steps {
        at("giving free pages back", done);
        let step = connection.execute_batch(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"));
        step.and_then(|()| cut(&connection)).map_err(failed("giving free pages back"))?;
        done += 1;
    }
    for index in indexes {
        at("merging full-text indexes", done);
        let name = index.replace('"', "\"\"");
        let merged = connection.execute(&format!("INSERT INTO \"{name}\"(\"{name}\") VALUES ('optimize')"), []);
        merged.map_err(failed("merging a full-text index"))?;
        done += 1;
    }
    at("writing all pages anew", done);
    let anew = connection.execute_batch("VACUUM").and_then(|()| cut(&connection));
    anew.map_err(failed("writing all pages anew, which needs room for two more copies of the store,"))?;
    at("compacted", total);
    connection.close().map_err(|(_, error)| failed("closing")(error))?;
    Ok(Compacted { before, after: size(&path) })
}

/// Moves the log into the file and cuts it.
fn cut(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn free(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "freelist_count", |row| row.get(0))
}

/// The full-text indexes of the schema, whichever it is.
fn full_text(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%USING fts5%'";
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

fn size(path: &Path) -> u64 {
    let files = [path.to_owned(), beside(path, "-wal")];
    files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|found| found.len()).sum()
}
