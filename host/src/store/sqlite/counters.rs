//! Counters over all sessions.

use rusqlite::{Connection, OptionalExtension};

use super::cells::{corrupt, integer, number};
use super::error::SqlResult;

/// A counter, kept in the table `meta` as the number that it gives next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    /// The epochs of owners.
    Epoch,
    /// The sequence numbers of events.
    Seq,
}

impl Counter {
    /// Its name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Epoch => "next_epoch",
            Self::Seq => "next_seq",
        }
    }
}

/// What a counter gives next: 1 at first, since 0 is before all.
pub(super) fn next(connection: &Connection, counter: Counter) -> SqlResult<u64> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?")?;
    let next = statement.query_row([counter.name()], |row| row.get(0)).optional()?;
    Ok(next.map_or(1, number).max(1))
}

/// Sees to it that a counter gives nothing below `next`.
pub(super) fn raise(connection: &Connection, counter: Counter, next: u64) -> SqlResult<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO meta (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
    )?;
    statement.execute((counter.name(), integer(next)))?;
    Ok(())
}

/// Takes `count` numbers of a counter and says the first. They are never given again.
pub(super) fn take(connection: &Connection, counter: Counter, count: u64) -> SqlResult<u64> {
    let first = next(connection, counter)?;
    let end = first.checked_add(count).filter(|end| i64::try_from(*end).is_ok());
    let end = end.ok_or_else(|| corrupt("a counter", format!("`{}` has come to its end", counter.name())))?;
    raise(connection, counter, end)?;
    Ok(first)
}
