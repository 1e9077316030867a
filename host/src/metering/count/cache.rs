//! Counts that need not be made again: a history's texts are the same from turn to turn.
//!
//! A text is known by 64 bits of a hash with random keys, and by its length. Two texts of one length meet by chance in
//! one of 2⁶⁴ cases, and nobody can search for two that do without the keys; what they would get by it is a wrong
//! estimate of one call.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

/// Parts with a lock each, so that sessions seldom wait for each other.
const SHARDS: usize = 8;

/// The most counts of a part in each of its two halves. In all, 65,536 counts, in at most 4 MiB.
const HALF: usize = 4_096;

/// A text, and how it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    hash: u64,
    length: usize,
}

/// Counts by text. What was not asked for while [`HALF`] others came is forgotten.
pub(super) struct Cache {
    keys: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// When the half that is filled is full, the other is emptied and filled.
#[derive(Default)]
struct Shard {
    fresh: HashMap<Key, u32>,
    older: HashMap<Key, u32>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { keys: RandomState::new(), shards: Default::default() }
    }

    /// The key of what is counted, `length` bytes of text among it.
    pub(super) fn key(&self, counted: impl Hash, length: usize) -> Key {
        Key { hash: self.keys.hash_one(counted), length }
    }

    /// Its count, if it is known.
    pub(super) fn get(&self, key: Key) -> Option<u64> {
        let mut shard = self.shard(key);
        if let Some(tokens) = shard.fresh.get(&key) {
            return Some(u64::from(*tokens));
        }
        let tokens = shard.older.remove(&key)?;
        shard.put(key, tokens);
        Some(u64::from(tokens))
    }

    /// Remembers a count.
    pub(super) fn put(&self, key: Key, tokens: u64) {
        if let Ok(tokens) = u32::try_from(tokens) {
            self.shard(key).put(key, tokens);
        }
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        let shard = self.shards.get(key.hash as usize % SHARDS).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn put(&mut self, key: Key, tokens: u32) {
        if self.fresh.len() >= HALF {
            std::mem::swap(&mut self.fresh, &mut self.older);
            self.fresh.clear();
        }
        self.fresh.insert(key, tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_is_forgotten() {
        let cache = Cache::new();
        let key = |n: usize| cache.key(n, 8);
        cache.put(key(0), 7);
        cache.put(key(1), 8);
        for n in 2..4 * HALF * SHARDS {
            cache.put(key(n), 1);
            assert_eq!(cache.get(key(0)), Some(7));
        }
        assert_eq!(cache.get(key(1)), None);
        let kept = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.fresh.len() + shard.older.len()
        };
        assert!(cache.shards.iter().map(kept).sum::<usize>() <= 2 * HALF * SHARDS);
    }

    #[test]
    fn texts_of_one_hash_and_two_lengths_are_two() {
        let cache = Cache::new();
        cache.put(cache.key("text", 4), 1);
        assert_eq!(cache.get(cache.key("text", 4)), Some(1));
        assert_eq!(cache.get(cache.key("text", 5)), None);
        assert_eq!(cache.get(cache.key("texts", 4)), None);
    }
}
