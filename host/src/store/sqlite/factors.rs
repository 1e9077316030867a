//! How models count tokens, as rows.

use rusqlite::{Connection, Row, params};

use super::cells::{integer, number};
use super::error::SqlResult;
use crate::store::TokenFactor;

/// The columns that [`read`] reads.
pub(super) const COLUMNS: &str = "provider, model, base, counted, calls";

/// A row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> SqlResult<TokenFactor> {
    Ok(TokenFactor {
        provider: row.get(0)?,
        model: row.get(1)?,
        base: number(row.get(2)?),
        counted: number(row.get(3)?),
        calls: number(row.get(4)?),
    })
}

/// All of them, by provider and model.
pub(super) fn all(connection: &Connection) -> SqlResult<Vec<TokenFactor>> {
    let sql = format!("SELECT {COLUMNS} FROM token_factors ORDER BY provider, model");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_and_then([], read)?;
    found.collect()
}

/// Keeps one in place of what was known.
pub(super) fn put(connection: &Connection, factor: &TokenFactor) -> SqlResult<()> {
    insert(
        connection,
        "INSERT INTO token_factors (provider, model, base, counted, calls) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (provider, model) DO UPDATE
         SET base = excluded.base, counted = excluded.counted, calls = excluded.calls",
        factor,
    )
}

/// Keeps one of a model of which nothing is known.
pub(super) fn put_new(connection: &Connection, factor: &TokenFactor) -> SqlResult<()> {
    insert(
        connection,
        "INSERT INTO token_factors (provider, model, base, counted, calls) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (provider, model) DO NOTHING",
        factor,
    )
}

fn insert(connection: &Connection, sql: &str, factor: &TokenFactor) -> SqlResult<()> {
    let TokenFactor { provider, model, base, counted, calls } = factor;
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![provider, model, integer(*base), integer(*counted), integer(*calls)])?;
    Ok(())
}
