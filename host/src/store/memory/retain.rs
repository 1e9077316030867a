//! What is older or more than is to be kept goes.

use std::collections::HashSet;
use std::time::Duration;

use super::State;
use super::session::{Session, size};
use crate::store::{DELIVERY_WINDOW, Retention, SessionKey, Timestamp, TurnId};

/// Sessions of which something is removed in one go, so that nobody waits long for the lock.
const SESSIONS: usize = 64;

impl State {
    /// Removes what is not to be kept, and says whether there is more of it.
    pub(super) fn retain(&mut self, retention: &Retention) -> bool {
        let Retention { agent, max_age, max_size, now } = retention;
        let agent = agent.as_str();
        let mut changed = 0;
        let mut empty: Vec<SessionKey> = Vec::new();
        for (key, session) in &mut self.sessions {
            session.keys.forget(*now, usize::MAX);
            if key.agent() != agent || changed == SESSIONS {
                continue;
            }
            let size = max_size.map(|size| size.0);
            changed += usize::from(session.retain(*max_age, size, *now));
            let unused = max_age.is_some_and(|max| now.since(session.record.updated_at) > max);
            if unused && session.messages.is_empty() && session.open.is_empty() {
                empty.push(key.clone());
            }
        }
        for key in empty.iter().take(SESSIONS) {
            if self.is_idle(key) {
                self.remove(key);
            }
        }
        if let Some(max_age) = max_age {
            self.outbox.forget_settled(|delivery| {
                let of_agent = delivery.session.as_ref().is_some_and(|session| session.agent() == agent);
                of_agent && now.since(delivery.created_at) > *max_age
            });
        }
        self.outbox
            .forget_settled(|delivery| delivery.session.is_none() && now.since(delivery.created_at) > DELIVERY_WINDOW);
        self.pairings.forget(*now);
        for channel in self.channels.values_mut() {
            channel.forget_seen(*now);
        }
        changed == SESSIONS || empty.len() > SESSIONS
    }
}

impl Session {
    /// Removes the turns that are too old, or too much, and says whether there were any.
    fn retain(&mut self, max_age: Option<Duration>, max_size: Option<u64>, now: Timestamp) -> bool {
        let is_old = |at: Timestamp| max_age.is_some_and(|max| now.since(at) > max);
        let mut doomed = HashSet::new();
        // By the first message of each turn that can go.
        let mut seen: HashSet<TurnId> = self.open.keys().copied().collect();
        let mut excess = self.size.saturating_sub(max_size.unwrap_or(u64::MAX));
        for message in &self.messages {
            if !seen.insert(message.turn) || !(is_old(message.at) || excess > 0) {
                continue;
            }
            doomed.insert(message.turn);
            if excess > 0 {
                let of_turn = self.messages.iter().filter(|other| other.turn == message.turn);
                excess = excess.saturating_sub(of_turn.map(|message| size(&message.message)).sum());
            }
        }
        let ended = self.ended.len();
        self.ended.retain(|ended| !doomed.contains(&ended.turn) && !is_old(ended.accepted_at));
        if !doomed.is_empty() {
            self.messages.retain(|message| !doomed.contains(&message.turn));
            self.size = self.messages.iter().map(|message| size(&message.message)).sum();
            self.record.messages = self.messages.len() as u64;
        }
        !doomed.is_empty() || self.ended.len() < ended
    }
}
