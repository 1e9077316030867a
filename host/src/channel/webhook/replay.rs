//! Signatures that were used: who sends one again is answered, and not heard.
//!
//! A signature counts as used once its call was answered with success. Until then the platform may
//! send the same bytes again, as it does after a 503. What a restart forgets here, the ids of the
//! platform's events still tell apart.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::verify::ReplayKey;
use crate::store::Timestamp;

/// Signatures that are remembered: those of a hundred calls a second over ten minutes. Past it, the
/// one that expires first is forgotten.
const MAX_SEEN: usize = 1 << 16;

/// The used signatures of one channel. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Replays {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: HashSet<[u8; 16]>,
    /// The same, by when each is refused anyway.
    expiry: BinaryHeap<Reverse<(Timestamp, [u8; 16])>>,
    /// Of calls that are not answered yet.
    running: HashSet<[u8; 16]>,
}

/// What a signature is.
#[derive(Debug)]
pub(super) enum Begun {
    /// Not used yet.
    New(Running),
    /// That of a call that is not answered yet.
    Running,
    /// Used.
    Seen,
}

/// A signature whose call is not answered yet. Dropped, it is as if it had not come.
#[derive(Debug)]
pub(super) struct Running {
    replays: Replays,
    key: ReplayKey,
}

impl Replays {
    /// Takes a signature in.
    pub(super) fn begin(&self, key: ReplayKey, now: Timestamp) -> Begun {
        let mut inner = self.lock();
        while inner.expiry.peek().is_some_and(|Reverse((until, _))| *until < now) {
            inner.forget_first();
        }
        if inner.seen.contains(&key.digest) {
            Begun::Seen
        } else if inner.running.insert(key.digest) {
            Begun::New(Running { replays: self.clone(), key })
        } else {
            Begun::Running
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget_first(&mut self) {
        if let Some(Reverse((_, digest))) = self.expiry.pop() {
            self.seen.remove(&digest);
        }
    }
}

impl Running {
    /// Its call was answered with success.
    pub(super) fn used(self) {
        let mut inner = self.replays.lock();
        if inner.seen.len() >= MAX_SEEN {
            inner.forget_first();
        }
        if inner.seen.insert(self.key.digest) {
            inner.expiry.push(Reverse((self.key.until, self.key.digest)));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.replays.lock().running.remove(&self.key.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64, until: u64) -> ReplayKey {
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        ReplayKey { digest, until: Timestamp(until) }
    }

    #[test]
    fn a_signature_is_used_once_its_call_succeeded_and_not_before() {
        let replays = Replays::default();
        let Begun::New(first) = replays.begin(key(1, 10), Timestamp(0)) else { panic!("it is new") };
        assert!(matches!(replays.begin(key(1, 10), Timestamp(0)), Begun::Running));
        drop(first);
        let Begun::New(second) = replays.begin(key(1, 10), Timestamp(0)) else { panic!("it may come again") };
        second.used();
        assert!(matches!(replays.begin(key(1, 10), Timestamp(10)), Begun::Seen));
        assert!(matches!(replays.begin(key(2, 10), Timestamp(10)), Begun::New(_)));
    }

    #[test]
    fn what_would_be_refused_anyway_is_forgotten_and_the_number_is_bounded() {
        let replays = Replays::default();
        for number in 0..MAX_SEEN as u64 + 10 {
            match replays.begin(key(number, 100 + number), Timestamp(0)) {
                Begun::New(running) => running.used(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(replays.lock().seen.len(), MAX_SEEN);
        assert!(matches!(replays.begin(key(9, 109), Timestamp(0)), Begun::New(_)), "the first was forgotten");
        assert!(matches!(replays.begin(key(10, 110), Timestamp(0)), Begun::Seen));
        let late = Timestamp(101 + MAX_SEEN as u64 + 10);
        assert!(matches!(replays.begin(key(1, 101), late), Begun::New(_)));
        let inner = replays.lock();
        assert_eq!((inner.seen.len(), inner.expiry.len()), (0, 0));
    }
}
