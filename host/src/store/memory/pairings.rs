//! Who was let in, and who waits, in a map.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use super::{MemoryStore, done};
use crate::store::{
    MAX_PENDING, NewPairing, PAIRING_WINDOW, Pairing, PairingState, Pairings, StoreError, Timestamp, Writer,
};

/// All writers, in their order.
#[derive(Debug, Default)]
pub(super) struct Writers(BTreeMap<Writer, Kept>);

#[derive(Debug)]
struct Kept {
    name: Option<String>,
    state: PairingState,
}

impl Kept {
    fn code(&self) -> Option<&str> {
        match &self.state {
            PairingState::Pending { code, .. } => Some(code),
            PairingState::Approved { .. } => None,
        }
    }

    fn is_there(&self, now: Timestamp) -> bool {
        match self.state {
            PairingState::Pending { until, .. } => now < until,
            PairingState::Approved { .. } => true,
        }
    }

    fn pairing(&self, writer: &Writer) -> Pairing {
        Pairing { writer: writer.clone(), name: self.name.clone(), state: self.state.clone() }
    }
}

impl Writers {
    /// Keeps who asks to be let in.
    pub(super) fn ask(&mut self, new: NewPairing) {
        let NewPairing { writer, name, code, now } = new;
        self.0.retain(|_, kept| kept.code() != Some(&code));
        if self.0.get(&writer).is_some_and(|kept| kept.code().is_none()) {
            return;
        }
        let channel = writer.channel.clone();
        let state = PairingState::Pending { code, until: now.plus(PAIRING_WINDOW) };
        self.0.insert(writer, Kept { name, state });
        self.bound(&channel);
    }

    /// Forgets the oldest of too many who wait.
    fn bound(&mut self, channel: &str) {
        let waiting = self.0.iter().filter(|(writer, _)| writer.channel == channel);
        let mut waiting: Vec<_> = waiting
            .filter_map(|(writer, kept)| match kept.state {
                PairingState::Pending { until, .. } => Some((until, writer.clone())),
                PairingState::Approved { .. } => None,
            })
            .collect();
        if waiting.len() > MAX_PENDING {
            waiting.sort_unstable();
            for (_, writer) in waiting.iter().take(waiting.len() - MAX_PENDING) {
                self.0.remove(writer);
            }
        }
    }

    /// Takes in a writer, unless they are known, or wait under a code that another has.
    pub(super) fn insert(&mut self, pairing: Pairing) {
        let Pairing { writer, name, state } = pairing;
        let kept = Kept { name, state };
        let taken = kept.code().is_some_and(|code| self.0.values().any(|other| other.code() == Some(code)));
        if !taken {
            self.0.entry(writer).or_insert(kept);
        }
    }

    /// Forgets those whose window has passed.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, kept| kept.is_there(now));
    }

    /// All of them, also those whose window has passed.
    pub(super) fn iter(&self) -> impl Iterator<Item = Pairing> {
        self.0.iter().map(|(writer, kept)| kept.pairing(writer))
    }

    fn approve(&mut self, code: &str, now: Timestamp) -> Option<Pairing> {
        let mut all = self.0.iter_mut();
        let (writer, kept) = all.find(|(_, kept)| kept.code() == Some(code) && kept.is_there(now))?;
        kept.state = PairingState::Approved { since: now };
        Some(kept.pairing(writer))
    }
}

impl Pairings for MemoryStore {
    fn pairing<'a>(&'a self, writer: &'a Writer, now: Timestamp) -> BoxFuture<'a, Result<Option<Pairing>, StoreError>> {
        let state = self.state();
        let found = state.pairings.0.get(writer).filter(|kept| kept.is_there(now));
        done(Ok(found.map(|kept| kept.pairing(writer))))
    }

    fn pairings<'a>(
        &'a self,
        channel: Option<&'a str>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Pairing>, StoreError>> {
        let state = self.state();
        let there = state.pairings.0.iter().filter(|(_, kept)| kept.is_there(now));
        let wanted = there.filter(|(writer, _)| channel.is_none_or(|channel| writer.channel == channel));
        done(Ok(wanted.map(|(writer, kept)| kept.pairing(writer)).collect()))
    }

    fn pairing_approve<'a>(
        &'a self,
        code: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<Pairing>, StoreError>> {
        done(Ok(self.state().pairings.approve(code, now)))
    }

    fn pairing_remove<'a>(&'a self, writer: &'a Writer) -> BoxFuture<'a, Result<bool, StoreError>> {
        done(Ok(self.state().pairings.0.remove(writer).is_some()))
    }
}
