//! The newest messages of sessions that are in use, so that a turn does not read and parse all of them anew.
//!
//! It holds nothing that has to be kept in step with commits: each read looks first at the session's row, which
//! tells in which version its messages are, and only what was read in that version, or is a beginning of it, is
//! taken from here. So it never shows what is not committed, and misses nothing that is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension};

use super::error::SqlResult;
use super::messages;
use crate::store::{SessionKey, StoredMessage};

/// Sessions that are held at most.
const SESSIONS: usize = 512;

/// Messages that are held at most, in bytes of their JSON.
const BYTES: usize = 8 << 20;

/// What one session may take of [`BYTES`]: a few long conversations leave room for the others.
const SESSION_BYTES: usize = BYTES / 16;

/// What a message counts beside its JSON.
const OVERHEAD: usize = 128;

/// In which version the messages of a session are. Every removal and every message changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    /// The model sees nothing before this position.
    from: i64,
    /// The position of the next message.
    next: i64,
    /// How many there are.
    messages: i64,
    /// How often some were removed.
    removals: i64,
}

impl Version {
    /// Whether nothing but new messages at the end tells `later` from this.
    fn begins(&self, later: &Self) -> bool {
        self.from == later.from
            && self.removals == later.removals
            && self.next <= later.next
            && later.messages - self.messages == later.next - self.next
    }
}

/// The newest messages of a session.
#[derive(Debug, Clone)]
struct Newest {
    version: Version,
    /// Oldest first, with the bytes of each.
    messages: Vec<(usize, StoredMessage)>,
    /// No message that the model sees is older.
    whole: bool,
}

impl Newest {
    fn bytes(&self) -> usize {
        self.messages.iter().map(|(bytes, _)| bytes + OVERHEAD).sum()
    }
}

/// The messages of the sessions that were read last.
#[derive(Debug, Default)]
pub(super) struct RecentCache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By the row of the session, which is never given again.
    sessions: HashMap<i64, (u64, Arc<Newest>)>,
    /// By when they were read.
    by_use: BTreeMap<u64, i64>,
    uses: u64,
    bytes: usize,
}

impl State {
    fn remove(&mut self, session: i64) {
        if let Some((used, newest)) = self.sessions.remove(&session) {
            self.by_use.remove(&used);
            self.bytes -= newest.bytes();
        }
    }

    fn insert(&mut self, session: i64, newest: Arc<Newest>) {
        self.remove(session);
        let bytes = newest.bytes();
        if bytes > SESSION_BYTES {
            return;
        }
        while self.sessions.len() >= SESSIONS || self.bytes + bytes > BYTES {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            self.remove(*oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, session);
        self.sessions.insert(session, (self.uses, newest));
        self.bytes += bytes;
    }
}

impl RecentCache {
    fn state(&self) -> MutexGuard<'_, State> {
        // A read that panicked leaves at worst an entry that the next one replaces.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest messages since the session was last reset, oldest first.
    pub(super) fn read(
        &self,
        connection: &Connection,
        session: &SessionKey,
        limit: usize,
    ) -> SqlResult<Vec<StoredMessage>> {
        let mut statement = connection
            .prepare_cached("SELECT id, context_from, next_position, messages, removals FROM sessions WHERE key = ?")?;
        let found = statement.query_row([session.as_str()], |row| {
            let (from, next, messages, removals) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((row.get::<_, i64>(0)?, Version { from, next, messages, removals }))
        });
        let Some((session, version)) = found.optional()? else { return Ok(Vec::new()) };
        let held = self.state().sessions.get(&session).map(|(_, newest)| Arc::clone(newest));
        let held = held.filter(|held| held.version.begins(&version) && (held.whole || held.messages.len() >= limit));
        let newest = Arc::new(match held {
            Some(held) => with_new(connection, session, &held, version, limit)?,
            None => {
                let messages = messages::newest(connection, session, version.from, version.next, limit)?;
                Newest { version, whole: messages.len() < limit, messages }
            }
        });
        self.state().insert(session, Arc::clone(&newest));
        let seen = newest.messages.len().saturating_sub(limit);
        Ok(newest.messages[seen..].iter().map(|(_, message)| message.clone()).collect())
    }
}

/// What is held, and what came after it.
fn with_new(connection: &Connection, session: i64, held: &Newest, version: Version, limit: usize) -> SqlResult<Newest> {
    let room = limit.max(held.messages.len());
    let new = match version.next - held.version.next {
        0 => Vec::new(),
        _ => messages::newest(connection, session, held.version.next.max(version.from), version.next, room)?,
    };
    // As many as were asked for: some between them and what is held may not be among them.
    let cut = new.len() >= room;
    let gone = (held.messages.len() + new.len()).saturating_sub(room);
    let messages = held.messages.iter().cloned().chain(new).skip(gone).collect();
    Ok(Newest { version, messages, whole: held.whole && !cut && gone == 0 })
}

#[cfg(test)]
mod tests;
