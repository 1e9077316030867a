//! The ledger, as rows.

use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::cells::{corrupt, integer, number, parse, rows, small};
use super::error::SqlResult;
use super::rollup::{self, Settled};
use super::{SqliteStore, factors, usage};
use crate::store::{
    CallOutcome, Ledger, LedgerEntry, LedgerFilter, LedgerRecord, ModelCall, ModelCallEnd, ModelCallId, NanoDollars,
    Page, StoreError, Timestamp, TokenFactor, TokenUsage, TurnId, UsageKey, UsageQuery, UsageRow,
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

    fn unsettled(
        &self,
        after: Option<ModelCallId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<ModelCall, ModelCallId>, StoreError>> {
        self.db.read(move |connection| all_unsettled(connection, after, limit)).boxed()
    }

    fn settle(&self, ends: Vec<ModelCallEnd>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.db.write(move |connection| ends.into_iter().try_for_each(|end| settle(connection, end))).boxed()
    }

    fn usage(&self, query: UsageQuery) -> BoxFuture<'_, Result<Page<UsageRow, UsageKey>, StoreError>> {
        self.db.read(move |connection| usage::page(connection, &query)).boxed()
    }

    fn token_factors(&self) -> BoxFuture<'_, Result<Vec<TokenFactor>, StoreError>> {
        self.db.read(factors::all).boxed()
    }

    fn save_token_factor(&self, factor: TokenFactor) -> BoxFuture<'_, Result<(), StoreError>> {
        self.db.write(move |connection| factors::put(connection, &factor)).boxed()
    }
}

/// As many numbers as a [`TokenUsage`] has counts, in the order of its members.
type Counts = [i64; 6];

fn counts(tokens: &TokenUsage) -> Counts {
    let TokenUsage { input_tokens, output_tokens, .. } = *tokens;
    let TokenUsage { cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, .. } = *tokens;
    let counts = [input_tokens, output_tokens, cache_read_tokens, cache_write_tokens];
    let [input, output, read, write] = counts.map(integer);
    [input, output, read, write, integer(cache_write_1h_tokens), integer(reasoning_tokens)]
}

fn tokens(counts: Counts) -> TokenUsage {
    let [input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens] =
        counts.map(number);
    TokenUsage {
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        reasoning_tokens,
    }
}

fn money(cell: Option<i64>) -> Option<NanoDollars> {
    cell.map(|nanos| NanoDollars::from_nanos(number(nanos)))
}

fn nanos(money: Option<NanoDollars>) -> Option<i64> {
    money.map(|money| integer(money.as_nanos()))
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
        LedgerEntry::Begin(call) => begin(connection, call.clone().bounded()),
        LedgerEntry::Settle(end) => settle(connection, end.clone()),
    }
}

fn begin(connection: &Connection, call: ModelCall) -> SqlResult<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO ledger (turn, call, session, provider, model, cause, at, expected_input, expected_output,
           expected_cache_read, expected_cache_write, expected_cache_write_1h, expected_reasoning, reserved_cost)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    let [input, output, read, write, write_1h, reasoning] = counts(&call.estimate);
    statement.execute(params![
        call.id.turn.as_str(),
        call.id.index,
        call.session.as_str(),
        call.provider,
        call.model,
        call.cause.to_string(),
        integer(call.at.0),
        input,
        output,
        read,
        write,
        write_1h,
        reasoning,
        nanos(call.reserved_cost),
    ])?;
    Ok(())
}

/// Notes the end of a call, and adds it to the sums.
fn settle(connection: &Connection, end: ModelCallEnd) -> SqlResult<()> {
    let end = end.bounded();
    let mut statement = connection.prepare_cached(
        "UPDATE ledger SET outcome = ?, ended_at = ?, estimated = ?, input = ?, output = ?, cache_read = ?,
           cache_write = ?, cache_write_1h = ?, reasoning = ?, cost = ?, price = ?, cache_saving = ?
         WHERE turn = ? AND call = ? AND outcome IS NULL
         RETURNING session, cause, provider, model, at",
    )?;
    let [input, output, read, write, write_1h, reasoning] = counts(&end.tokens);
    let values = params![
        outcome(end.outcome),
        integer(end.at.0),
        end.estimated,
        input,
        output,
        read,
        write,
        write_1h,
        reasoning,
        nanos(end.cost),
        end.price,
        end.cache_saving,
        end.id.turn.as_str(),
        end.id.index,
    ];
    let settled = statement.query_row(values, |row| {
        Ok(Settled {
            session: row.get(0)?,
            cause: row.get(1)?,
            provider: row.get(2)?,
            model: row.get(3)?,
            at: Timestamp(number(row.get(4)?)),
        })
    });
    // Of one that is not there, or ended before, nothing is added.
    settled.optional()?.map_or(Ok(()), |settled| rollup::add(connection, &settled, &end))
}

/// The columns of a [`LedgerRow`].
pub(super) const COLUMNS: &str = "turn, call, session, provider, model, cause, at, expected_input, expected_output,
    expected_cache_read, expected_cache_write, expected_cache_write_1h, expected_reasoning, reserved_cost, outcome,
    ended_at, estimated, input, output, cache_read, cache_write, cache_write_1h, reasoning, cost, price, cache_saving";

/// A row of [`COLUMNS`].
pub(super) struct LedgerRow {
    id: (String, i64),
    session: String,
    provider: String,
    model: String,
    cause: String,
    at: i64,
    expected: Counts,
    reserved_cost: Option<i64>,
    end: Option<EndOfRow>,
}

/// What a row has once its call ended.
struct EndOfRow {
    outcome: String,
    at: i64,
    estimated: bool,
    counts: Counts,
    cost: Option<i64>,
    price: Option<String>,
    cache_saving: Option<i64>,
}

/// Six columns that begin at one.
fn read_counts(row: &Row<'_>, first: usize) -> rusqlite::Result<Counts> {
    let mut counts = Counts::default();
    for (count, column) in counts.iter_mut().zip(first..) {
        *count = row.get(column)?;
    }
    Ok(counts)
}

impl LedgerRow {
    /// A row of [`COLUMNS`].
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let end = match row.get::<_, Option<String>>(14)? {
            None => None,
            Some(outcome) => Some(EndOfRow {
                outcome,
                at: row.get(15)?,
                estimated: row.get(16)?,
                counts: read_counts(row, 17)?,
                cost: row.get(23)?,
                price: row.get(24)?,
                cache_saving: row.get(25)?,
            }),
        };
        Ok(Self {
            id: (row.get(0)?, row.get(1)?),
            session: row.get(2)?,
            provider: row.get(3)?,
            model: row.get(4)?,
            cause: row.get(5)?,
            at: row.get(6)?,
            expected: read_counts(row, 7)?,
            reserved_cost: row.get(13)?,
            end,
        })
    }

    /// The record that it holds.
    pub(super) fn read(self) -> SqlResult<LedgerRecord> {
        let id = ModelCallId { turn: parse("a turn's id", &self.id.0)?, index: small(self.id.1) };
        let end = self.end.map(|end| -> SqlResult<_> {
            Ok(ModelCallEnd {
                id,
                tokens: tokens(end.counts),
                estimated: end.estimated,
                cost: money(end.cost),
                price: end.price,
                cache_saving: end.cache_saving,
                outcome: read_outcome(&end.outcome)?,
                at: Timestamp(number(end.at)),
            })
        });
        let call = ModelCall {
            id,
            session: parse("a session's key", &self.session)?,
            provider: self.provider,
            model: self.model,
            cause: parse("the cause of a call", &self.cause)?,
            estimate: tokens(self.expected),
            reserved_cost: money(self.reserved_cost),
            at: Timestamp(number(self.at)),
        };
        Ok(LedgerRecord { call, end: end.transpose()? })
    }
}

/// A page of the calls that were begun and not settled.
fn all_unsettled(
    connection: &Connection,
    after: Option<ModelCallId>,
    limit: usize,
) -> SqlResult<Page<ModelCall, ModelCallId>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM ledger INDEXED BY ledger_unsettled WHERE outcome IS NULL AND (turn, call) > (?, ?)
         ORDER BY turn, call LIMIT ?"
    ))?;
    let (turn, index) = after.map_or((String::new(), -1), |after| (after.turn.to_string(), i64::from(after.index)));
    let found = statement.query_map((turn, index, rows(limit.saturating_add(1))), LedgerRow::of)?;
    let mut items = found.map(|row| Ok(row?.read()?.call)).collect::<SqlResult<Vec<_>>>()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|call| call.id);
    Ok(Page { items, next })
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
