//! The idempotency keys of one session.

use std::collections::{BTreeSet, HashMap};

use crate::store::{Accepted, IDEMPOTENCY_WINDOW, Idempotency, Timestamp, TurnId};

/// Keys, by their text and by their age.
#[derive(Debug, Default)]
pub(super) struct Keys {
    uses: HashMap<String, KeyUse>,
    by_age: BTreeSet<(Timestamp, String)>,
}

/// Who used a key.
#[derive(Debug)]
pub(super) struct KeyUse {
    pub(super) digest: [u8; 32],
    pub(super) turn: TurnId,
    pub(super) at: Timestamp,
}

impl Keys {
    /// What a key says of a message; nothing, where it is free.
    pub(super) fn repeated(&self, idempotency: &Idempotency, now: Timestamp) -> Option<Accepted> {
        let used = self.uses.get(&idempotency.key).filter(|used| now.since(used.at) < IDEMPOTENCY_WINDOW)?;
        Some(if used.digest == idempotency.digest { Accepted::Duplicate(used.turn) } else { Accepted::KeyReused })
    }

    /// Remembers a key.
    pub(super) fn insert(&mut self, idempotency: Idempotency, turn: TurnId, at: Timestamp) {
        let Idempotency { key, digest } = idempotency;
        self.by_age.insert((at, key.clone()));
        if let Some(former) = self.uses.insert(key.clone(), KeyUse { digest, turn, at })
            && former.at != at
        {
            self.by_age.remove(&(former.at, key));
        }
    }

    /// Forgets the keys that are past their window, and the oldest beyond `most`.
    pub(super) fn forget(&mut self, now: Timestamp, most: usize) {
        while let Some((at, key)) = self.by_age.first() {
            if self.uses.len() <= most && now.since(*at) < IDEMPOTENCY_WINDOW {
                break;
            }
            self.uses.remove(key);
            self.by_age.pop_first();
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &KeyUse)> {
        self.uses.iter()
    }

    /// Whether the key is known, in its window or past it.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.uses.contains_key(key)
    }
}
