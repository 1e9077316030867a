//! What channels keep, as rows.

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::cells::{integer, number, rows};
use super::error::SqlResult;
use super::sessions::accept;
use super::{outbox, pairings};
use crate::store::{
    ChannelCommit, Channels, EVENT_WINDOW, Epoch, EventId, IncomingOutcome, MAX_CHANNEL_STATE, MAX_SET_ASIDE,
    NewSetAside, Page, SetAside, SetAsideId, StoreError, Timestamp,
};

/// Bytes of events after which a page of them ends, so that a page of the largest fits in memory.
const PAGE_BYTES: usize = 2 * MAX_SET_ASIDE;

/// The window, as the difference of two times of rows.
fn window() -> i64 {
    i64::try_from(EVENT_WINDOW.as_millis()).unwrap_or(i64::MAX)
}

/// Says that the channel is `epoch`'s, unless a later one advanced it, and stores its new state.
fn advance(connection: &Connection, channel: &str, epoch: Epoch, state: Option<&[u8]>) -> SqlResult<()> {
    let mut find = connection.prepare_cached("SELECT epoch FROM channels WHERE name = ?1")?;
    let by = Epoch(find.query_row([channel], |row| row.get(0)).optional()?.map_or(0, number));
    if by > epoch {
        return Err(StoreError::Superseded { epoch, by }.into());
    }
    let mut put = connection.prepare_cached(
        "INSERT INTO channels (name, epoch, state) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, state = coalesce(excluded.state, state)",
    )?;
    put.execute(params![channel, integer(epoch.0), state])?;
    Ok(())
}

/// Whether an event was seen, and not so long ago that it is forgotten.
fn has_seen(connection: &Connection, channel: &str, event: &EventId, now: Timestamp) -> SqlResult<bool> {
    let mut statement = connection
        .prepare_cached("SELECT 1 FROM seen WHERE channel = ?1 AND account = ?2 AND event = ?3 AND ?4 - at < ?5")?;
    Ok(statement.exists(params![channel, event.account, event.id, integer(now.0), window()])?)
}

/// Notes an event. Says whether it is new: not seen, or so long ago that it is forgotten.
fn note(connection: &Connection, channel: &str, event: &EventId, now: Timestamp) -> SqlResult<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO seen (channel, account, event, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (channel, account, event) DO UPDATE SET at = excluded.at WHERE excluded.at - at >= ?5",
    )?;
    Ok(statement.execute(params![channel, event.account, event.id, integer(now.0), window()])? > 0)
}

fn put_aside(connection: &Connection, channel: &str, event: &NewSetAside, now: Timestamp) -> SqlResult<()> {
    let mut statement =
        connection.prepare_cached("INSERT INTO set_aside (channel, at, reason, event) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![channel, integer(now.0), event.reason, &event.event[..]])?;
    Ok(())
}

fn commit(connection: &Connection, commit: &ChannelCommit) -> SqlResult<Vec<IncomingOutcome>> {
    let too_large = |what, limit| Err(StoreError::TooLarge { what, limit }.into());
    if commit.state.as_ref().is_some_and(|state| state.len() > MAX_CHANNEL_STATE) {
        return too_large("the state of a channel", MAX_CHANNEL_STATE);
    }
    if commit.set_aside.as_ref().is_some_and(|event| event.event.len() > MAX_SET_ASIDE) {
        return too_large("an event that is set aside", MAX_SET_ASIDE);
    }
    let channel = commit.channel.as_str();
    advance(connection, channel, commit.epoch, commit.state.as_deref())?;
    let mut outcomes = Vec::with_capacity(commit.incoming.len());
    for incoming in &commit.incoming {
        if !note(connection, channel, &incoming.event, commit.now)? {
            outcomes.push(IncomingOutcome::Repeat);
            continue;
        }
        outcomes.push(match &incoming.accept {
            Some(message) => IncomingOutcome::Accepted(accept(connection, message)?),
            None => IncomingOutcome::Noted,
        });
        for reply in &incoming.replies {
            outbox::open(connection, reply)?;
        }
        if let Some(pairing) = &incoming.pairing {
            pairings::ask(connection, pairing)?;
        }
    }
    for receipt in &commit.receipts {
        outbox::receive(connection, channel, receipt)?;
    }
    if let Some(replayed) = commit.replays {
        let mut forget = connection.prepare_cached("DELETE FROM set_aside WHERE id = ?1 AND channel = ?2")?;
        forget.execute(params![integer(replayed.0), channel])?;
    }
    if let Some(event) = &commit.set_aside {
        put_aside(connection, channel, event, commit.now)?;
    }
    Ok(outcomes)
}

/// Forgets at most `limit` events whose window has passed, and says how many there were.
pub(super) fn forget(connection: &Connection, now: Timestamp, limit: usize) -> SqlResult<usize> {
    let mut statement = connection
        .prepare_cached("DELETE FROM seen WHERE id IN (SELECT id FROM seen WHERE at <= ?1 ORDER BY at LIMIT ?2)")?;
    let last = integer(now.0).saturating_sub(window());
    Ok(statement.execute(params![last, rows(limit)])?)
}

/// Of one channel and of all: two statements, since no index serves both.
const OF_CHANNEL: &str =
    "SELECT id, channel, at, reason, event FROM set_aside WHERE channel = ?2 AND id > ?1 ORDER BY id";
const OF_ALL: &str = "SELECT id, channel, at, reason, event FROM set_aside WHERE id > ?1 ORDER BY id";

fn page(
    connection: &Connection,
    channel: Option<&str>,
    after: Option<SetAsideId>,
    limit: usize,
) -> SqlResult<Page<SetAside, SetAsideId>> {
    let mut statement = connection.prepare_cached(if channel.is_some() { OF_CHANNEL } else { OF_ALL })?;
    let after = after.map_or(-1, |after| integer(after.0));
    let mut found = match channel {
        Some(channel) => statement.query(params![after, channel])?,
        None => statement.query([after])?,
    };
    let (mut items, mut bytes): (Vec<SetAside>, usize) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        // There is more than the page takes.
        if items.len() >= limit || bytes >= PAGE_BYTES {
            return Ok(Page { next: items.last().map(|item| item.id), items });
        }
        let event = Bytes::from(row.get::<_, Vec<u8>>(4)?);
        bytes += event.len();
        let (id, at) = (SetAsideId(number(row.get(0)?)), Timestamp(number(row.get(2)?)));
        items.push(SetAside { id, channel: row.get(1)?, event, reason: row.get(3)?, at });
    }
    Ok(Page { items, next: None })
}

impl Channels for SqliteStore {
    fn channel_state<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        let channel = channel.to_owned();
        let state = move |connection: &Connection| {
            let mut statement = connection.prepare_cached("SELECT state FROM channels WHERE name = ?1")?;
            let state = statement.query_row([channel], |row| row.get::<_, Option<Vec<u8>>>(0)).optional()?;
            Ok(state.flatten().map(Bytes::from))
        };
        self.db.read(state).boxed()
    }

    fn seen<'a>(
        &'a self,
        channel: &'a str,
        event: &'a EventId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let (channel, event) = (channel.to_owned(), event.clone());
        self.db.read(move |connection| has_seen(connection, &channel, &event, now)).boxed()
    }

    fn channel_commit(&self, change: ChannelCommit) -> BoxFuture<'_, Result<Vec<IncomingOutcome>, StoreError>> {
        self.db.write(move |connection| commit(connection, &change)).boxed()
    }

    fn set_aside<'a>(
        &'a self,
        channel: Option<&'a str>,
        after: Option<SetAsideId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SetAside, SetAsideId>, StoreError>> {
        let channel = channel.map(str::to_owned);
        self.db.read(move |connection| page(connection, channel.as_deref(), after, limit)).boxed()
    }

    fn set_aside_remove(&self, id: SetAsideId) -> BoxFuture<'_, Result<bool, StoreError>> {
        let remove = move |connection: &Connection| {
            let mut statement = connection.prepare_cached("DELETE FROM set_aside WHERE id = ?1")?;
            Ok(statement.execute([integer(id.0)])? > 0)
        };
        self.db.write(remove).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Result, count, message, plan, session, store};
    use super::*;
    use crate::store::{Accept, Incoming, Store};

    fn event(id: &str) -> EventId {
        EventId { account: "1".to_owned(), id: id.to_owned() }
    }

    fn change(now: u64) -> ChannelCommit {
        let (channel, epoch, now) = ("telegram".to_owned(), Epoch(1), Timestamp(now));
        ChannelCommit {
            channel,
            epoch,
            state: None,
            incoming: Vec::new(),
            receipts: Vec::new(),
            set_aside: None,
            replays: None,
            now,
        }
    }

    fn noted(now: u64, ids: impl IntoIterator<Item = String>) -> ChannelCommit {
        let incoming =
            ids.into_iter().map(|id| Incoming { event: event(&id), accept: None, replies: Vec::new(), pairing: None });
        ChannelCommit { incoming: incoming.collect(), ..change(now) }
    }

    #[tokio::test]
    async fn a_commit_that_is_refused_leaves_nothing() -> Result {
        let (_folder, store) = store()?;
        store.accept(message("ann", 1, "hello")).await?;
        let incoming = |peer: &str, number, epoch| Incoming {
            event: event(&format!("{number}")),
            accept: Some(Accept { epoch: Epoch(epoch), ..message(peer, number, "more") }),
            replies: Vec::new(),
            pairing: None,
        };
        // The second message's session was advanced by a later owner.
        let commit = ChannelCommit {
            state: Some(Bytes::from_static(b"new")),
            incoming: vec![incoming("ben", 2, 1), incoming("ann", 3, 0)],
            set_aside: Some(NewSetAside { event: Bytes::from_static(b"odd"), reason: "it is odd".into() }),
            ..change(5)
        };
        assert!(matches!(store.channel_commit(commit).await, Err(StoreError::Superseded { .. })));
        assert_eq!(store.channel_state("telegram").await?, None);
        assert!(store.session(&session("ben")).await?.is_none());
        let rows = "SELECT (SELECT count(*) FROM seen) + (SELECT count(*) FROM set_aside)";
        assert_eq!(count(&store, rows).await?, 0);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_by_name() -> Result {
        let (_folder, store) = store()?;
        let largest = |bytes| Some(Bytes::from(vec![0; bytes]));
        store.channel_commit(ChannelCommit { state: largest(MAX_CHANNEL_STATE), ..change(1) }).await?;
        let more = store.channel_commit(ChannelCommit { state: largest(MAX_CHANNEL_STATE + 1), ..change(2) }).await;
        let text = more.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.starts_with("the state of a channel has at most 262144 bytes"), "{text}");
        let event = NewSetAside { event: vec![0; MAX_SET_ASIDE + 1].into(), reason: String::new() };
        let more = store.channel_commit(ChannelCommit { set_aside: Some(event), ..change(2) }).await;
        assert!(matches!(more, Err(StoreError::TooLarge { .. })));
        Ok(())
    }

    #[tokio::test]
    async fn an_event_is_forgotten_when_its_window_has_passed_and_not_before() -> Result {
        let (_folder, store) = store()?;
        let window = u64::try_from(window())?;
        store.channel_commit(noted(10, (0..7).map(|id| id.to_string()))).await?;
        store.channel_commit(noted(11, ["late".to_owned()])).await?;
        let forget =
            async |now, limit| store.db.write(move |connection| forget(connection, Timestamp(now), limit)).await;
        assert_eq!(forget(10 + window - 1, 100).await?, 0);
        assert_eq!(forget(10 + window, 5).await?, 5);
        assert_eq!(forget(10 + window, 5).await?, 2);
        let again = store.channel_commit(noted(11 + window - 1, ["late".to_owned()])).await?;
        assert_eq!(again, [IncomingOutcome::Repeat]);
        // Also where nobody had the time to forget it.
        let again = store.channel_commit(noted(11 + window, ["late".to_owned(), "late".to_owned()])).await?;
        assert_eq!(again, [IncomingOutcome::Noted, IncomingOutcome::Repeat]);
        Ok(())
    }

    #[tokio::test]
    async fn a_page_of_large_events_ends_early_and_goes_on() -> Result {
        let (_folder, store) = store()?;
        for now in 0..5 {
            let event = NewSetAside { event: vec![0; MAX_SET_ASIDE].into(), reason: "it is large".into() };
            store.channel_commit(ChannelCommit { set_aside: Some(event), ..change(now) }).await?;
        }
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = store.set_aside(Some("telegram"), after, 100).await?;
            assert!(page.items.len() <= 2);
            seen.extend(page.items.iter().map(|item| item.at.0));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        Ok(())
    }

    #[tokio::test]
    async fn pages_of_a_channel_come_out_of_its_index() -> Result {
        let (_folder, store) = store()?;
        let plan = plan(&store, OF_CHANNEL).await?;
        assert!(plan.contains("set_aside_channel (channel=? AND id>?)") && !plan.contains("TEMP"), "{plan}");
        Ok(())
    }
}
