//! The ledger, as rows.

use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use super::SqliteStore;
use super::cells::{corrupt, integer, number, parse, rows, small};
use super::error::SqlResult;
use crate::store::{
    CallOutcome, Ledger, LedgerEntry, LedgerFilter, LedgerRecord, ModelCall, ModelCallEnd, ModelCallId, Page,
    StoreError, Timestamp, TokenUsage, TurnId,
};

impl Ledger for SqliteStore {
    fn ledger<'a>(
        &'a self,
        filter: &'a LedgerFilter,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<LedgerRecord, ModelCallId>, StoreError>> {
        let filter = filter.clone();
        self.db.read(move |connection| page(connection, &filter, after, limit)).boxed()
    }
}

fn counts(tokens: &TokenUsage) -> [i64; 4] {
    [tokens.input_tokens, tokens.output_tokens, tokens.cache_read_tokens, tokens.cache_write_tokens].map(integer)
}

fn tokens(counts: [i64; 4]) -> TokenUsage {
    let [input_tokens, output_tokens, cache_read_tokens, cache_write_tokens] = counts.map(number);
    TokenUsage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens }
}

const fn outcome(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Finished => "finished",
        CallOutcome::Cut => "cut",
        CallOutcome::Failed => "failed",
        CallOutcome::Lost => "lost",
    }
}

fn read_outcome(text: &str) -> SqlResult<CallOutcome> {
    let all = [CallOutcome::Finished, CallOutcome::Cut, CallOutcome::Failed, CallOutcome::Lost];
    let found = all.into_iter().find(|known| outcome(*known) == text);
    found.ok_or_else(|| corrupt("a record of the ledger", format!("its outcome is `{text}`")))
}

/// Applies a change of the ledger.
pub(super) fn apply(connection: &Connection, entry: &LedgerEntry) -> SqlResult<()> {
    match entry {
        LedgerEntry::Begin(call) => {
            let mut statement = connection.prepare_cached(
                "INSERT INTO ledger (turn, call, session, provider, model, at,
                 expected_input, expected_output, expected_cache_read, expected_cache_write)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )?;
            let (id, at, [input, output, read, write]) = (call.id, integer(call.at.0), counts(&call.estimate));
            let (turn, session) = (id.turn.as_str(), call.session.as_str());
            statement.execute((
                turn,
                id.index,
                session,
                &call.provider,
                &call.model,
                at,
                input,
                output,
                read,
                write,
            ))?;
        }
        LedgerEntry::Settle(end) => {
            let mut statement = connection.prepare_cached(
                "UPDATE ledger SET outcome = ?, ended_at = ?, estimated = ?,
                 input = ?, output = ?, cache_read = ?, cache_write = ?
                 WHERE turn = ? AND call = ? AND outcome IS NULL",
            )?;
            let (ended_at, [input, output, read, write]) = (integer(end.at.0), counts(&end.tokens));
            let (turn, index) = (end.id.turn.as_str(), end.id.index);
            let outcome = outcome(end.outcome);
            statement.execute((outcome, ended_at, end.estimated, input, output, read, write, turn, index))?;
        }
    }
    Ok(())
}

/// The columns of a [`LedgerRow`].
pub(super) const COLUMNS: &str = "turn, call, session, provider, model, at,
    expected_input, expected_output, expected_cache_read, expected_cache_write,
    outcome, ended_at, estimated, input, output, cache_read, cache_write";

/// A row of [`COLUMNS`].
pub(super) struct LedgerRow {
    id: (String, i64),
    session: String,
    provider: String,
    model: String,
    at: i64,
    expected: [i64; 4],
    end: Option<(String, i64, bool, [i64; 4])>,
}

impl LedgerRow {
    /// A row of [`COLUMNS`].
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let end = match row.get::<_, Option<String>>(10)? {
            None => None,
            Some(outcome) => {
                let counts = [row.get(13)?, row.get(14)?, row.get(15)?, row.get(16)?];
                Some((outcome, row.get(11)?, row.get(12)?, counts))
            }
        };
        Ok(Self {
            id: (row.get(0)?, row.get(1)?),
            session: row.get(2)?,
            provider: row.get(3)?,
            model: row.get(4)?,
            at: row.get(5)?,
            expected: [row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?],
            end,
        })
    }

    /// The record that it holds.
    pub(super) fn read(self) -> SqlResult<LedgerRecord> {
        let id = ModelCallId { turn: parse("a turn's id", &self.id.0)?, index: small(self.id.1) };
        let end = self.end.map(|(outcome, at, estimated, counts)| -> SqlResult<_> {
            let (at, tokens, outcome) = (Timestamp(number(at)), tokens(counts), read_outcome(&outcome)?);
            Ok(ModelCallEnd { id, tokens, estimated, outcome, at })
        });
        let call = ModelCall {
            id,
            session: parse("a session's key", &self.session)?,
            provider: self.provider,
            model: self.model,
            estimate: tokens(self.expected),
            at: Timestamp(number(self.at)),
        };
        Ok(LedgerRecord { call, end: end.transpose()? })
    }
}

/// The calls of models that a turn began and that are not settled.
pub(super) fn unsettled(connection: &Connection, turn: TurnId) -> SqlResult<Vec<ModelCall>> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM ledger WHERE turn = ? AND outcome IS NULL ORDER BY call"))?;
    let found = statement.query_map([turn.as_str()], LedgerRow::of)?;
    found.map(|row| Ok(row?.read()?.call)).collect()
}

/// How many calls of models a turn began.
pub(super) fn begun(connection: &Connection, turn: TurnId) -> SqlResult<u32> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM ledger WHERE turn = ?")?;
    Ok(small(statement.query_row([turn.as_str()], |row| row.get(0))?))
}

/// A page of records in the order of their ids.
fn page(
    connection: &Connection,
    filter: &LedgerFilter,
    after: Option<ModelCallId>,
    limit: usize,
) -> SqlResult<Page<LedgerRecord, ModelCallId>> {
    let start = match (after, filter.since) {
        (Some(after), _) => Some((after.turn.to_string(), i64::from(after.index))),
        (None, None) => Some((String::new(), -1)),
        (None, Some(since)) => before_first(connection, since)?,
    };
    let Some((turn, index)) = start else { return Ok(Page { items: Vec::new(), next: None }) };
    let mut sql = format!("SELECT {COLUMNS} FROM ledger WHERE (turn, call) > (?, ?)");
    let mut values: Vec<&dyn ToSql> = vec![&turn, &index];
    let session = filter.session.as_ref().map(crate::store::SessionKey::as_str);
    if session.is_some() {
        sql.push_str(" AND session = ?");
        values.push(&session);
    }
    let (since, until) = (filter.since.map(|time| integer(time.0)), filter.until.map(|time| integer(time.0)));
    if since.is_some() {
        sql.push_str(" AND at >= ?");
        values.push(&since);
    }
    if until.is_some() {
        sql.push_str(" AND at < ?");
        values.push(&until);
    }
    sql.push_str(" ORDER BY turn, call LIMIT ?");
    let asked = rows(limit.saturating_add(1));
    values.push(&asked);
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(values.as_slice(), LedgerRow::of)?;
    let mut items = found.map(|row| row?.read()).collect::<SqlResult<Vec<_>>>()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|record| record.call.id);
    Ok(Page { items, next })
}

/// Behind which id the first call that began at `since` or later is, so that a page of new records does not
/// begin with a walk over all old ones.
fn before_first(connection: &Connection, since: Timestamp) -> SqlResult<Option<(String, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT turn, call - 1 FROM ledger INDEXED BY ledger_at WHERE at >= ? ORDER BY turn, call LIMIT 1",
    )?;
    Ok(statement.query_row([integer(since.0)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}
