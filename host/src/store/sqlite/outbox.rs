//! What is to be sent, as rows. A delivery's row stands in the order in which it was opened.

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::cells::{corrupt, from_json, integer, json, number, parse, rows, small};
use super::error::SqlResult;
use super::sessions::existing;
use crate::store::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryState, DeliveryUpdate, Epoch, MAX_SHOWN, NewDelivery, NewReceipt,
    Outbox, Page, Receipt, SessionKey, StoreError, Timestamp,
};

/// What there may be too many of.
const SHOWN: &str = "the ids of what is shown of a delivery";

/// What a delivery consists of, as [`read`] takes it, of `deliveries` left-joined with `sessions`. What is shown is
/// a list in JSON.
pub(super) const COLUMNS: &str = "deliveries.delivery, sessions.key, deliveries.channel, deliveries.conversation,
    deliveries.content, deliveries.draft, deliveries.state, deliveries.progress, deliveries.attempts, deliveries.due,
    deliveries.reason, deliveries.created_at, deliveries.receipt,
    (SELECT json_group_array(message ORDER BY place) FROM shown WHERE shown.delivery = deliveries.id)";

fn select(which: &str) -> String {
    format!("SELECT {COLUMNS} FROM deliveries LEFT JOIN sessions ON sessions.id = deliveries.session {which}")
}

const ONE: &str = "WHERE deliveries.delivery = ?1";

/// By the index of a session's deliveries, which holds them in the order in which they were opened.
const LAST_OF: &str = "WHERE deliveries.session = (SELECT id FROM sessions WHERE key = ?1)
     ORDER BY deliveries.id DESC LIMIT 1";

/// In the order of ids. The states are a list in JSON; null is any.
const OF_CHANNEL: &str = "WHERE deliveries.channel = ?4 AND deliveries.delivery > ?1
       AND (?2 IS NULL OR deliveries.state IN (SELECT value FROM json_each(?2)))
     ORDER BY deliveries.delivery LIMIT ?3";
const OF_ALL: &str = "WHERE deliveries.delivery > ?1
       AND (?2 IS NULL OR deliveries.state IN (SELECT value FROM json_each(?2)))
     ORDER BY deliveries.delivery LIMIT ?3";

/// First the row at the head of each conversation, out of the index of what is open; then of these the ones that
/// are due. Contents are read of those only that are returned.
const DUE: &str = "WHERE deliveries.id IN (
       SELECT id FROM deliveries
       WHERE id IN (SELECT min(id) FROM deliveries WHERE channel = ?1 AND open = 1 GROUP BY conversation) AND due <= ?2
       ORDER BY due, id LIMIT ?3)
     ORDER BY deliveries.due, deliveries.id";

pub(super) fn state_text(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Sending => "sending",
        DeliveryState::Unknown => "unknown",
        DeliveryState::Sent => "sent",
        DeliveryState::Dead => "dead",
    }
}

const FORGET: &str = "DELETE FROM deliveries WHERE id IN (
       SELECT id FROM deliveries INDEXED BY deliveries_age WHERE agent IS ?1 AND open = 0 AND created_at < ?2
       ORDER BY created_at LIMIT ?3)";

fn state(text: &str) -> SqlResult<DeliveryState> {
    Ok(match text {
        "pending" => DeliveryState::Pending,
        "sending" => DeliveryState::Sending,
        "unknown" => DeliveryState::Unknown,
        "sent" => DeliveryState::Sent,
        "dead" => DeliveryState::Dead,
        other => return Err(corrupt("a delivery", format!("`{other}` is no state"))),
    })
}

pub(super) fn receipt_text(receipt: Receipt) -> &'static str {
    match receipt {
        Receipt::Delivered => "delivered",
        Receipt::Read => "read",
        Receipt::Failed => "failed",
    }
}

fn read_receipt(text: &str) -> SqlResult<Receipt> {
    Ok(match text {
        "delivered" => Receipt::Delivered,
        "read" => Receipt::Read,
        "failed" => Receipt::Failed,
        other => return Err(corrupt("a delivery", format!("`{other}` is no receipt"))),
    })
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    row.get(column)
}

/// A row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> SqlResult<Delivery> {
    let bytes = |bytes: Vec<u8>| Bytes::from(bytes);
    Ok(Delivery {
        id: DeliveryId(parse("a delivery's id", &text(row, 0)?)?),
        session: row.get::<_, Option<String>>(1)?.map(|session| parse("a delivery's session", &session)).transpose()?,
        channel: row.get(2)?,
        conversation: row.get(3)?,
        content: bytes(row.get(4)?),
        draft: row.get(5)?,
        state: state(&text(row, 6)?)?,
        progress: row.get::<_, Option<Vec<u8>>>(7)?.map(bytes),
        attempts: small(row.get(8)?),
        due: Timestamp(number(row.get(9)?)),
        reason: row.get(10)?,
        created_at: Timestamp(number(row.get(11)?)),
        receipt: row.get::<_, Option<String>>(12)?.map(|receipt| read_receipt(&receipt)).transpose()?,
        shown: from_json("what is shown of a delivery", &text(row, 13)?)?,
    })
}

/// A delivery's row, and whether it is open. Refuses who was superseded.
fn find(connection: &Connection, id: DeliveryId, epoch: Epoch) -> SqlResult<Option<(i64, bool)>> {
    let mut statement = connection.prepare_cached("SELECT id, open, epoch FROM deliveries WHERE delivery = ?1")?;
    let found = statement.query_row([id.0.as_str()], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).optional()?;
    let Some((found, by)) = found else { return Ok(None) };
    let by = Epoch(number(by));
    if by > epoch { Err(StoreError::Superseded { epoch, by }.into()) } else { Ok(Some(found)) }
}

/// A draft's content so far. It does not take the place of a final one.
const DRAFTED: &str = "UPDATE deliveries SET content = ?2, epoch = ?3 WHERE id = ?1 AND draft = 1";

/// A draft that has its final content. What is open and no draft is left as it is.
const FINAL: &str = "UPDATE deliveries SET draft = 0, open = 1, attempts = 0, due = ?2, reason = NULL,
       state = iif(state = 'sending', 'sending', 'pending') WHERE id = ?1 AND draft = 1";

/// Opens a delivery, or gives an open one its content. Says whether it is open.
pub(super) fn open(connection: &Connection, delivery: &NewDelivery) -> SqlResult<bool> {
    let session = delivery.session.as_ref().map(|session| existing(connection, session)).transpose()?;
    let epoch = integer(delivery.epoch.0);
    match find(connection, delivery.id, delivery.epoch)? {
        Some((_, false)) => return Ok(false),
        Some((row, true)) => {
            if delivery.draft {
                let mut grow = connection.prepare_cached(DRAFTED)?;
                return Ok(grow.execute(params![row, &delivery.content[..], epoch])? > 0);
            }
            let mut replace =
                connection.prepare_cached("UPDATE deliveries SET content = ?2, epoch = ?3 WHERE id = ?1")?;
            replace.execute(params![row, &delivery.content[..], epoch])?;
            connection.prepare_cached(FINAL)?.execute(params![row, integer(delivery.now.0)])?;
        }
        None => {
            let mut insert = connection.prepare_cached(
                "INSERT INTO deliveries
                   (delivery, session, agent, channel, conversation, draft, epoch, due, created_at, content)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
            )?;
            insert.execute(params![
                delivery.id.0.as_str(),
                session,
                delivery.session.as_ref().map(SessionKey::agent),
                delivery.channel,
                delivery.conversation,
                delivery.draft,
                epoch,
                integer(delivery.now.0),
                &delivery.content[..],
            ])?;
        }
    }
    Ok(true)
}

fn update(connection: &Connection, update: &DeliveryUpdate) -> SqlResult<bool> {
    if update.shown.len() > MAX_SHOWN {
        return Err(StoreError::TooMany { what: SHOWN, limit: MAX_SHOWN }.into());
    }
    let Some((row, _)) = find(connection, update.id, update.epoch)? else { return Ok(false) };
    let mut statement = connection.prepare_cached(
        "UPDATE deliveries SET state = ?2, progress = ?3, attempts = ?4, due = ?5, reason = ?6, epoch = ?7,
           open = (draft = 1 OR ?2 IN ('pending', 'sending')) WHERE id = ?1",
    )?;
    statement.execute(params![
        row,
        state_text(update.state),
        update.progress.as_deref(),
        update.attempts,
        integer(update.due.0),
        update.reason,
        integer(update.epoch.0),
    ])?;
    show(connection, row, &update.shown)?;
    Ok(true)
}

/// Notes what is shown of a delivery. What is noted so already is not written again.
pub(super) fn show(connection: &Connection, row: i64, shown: &[String]) -> SqlResult<()> {
    let mut rest = connection.prepare_cached("DELETE FROM shown WHERE delivery = ?1 AND place >= ?2")?;
    rest.execute(params![row, rows(shown.len())])?;
    let mut put = connection.prepare_cached(
        "INSERT INTO shown (delivery, place, channel, message)
         SELECT id, ?2, channel, ?3 FROM deliveries WHERE id = ?1
         ON CONFLICT (delivery, place) DO UPDATE SET message = excluded.message WHERE message <> excluded.message",
    )?;
    for (place, message) in (0_i64..).zip(shown) {
        put.execute(params![row, place, message])?;
    }
    Ok(())
}

/// The delivery of a channel that has an id itself, and the newest that shows something under it.
const OF_RECEIPT: &str = "SELECT id, receipt, state FROM deliveries WHERE id = coalesce(
       (SELECT id FROM deliveries WHERE delivery = ?2 AND channel = ?1),
       (SELECT max(delivery) FROM shown WHERE channel = ?1 AND message = ?2))";

/// Notes what the platform said of a delivery of a channel.
pub(super) fn receive(connection: &Connection, channel: &str, new: &NewReceipt) -> SqlResult<()> {
    let mut statement = connection.prepare_cached(OF_RECEIPT)?;
    let found = statement.query_row(params![channel, new.id], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, String>(2)?))
    });
    let Some((row, former, former_state)) = found.optional()? else { return Ok(()) };
    let former = former.map(|former| read_receipt(&former)).transpose()?;
    if former >= Some(new.receipt) {
        return Ok(());
    }
    let mut put = connection.prepare_cached("UPDATE deliveries SET receipt = ?2 WHERE id = ?1")?;
    put.execute(params![row, receipt_text(new.receipt)])?;
    if new.receipt == Receipt::Failed && state(&former_state)? == DeliveryState::Sent {
        let mut end = connection.prepare_cached("UPDATE deliveries SET state = ?2, reason = ?3 WHERE id = ?1")?;
        end.execute(params![row, state_text(DeliveryState::Dead), new.reason])?;
    }
    Ok(())
}

/// Removes at most `limit` deliveries of an agent's sessions, or of none, that are settled and were opened before
/// `until`, the oldest first. Says how many there were.
pub(super) fn forget_settled(
    connection: &Connection,
    agent: Option<&str>,
    until: i64,
    limit: usize,
) -> SqlResult<usize> {
    let mut statement = connection.prepare_cached(FORGET)?;
    Ok(statement.execute(params![agent, until, rows(limit)])?)
}

fn page(
    connection: &Connection,
    filter: &DeliveryFilter,
    after: Option<DeliveryId>,
    limit: usize,
) -> SqlResult<Page<Delivery, DeliveryId>> {
    let states = match filter.states.as_slice() {
        [] => None,
        states => Some(json("states of deliveries", &states.iter().copied().map(state_text).collect::<Vec<_>>())?),
    };
    // No id is empty.
    let after = after.as_ref().map_or("", |after| after.0.as_str());
    let more = rows(limit.saturating_add(1));
    let mut statement =
        connection.prepare_cached(&select(if filter.channel.is_some() { OF_CHANNEL } else { OF_ALL }))?;
    let mut found = match &filter.channel {
        Some(channel) => statement.query(params![after, states, more, channel])?,
        None => statement.query(params![after, states, more])?,
    };
    let mut items: Vec<Delivery> = Vec::new();
    while let Some(row) = found.next()? {
        if items.len() >= limit {
            return Ok(Page { next: items.last().map(|item| item.id), items });
        }
        items.push(read(row)?);
    }
    Ok(Page { items, next: None })
}

fn due(connection: &Connection, channel: &str, now: Timestamp, limit: usize) -> SqlResult<Vec<Delivery>> {
    let mut statement = connection.prepare_cached(&select(DUE))?;
    let mut found = statement.query(params![channel, integer(now.0), rows(limit)])?;
    let mut deliveries = Vec::new();
    while let Some(row) = found.next()? {
        deliveries.push(read(row)?);
    }
    Ok(deliveries)
}

impl Outbox for SqliteStore {
    fn delivery_open(&self, delivery: NewDelivery) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.db.write(move |connection| open(connection, &delivery)).boxed()
    }

    fn delivery_update(&self, change: DeliveryUpdate) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.db.write(move |connection| update(connection, &change)).boxed()
    }

    fn delivery(&self, id: DeliveryId) -> BoxFuture<'_, Result<Option<Delivery>, StoreError>> {
        let one = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(&select(ONE))?;
            let mut found = statement.query([id.0.as_str()])?;
            found.next()?.map(read).transpose()
        };
        self.db.read(one).boxed()
    }

    fn last_delivery<'a>(&'a self, session: &'a SessionKey) -> BoxFuture<'a, Result<Option<Delivery>, StoreError>> {
        let session = session.clone();
        let last = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(&select(LAST_OF))?;
            let mut found = statement.query([session.as_str()])?;
            found.next()?.map(read).transpose()
        };
        self.db.read(last).boxed()
    }

    fn deliveries<'a>(
        &'a self,
        filter: &'a DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<Delivery, DeliveryId>, StoreError>> {
        let filter = filter.clone();
        self.db.read(move |connection| page(connection, &filter, after, limit)).boxed()
    }

    fn deliveries_due<'a>(
        &'a self,
        channel: &'a str,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, StoreError>> {
        let channel = channel.to_owned();
        self.db.read(move |connection| due(connection, &channel, now, limit)).boxed()
    }
}

#[cfg(test)]
mod tests;
