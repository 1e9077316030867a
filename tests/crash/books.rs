//! What a user knows: which messages were sent, and which were acknowledged, as which turns.

use std::collections::{BTreeMap, HashMap};

use crate::seen::Seen;

/// A message that was sent, once or several times.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) session: String,
    /// The turn as which it was acknowledged.
    pub(crate) turn: Option<String>,
}

/// One user's books.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Messages by their names, which are their idempotency keys too.
    pub(crate) sent: BTreeMap<String, Sent>,
    /// What was seen of each session.
    pub(crate) seen: HashMap<String, Seen>,
}

impl Books {
    /// Notes that a message was acknowledged.
    pub(crate) fn acknowledged(&mut self, name: &str, turn: &str) {
        let sent = self.sent.get_mut(name).expect("only what was sent is acknowledged");
        match &sent.turn {
            None => sent.turn = Some(turn.to_owned()),
            Some(first) => assert_eq!(first, turn, "the key {name} made two turns"),
        }
    }

    pub(crate) fn unacknowledged(&self) -> Vec<String> {
        self.sent.iter().filter(|(_, sent)| sent.turn.is_none()).map(|(name, _)| name.clone()).collect()
    }

    /// The turns of a session, by their messages, as far as they were acknowledged.
    pub(crate) fn turns<'a>(&'a self, session: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let here = self.sent.iter().filter(move |(_, sent)| sent.session == session);
        here.filter_map(|(name, sent)| Some((name.as_str(), sent.turn.as_deref()?)))
    }

    /// How many messages of a session wait for their end.
    pub(crate) fn open(&self, session: &str) -> usize {
        let ended = |turn: &str| self.seen.get(session).is_some_and(|seen| seen.end(turn).is_some());
        let here = self.sent.values().filter(|sent| sent.session == session);
        here.filter(|sent| !sent.turn.as_deref().is_some_and(ended)).count()
    }
}
