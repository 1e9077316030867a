//! Whether a store is whole: its pages, its references, and its counters against what they count.

use std::fmt;
use std::path::Path;

use rusqlite::{Connection, Row};

use super::super::OpenError;
use super::super::connection::{onlooker, resolve};
use super::super::error::explain;
use super::super::migrate::{self, Found, MIGRATIONS, Migration};
use super::{MaintainError, Progress};

/// How many problems of each kind are named.
const NAMED: usize = 100;

/// A rule that holds over rows.
pub(in super::super) struct Check {
    /// What is wrong where it does not hold, for a person.
    pub(in super::super) what: &'static str,
    /// The tables that it needs. It is left out for a store that is older than they are.
    pub(in super::super) tables: &'static [&'static str],
    /// One row for each place where it does not hold; its first column names the place.
    pub(in super::super) sql: &'static str,
}

/// All rules. One that is added here is checked.
pub(in super::super) const CHECKS: &[Check] = &[
    Check {
        what: "a session counts other messages than it has",
        tables: &["sessions", "messages"],
        sql: "SELECT s.key || ': ' || s.messages || ' counted, ' || count(m.id) || ' there' \
              FROM sessions s LEFT JOIN messages m ON m.session = s.id GROUP BY s.id HAVING s.messages <> count(m.id)",
    },
    Check {
        what: "a session counts other bytes than its messages have",
        tables: &["sessions", "messages"],
        sql: "SELECT s.key || ': ' || s.size || ' counted, ' || coalesce(sum(octet_length(m.blocks)), 0) || ' there' \
              FROM sessions s LEFT JOIN messages m ON m.session = s.id \
              GROUP BY s.id HAVING s.size <> coalesce(sum(octet_length(m.blocks)), 0)",
    },
    Check {
        what: "a message stands where its session will put the next ones",
        tables: &["sessions", "messages"],
        sql: "SELECT s.key || ': ' || m.position FROM messages m JOIN sessions s ON s.id = m.session \
              WHERE m.position >= s.next_position",
    },
    Check {
        what: "an event has a number that will be given again",
        tables: &["meta", "sessions", "events"],
        sql: "SELECT s.key || ': ' || e.seq FROM events e JOIN sessions s ON s.id = e.session \
              WHERE e.seq >= coalesce((SELECT value FROM meta WHERE name = 'next_seq'), 1)",
    },
    Check {
        what: "a session was advanced in an epoch that was not given yet",
        tables: &["meta", "sessions"],
        sql: "SELECT key || ': ' || epoch FROM sessions \
              WHERE epoch >= coalesce((SELECT value FROM meta WHERE name = 'next_epoch'), 1)",
    },
    Check {
        what: "an event is of a turn of another session",
        tables: &["sessions", "turns", "events"],
        sql: "SELECT s.key || ': ' || e.seq FROM events e JOIN sessions s ON s.id = e.session \
              JOIN turns t ON t.id = e.turn WHERE t.session <> e.session",
    },
    Check {
        what: "a plugin's data counts other bytes than it has",
        tables: &["kv", "kv_use"],
        sql: "SELECT plugin || ': ' || sum(counted) || ' counted, ' || sum(there) || ' there' \
              FROM (SELECT plugin, bytes AS counted, 0 AS there FROM kv_use \
                    UNION ALL SELECT plugin, 0, cost FROM kv) \
              GROUP BY plugin HAVING sum(counted) <> sum(there)",
    },
    Check {
        what: "files count other bytes than they have",
        tables: &["files", "file_use"],
        sql: "SELECT CASE session WHEN 0 THEN 'all sessions' ELSE 'the session in row ' || session END \
              || ': ' || sum(counted) || ' counted, ' || sum(there) || ' there' \
              FROM (SELECT session, bytes AS counted, 0 AS there FROM file_use \
                    UNION ALL SELECT session, 0, cost FROM files UNION ALL SELECT 0, 0, cost FROM files) \
              GROUP BY session HAVING sum(counted) <> sum(there)",
    },
    Check {
        what: "a file has another length than its pieces",
        tables: &["files", "file_pieces"],
        sql: "SELECT f.file || ': ' || f.size || ' counted, ' || coalesce(sum(length(p.data)), 0) || ' there' \
              FROM files f LEFT JOIN file_pieces p ON p.file = f.id \
              GROUP BY f.id HAVING f.size <> coalesce(sum(length(p.data)), 0)",
    },
    Check {
        what: "a file has a gap",
        tables: &["files", "file_pieces"],
        sql: "SELECT f.file || ': before ' || p.start FROM file_pieces p JOIN files f ON f.id = p.file \
              WHERE p.start > 0 AND NOT EXISTS \
              (SELECT 1 FROM file_pieces q WHERE q.file = p.file AND q.start + length(q.data) = p.start)",
    },
    Check {
        what: "what is shown of a delivery is said to be of another channel",
        tables: &["deliveries", "shown"],
        sql: "SELECT d.delivery || ': ' || s.message FROM shown s JOIN deliveries d ON d.id = s.delivery \
              WHERE s.channel <> d.channel",
    },
    Check {
        what: "a turn that ended still has an answer to send",
        tables: &["turns", "destinations"],
        sql: "SELECT t.turn FROM destinations d JOIN turns t ON t.id = d.turn WHERE t.open = 0",
    },
    Check {
        what: "what was spent adds up to something else than the ledger's records",
        tables: &["ledger", "usage_sessions", "usage_scopes", "usage_quarters"],
        sql: "SELECT 'the quarter of an hour from ' || datetime(at / 1000, 'unixepoch') || ': ' || sum(calls) || ' calls, ' \
                || sum(tokens) || ' tokens and ' || sum(cost) || ' nano-dollars too many' \
              FROM (SELECT scope, at, calls, input + output + cache_read + cache_write AS tokens, cost FROM usage_quarters \
                    UNION ALL SELECT k.id, l.at - l.at % 900000, -1, \
                      -(l.input + l.output + l.cache_read + l.cache_write), -coalesce(l.cost, 0) \
                    FROM ledger l LEFT JOIN usage_sessions s ON s.session = l.session \
                    LEFT JOIN usage_scopes k ON k.agent = s.agent AND k.channel = s.channel AND k.cause = l.cause \
                      AND k.provider = l.provider AND k.model = l.model WHERE l.outcome IS NOT NULL) \
              GROUP BY scope, at HAVING sum(calls) <> 0 OR sum(tokens) <> 0 OR sum(cost) <> 0",
    },
    Check {
        what: "what was spent in a day is something else than in its quarters of an hour",
        tables: &["usage_days", "usage_quarters"],
        sql: "SELECT date(at / 1000, 'unixepoch') || ': ' || sum(calls) || ' calls, ' || sum(tokens) || ' tokens and ' \
                || sum(cost) || ' nano-dollars too many' \
              FROM (SELECT scope, at, calls, input + output + cache_read + cache_write AS tokens, cost FROM usage_days \
                    UNION ALL SELECT scope, at - at % 86400000, -calls, \
                      -(input + output + cache_read + cache_write), -cost FROM usage_quarters) \
              GROUP BY scope, at HAVING sum(calls) <> 0 OR sum(tokens) <> 0 OR sum(cost) <> 0",
    },
    Check {
        what: "what a session spent adds up to something else than its records in the ledger",
        tables: &["ledger", "usage_sessions", "usage_scopes", "usage_hours"],
        sql: "SELECT coalesce(s.session, 'no session') || ': ' || sum(calls) || ' calls, ' || sum(tokens) || ' tokens and ' \
                || sum(cost) || ' nano-dollars too many' \
              FROM (SELECT session, at, calls, input + output + cache_read + cache_write AS tokens, cost FROM usage_hours \
                    UNION ALL SELECT s.id, l.at - l.at % 3600000, -1, \
                      -(l.input + l.output + l.cache_read + l.cache_write), -coalesce(l.cost, 0) \
                    FROM ledger l LEFT JOIN usage_sessions s ON s.session = l.session WHERE l.outcome IS NOT NULL) u \
              LEFT JOIN usage_sessions s ON s.id = u.session \
              GROUP BY u.session, at HAVING sum(calls) <> 0 OR sum(tokens) <> 0 OR sum(cost) <> 0",
    },
];

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Pages, or an index, do not hold together.
    Structure(String),
    /// A row refers to one that is not there.
    Reference {
        /// The table of the row.
        table: String,
        /// The table that it refers to.
        to: String,
    },
    /// A rule over rows does not hold.
    Rule {
        /// What is wrong.
        what: &'static str,
        /// Where.
        place: String,
    },
    /// A rule could not be checked.
    Unchecked {
        /// What would be wrong.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure(what) => f.write_str(what),
            Self::Reference { table, to } => write!(f, "a row of `{table}` refers to one of `{to}` that is not there"),
            Self::Rule { what, place } => write!(f, "{what}: {place}"),
            Self::Unchecked { what, reason } => write!(f, "not checked whether {what}: {reason}"),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The version of its schema.
    pub version: u32,
    /// Its pages together, in bytes.
    pub bytes: u64,
    /// What is wrong, at most some hundred of each kind. Nothing, where the store is whole.
    pub problems: Vec<Problem>,
}

/// Looks through the store at `path`, which a gateway may use meanwhile; it is seen as of one moment. Changes
/// nothing. Blocks: reads all of it.
///
/// # Errors
/// It cannot be read as a store at all.
pub fn verify(path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Verified, MaintainError> {
    verify_with(path, MIGRATIONS, CHECKS, progress)
}

pub(in super::super) fn verify_with(
    path: &Path,
    migrations: &[Migration],
    checks: &[Check],
    progress: &mut dyn FnMut(Progress),
) -> Result<Verified, MaintainError> {
    let path = resolve(path).map_err(|_| OpenError::Missing { path: path.to_owned() })?;
    let connection = onlooker(&path)?;
    let Found::Version(version) = migrate::find(&connection, &path, migrations)? else {
        return Err(OpenError::Missing { path }.into());
    };
    let failed = |what: &'static str| {
        let path = path.clone();
        move |error: rusqlite::Error| MaintainError::Sqlite { path, what, reason: explain(&error) }
    };
    let connection = connection.unchecked_transaction().map_err(failed("the look"))?;
    let size = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let bytes = size("page_count").and_then(|pages| Ok(pages.saturating_mul(size("page_size")?)));
    let bytes = u64::try_from(bytes.map_err(failed("the look"))?).unwrap_or(0);
    let total = 2 + checks.len() as u64;
    let mut at = |what: &'static str, done: u64| progress(Progress { what, done, total });

    // Among the pages: also full-text indexes against what they index.
    at("checking pages and indexes", 0);
    let mut problems = structure(&connection);
    at("checking references", 1);
    let references = rows(&connection, "PRAGMA foreign_key_check", |row| {
        Ok(Problem::Reference { table: row.get(0)?, to: row.get(2)? })
    });
    match references {
        Ok(found) => problems.extend(found),
        Err(error) => problems.push(Problem::Structure(format!("references cannot be read: {error}"))),
    }
    for (check, done) in checks.iter().zip(2..) {
        at("checking counters", done);
        problems.extend(hold(&connection, check));
    }
    at("checked", total);
    Ok(Verified { version, bytes, problems })
}

fn structure(connection: &Connection) -> Vec<Problem> {
    let found = rows(connection, &format!("PRAGMA integrity_check({NAMED})"), |row| row.get::<_, String>(0));
    match found {
        Ok(found) => found.into_iter().filter(|line| line != "ok").map(Problem::Structure).collect(),
        Err(error) => vec![Problem::Structure(format!("pages cannot be read: {error}"))],
    }
}

fn hold(connection: &Connection, check: &Check) -> Vec<Problem> {
    let found =
        check.tables.iter().try_fold(true, |all, table| Ok(all && connection.table_exists(None, *table)?)).and_then(
            |all| if all { rows(connection, check.sql, |row| row.get::<_, String>(0)) } else { Ok(Vec::new()) },
        );
    match found {
        Ok(found) => found.into_iter().map(|place| Problem::Rule { what: check.what, place }).collect(),
        Err(error) => vec![Problem::Unchecked { what: check.what, reason: error.to_string() }],
    }
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(sql)?.query_map([], read)?.take(NAMED).collect()
}
