//! The sums that are kept beside the ledger, in its transactions: by what calls are told apart by and quarter of
//! an hour, of which every zone's days are made; the same by day, for long spans; and by session and hour.

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::cells::{integer, parse};
use super::error::SqlResult;
use crate::store::usage::QUARTER;
use crate::store::{ModelCallEnd, SessionKey, Timestamp, UsageSums};

/// An hour, in milliseconds: the width of the sums of sessions.
pub(super) const HOUR: u64 = 4 * QUARTER;

/// A day, in milliseconds.
pub(super) const DAY: u64 = 24 * HOUR;

/// The columns of sums, in the order of [`cells`].
macro_rules! sums {
    () => {
        "calls, estimated, cut, failed, lost, input, output, cache_read, cache_write, cache_write_1h, reasoning, cost, \
         unpriced, cache_saving, duration"
    };
}

/// Adds a row to the one that is there.
macro_rules! added {
    () => {
        "calls = calls + excluded.calls, estimated = estimated + excluded.estimated, cut = cut + excluded.cut, \
         failed = failed + excluded.failed, lost = lost + excluded.lost, input = input + excluded.input, \
         output = output + excluded.output, cache_read = cache_read + excluded.cache_read, \
         cache_write = cache_write + excluded.cache_write, \
         cache_write_1h = cache_write_1h + excluded.cache_write_1h, reasoning = reasoning + excluded.reasoning, \
         cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced, \
         cache_saving = cache_saving + excluded.cache_saving, duration = duration + excluded.duration"
    };
}

/// One call of the ledger, as the columns of sums.
macro_rules! of_call {
    () => {
        "count(*), sum(u.estimated), sum(u.outcome = 'cut'), sum(u.outcome = 'failed'), sum(u.outcome = 'lost'), \
         sum(u.input), sum(u.output), sum(u.cache_read), sum(u.cache_write), sum(u.cache_write_1h), \
         sum(u.reasoning), sum(coalesce(u.cost, 0)), \
         sum(u.cost IS NULL AND u.input + u.output + u.cache_read + u.cache_write > 0), \
         sum(coalesce(u.cache_saving, 0)), sum(max(u.ended_at - u.at, 0))"
    };
}

/// Sums, as the columns of sums.
macro_rules! of_sums {
    () => {
        "sum(u.calls), sum(u.estimated), sum(u.cut), sum(u.failed), sum(u.lost), sum(u.input), sum(u.output), \
         sum(u.cache_read), sum(u.cache_write), sum(u.cache_write_1h), sum(u.reasoning), sum(u.cost), \
         sum(u.unpriced), sum(u.cache_saving), sum(u.duration)"
    };
}

/// Calls of the ledger, whose alias is `u`, added up: the columns of sums.
pub(super) const OF_LEDGER: &str = of_call!();

/// Sums, whose alias is `u`, added up: the same columns.
pub(super) const OF_SUMS: &str = of_sums!();

const ADD_QUARTER: &str = concat!(
    "INSERT INTO usage_quarters (scope, at, ",
    sums!(),
    ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope, at) DO UPDATE SET ",
    added!()
);

const ADD_DAY: &str = concat!(
    "INSERT INTO usage_days (scope, at, ",
    sums!(),
    ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope, at) DO UPDATE SET ",
    added!()
);

const ADD_HOUR: &str = concat!(
    "INSERT INTO usage_hours (session, at, scope, ",
    sums!(),
    ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session, at, scope) DO UPDATE SET ",
    added!()
);

/// Fills the sums from the ledger, once its sessions are known.
const FILL: &str = concat!(
    "INSERT INTO usage_scopes (agent, channel, cause, provider, model)
         SELECT DISTINCT s.agent, s.channel, u.cause, u.provider, u.model
         FROM ledger u JOIN usage_sessions s ON s.session = u.session WHERE u.outcome IS NOT NULL;
     INSERT INTO usage_hours (session, at, scope, ",
    sums!(),
    ") SELECT s.id, u.at - u.at % 3600000, k.id, ",
    of_call!(),
    " FROM ledger u JOIN usage_sessions s ON s.session = u.session
         JOIN usage_scopes k ON k.agent = s.agent AND k.channel = s.channel AND k.cause = u.cause
           AND k.provider = u.provider AND k.model = u.model
         WHERE u.outcome IS NOT NULL GROUP BY 1, 2, 3;
     INSERT INTO usage_quarters (scope, at, ",
    sums!(),
    ") SELECT k.id, u.at - u.at % 900000, ",
    of_call!(),
    " FROM ledger u JOIN usage_sessions s ON s.session = u.session
         JOIN usage_scopes k ON k.agent = s.agent AND k.channel = s.channel AND k.cause = u.cause
           AND k.provider = u.provider AND k.model = u.model
         WHERE u.outcome IS NOT NULL GROUP BY 1, 2;
     INSERT INTO usage_days (scope, at, ",
    sums!(),
    ") SELECT u.scope, u.at - u.at % 86400000, ",
    of_sums!(),
    " FROM usage_quarters u GROUP BY 1, 2;"
);

/// A call that was settled just now.
pub(super) struct Settled {
    pub(super) session: String,
    pub(super) cause: String,
    pub(super) provider: String,
    pub(super) model: String,
    /// When it began.
    pub(super) at: Timestamp,
}

/// A session, as sums refer to it.
struct SessionRow {
    id: i64,
    agent: String,
    channel: String,
}

/// Adds a call to the sums. Its counts are bounded, so that no sum passes what an integer holds.
pub(super) fn add(connection: &Connection, settled: &Settled, end: &ModelCallEnd) -> SqlResult<()> {
    let session = session(connection, &settled.session)?;
    let scope = scope(connection, &session, settled)?;
    let at = settled.at.0;
    let cells = cells(&UsageSums::of(settled.at, end));
    let add = |sql, place: &[i64]| -> SqlResult<()> {
        let values = place.iter().chain(&cells);
        connection.prepare_cached(sql)?.execute(params_from_iter(values))?;
        Ok(())
    };
    let beginning = |width| integer(at - at % width);
    add(ADD_QUARTER, &[scope, beginning(QUARTER)])?;
    add(ADD_DAY, &[scope, beginning(DAY)])?;
    add(ADD_HOUR, &[session.id, beginning(HOUR), scope])
}

fn cells(sums: &UsageSums) -> [i64; 15] {
    let UsageSums { calls, estimated, cut, failed, lost, tokens, cost, unpriced, cache_saving, duration_ms } = *sums;
    [
        integer(calls),
        integer(estimated),
        integer(cut),
        integer(failed),
        integer(lost),
        integer(tokens.input_tokens),
        integer(tokens.output_tokens),
        integer(tokens.cache_read_tokens),
        integer(tokens.cache_write_tokens),
        integer(tokens.cache_write_1h_tokens),
        integer(tokens.reasoning_tokens),
        integer(cost.as_nanos()),
        integer(unpriced),
        cache_saving,
        integer(duration_ms),
    ]
}

/// The row of a session, made where there is none. It stays when the session goes.
fn session(connection: &Connection, key: &str) -> SqlResult<SessionRow> {
    let mut statement = connection.prepare_cached("SELECT id, agent, channel FROM usage_sessions WHERE session = ?")?;
    let found =
        statement.query_row([key], |row| Ok(SessionRow { id: row.get(0)?, agent: row.get(1)?, channel: row.get(2)? }));
    if let Some(found) = found.optional()? {
        return Ok(found);
    }
    let key: SessionKey = parse("a session's key", key)?;
    let (agent, channel) = (key.agent(), key.channel());
    let mut statement = connection
        .prepare_cached("INSERT INTO usage_sessions (session, agent, channel, account, peer) VALUES (?, ?, ?, ?, ?)")?;
    let id = statement.insert((key.as_str(), &agent, &channel, key.account(), key.peer()))?;
    Ok(SessionRow { id, agent, channel })
}

/// The row of what calls are told apart by, made where there is none.
fn scope(connection: &Connection, session: &SessionRow, settled: &Settled) -> SqlResult<i64> {
    let Settled { cause, provider, model, .. } = settled;
    let values = params![session.agent, session.channel, cause, provider, model];
    let mut statement = connection.prepare_cached(
        "SELECT id FROM usage_scopes WHERE agent = ? AND channel = ? AND cause = ? AND provider = ? AND model = ?",
    )?;
    if let Some(found) = statement.query_row(values, |row| row.get(0)).optional()? {
        return Ok(found);
    }
    let mut statement = connection
        .prepare_cached("INSERT INTO usage_scopes (agent, channel, cause, provider, model) VALUES (?, ?, ?, ?, ?)")?;
    Ok(statement.insert(values)?)
}

/// Fills the sums of a store that had none.
pub(super) fn fill(connection: &Connection) -> SqlResult<()> {
    let mut statement = connection.prepare("SELECT DISTINCT session FROM ledger WHERE outcome IS NOT NULL")?;
    let mut sessions = statement.query([])?;
    while let Some(row) = sessions.next()? {
        session(connection, &row.get::<_, String>(0)?)?;
    }
    Ok(connection.execute_batch(FILL)?)
}
