//! Who was let in, and who waits, as rows.

use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::cells::{corrupt, integer, number, rows};
use super::error::SqlResult;
use crate::store::{
    MAX_PENDING, NewPairing, PAIRING_WINDOW, Pairing, PairingState, Pairings, StoreError, Timestamp, Writer, WriterKind,
};

/// What a pairing consists of, as [`read`] takes it.
pub(super) const COLUMNS: &str = "channel, account, kind, writer, name, code, until, approved_at";

/// One writer, unless they wait past their window.
const ONE: &str = "WHERE channel = ?1 AND account = ?2 AND kind = ?3 AND writer = ?4 AND (until IS NULL OR until > ?5)";

/// Of one channel and of all, in the order of writers: two statements, since no index serves both.
const OF_CHANNEL: &str = "WHERE channel = ?2 AND (until IS NULL OR until > ?1) ORDER BY channel, account, kind, writer";
const OF_ALL: &str = "WHERE until IS NULL OR until > ?1 ORDER BY channel, account, kind, writer";

const FORGET: &str = "DELETE FROM pairings WHERE id IN (SELECT id FROM pairings INDEXED BY pairings_until
       WHERE until IS NOT NULL AND until <= ?1 ORDER BY until LIMIT ?2)";

/// Those of a channel who wait beyond so many, the oldest.
const OLDEST: &str = "DELETE FROM pairings WHERE id IN (SELECT id FROM pairings INDEXED BY pairings_waiting
       WHERE channel = ?1 AND until IS NOT NULL ORDER BY until DESC, id DESC LIMIT -1 OFFSET ?2)";

fn select(which: &str) -> String {
    format!("SELECT {COLUMNS} FROM pairings {which}")
}

pub(super) fn kind_text(kind: WriterKind) -> &'static str {
    match kind {
        WriterKind::Direct => "direct",
        WriterKind::Group => "group",
    }
}

fn kind(text: &str) -> SqlResult<WriterKind> {
    Ok(match text {
        "direct" => WriterKind::Direct,
        "group" => WriterKind::Group,
        other => return Err(corrupt("a writer", format!("`{other}` is no kind"))),
    })
}

/// A row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> SqlResult<Pairing> {
    let writer =
        Writer { channel: row.get(0)?, account: row.get(1)?, kind: kind(&row.get::<_, String>(2)?)?, id: row.get(3)? };
    let state = match (row.get(5)?, row.get(6)?, row.get(7)?) {
        (Some(code), Some(until), None) => PairingState::Pending { code, until: Timestamp(number(until)) },
        (None::<String>, None::<i64>, Some(since)) => PairingState::Approved { since: Timestamp(number(since)) },
        _ => return Err(corrupt("a writer", "they neither wait nor were let in")),
    };
    Ok(Pairing { writer, name: row.get(4)?, state })
}

/// Keeps who asks to be let in.
pub(super) fn ask(connection: &Connection, pairing: &NewPairing) -> SqlResult<()> {
    let NewPairing { writer, name, code, now } = pairing;
    let mut same = connection.prepare_cached("DELETE FROM pairings WHERE code = ?1")?;
    same.execute([code])?;
    let mut put = connection.prepare_cached(
        "INSERT INTO pairings (channel, account, kind, writer, name, code, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (channel, account, kind, writer)
           DO UPDATE SET name = excluded.name, code = excluded.code, until = excluded.until
           WHERE approved_at IS NULL",
    )?;
    let (kind, until) = (kind_text(writer.kind), integer(now.plus(PAIRING_WINDOW).0));
    put.execute(params![writer.channel, writer.account, kind, writer.id, name, code, until])?;
    connection.prepare_cached(OLDEST)?.execute(params![writer.channel, rows(MAX_PENDING)])?;
    Ok(())
}

/// Forgets at most `limit` writers whose window has passed, and says how many there were.
pub(super) fn forget(connection: &Connection, now: Timestamp, limit: usize) -> SqlResult<usize> {
    Ok(connection.prepare_cached(FORGET)?.execute(params![integer(now.0), rows(limit)])?)
}

fn one(connection: &Connection, writer: &Writer, now: Timestamp) -> SqlResult<Option<Pairing>> {
    let mut statement = connection.prepare_cached(&select(ONE))?;
    let kind = kind_text(writer.kind);
    let mut found = statement.query(params![writer.channel, writer.account, kind, writer.id, integer(now.0)])?;
    found.next()?.map(read).transpose()
}

fn all(connection: &Connection, channel: Option<&str>, now: Timestamp) -> SqlResult<Vec<Pairing>> {
    let mut statement = connection.prepare_cached(&select(if channel.is_some() { OF_CHANNEL } else { OF_ALL }))?;
    let mut found = match channel {
        Some(channel) => statement.query(params![integer(now.0), channel])?,
        None => statement.query([integer(now.0)])?,
    };
    let mut pairings = Vec::new();
    while let Some(row) = found.next()? {
        pairings.push(read(row)?);
    }
    Ok(pairings)
}

fn approve(connection: &Connection, code: &str, now: Timestamp) -> SqlResult<Option<Pairing>> {
    let mut statement = connection.prepare_cached(&format!(
        "UPDATE pairings SET code = NULL, until = NULL, approved_at = ?2 WHERE code = ?1 AND until > ?2
         RETURNING {COLUMNS}"
    ))?;
    let mut found = statement.query(params![code, integer(now.0)])?;
    found.next()?.map(read).transpose()
}

fn remove(connection: &Connection, writer: &Writer) -> SqlResult<bool> {
    let mut statement = connection
        .prepare_cached("DELETE FROM pairings WHERE channel = ?1 AND account = ?2 AND kind = ?3 AND writer = ?4")?;
    Ok(statement.execute(params![writer.channel, writer.account, kind_text(writer.kind), writer.id])? > 0)
}

impl Pairings for SqliteStore {
    fn pairing<'a>(&'a self, writer: &'a Writer, now: Timestamp) -> BoxFuture<'a, Result<Option<Pairing>, StoreError>> {
        let writer = writer.clone();
        self.db.read(move |connection| one(connection, &writer, now)).boxed()
    }

    fn pairings<'a>(
        &'a self,
        channel: Option<&'a str>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Pairing>, StoreError>> {
        let channel = channel.map(str::to_owned);
        self.db.read(move |connection| all(connection, channel.as_deref(), now)).boxed()
    }

    fn pairing_approve<'a>(
        &'a self,
        code: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<Pairing>, StoreError>> {
        let code = code.to_owned();
        self.db.write(move |connection| approve(connection, &code, now)).boxed()
    }

    fn pairing_remove<'a>(&'a self, writer: &'a Writer) -> BoxFuture<'a, Result<bool, StoreError>> {
        let writer = writer.clone();
        self.db.write(move |connection| remove(connection, &writer)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Result, plan, store};
    use super::*;

    #[tokio::test]
    async fn writers_come_out_of_their_indexes() -> Result {
        let (_folder, store) = store()?;
        for (which, index) in [
            (select(ONE), "(channel=? AND account=? AND kind=? AND writer=?)"),
            (select(OF_CHANNEL), "(channel=?)"),
            (FORGET.to_owned(), "pairings_until (until"),
            (OLDEST.to_owned(), "pairings_waiting (channel=?"),
        ] {
            let plan = plan(&store, which).await?;
            assert!(plan.contains(index) && !plan.contains("B-TREE FOR ORDER BY"), "{index}: {plan}");
        }
        Ok(())
    }
}
