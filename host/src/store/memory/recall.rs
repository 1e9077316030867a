//! Facts, and what is found by its words, in maps.

use std::collections::BTreeMap;
use std::ops::Bound;

use futures_util::future::BoxFuture;

use super::words::best;
use super::{MemoryStore, done};
use crate::store::{Block, Fact, FactId, MAX_FACT, NewFact, Recall, SessionKey, StoreError, StoredMessage};

/// Facts that are kept. The oldest go.
const MOST: usize = 10_000;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Facts {
    facts: BTreeMap<FactId, Fact>,
    /// Of the last one.
    last: u64,
}

impl Facts {
    /// Takes a fact in, unless it is there.
    pub(super) fn insert(&mut self, fact: Fact) {
        self.skip_to(fact.id);
        self.facts.entry(fact.id).or_insert(fact);
        if self.facts.len() > MOST {
            self.facts.pop_first();
        }
    }

    /// No fact gets this number any more, or a lower one.
    pub(super) fn skip_to(&mut self, last: FactId) {
        self.last = self.last.max(last.0);
    }

    /// Of the last fact.
    pub(super) fn last(&self) -> FactId {
        FactId(self.last)
    }

    /// The facts behind `after`.
    pub(super) fn after(&self, after: Option<FactId>) -> impl Iterator<Item = &Fact> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.facts.range((from, Bound::Unbounded)).map(|(_, fact)| fact)
    }

    /// A session went, and what was learnt in it goes with it.
    pub(super) fn forget(&mut self, session: &SessionKey) {
        self.facts.retain(|_, fact| fact.source.as_ref().is_none_or(|(source, _)| source != session));
    }
}

impl Recall for MemoryStore {
    fn fact_add(&self, fact: NewFact) -> BoxFuture<'_, Result<FactId, StoreError>> {
        let NewFact { owner, text, source, now } = fact;
        if text.len() > MAX_FACT {
            return done(Err(StoreError::TooLarge { what: "a fact", limit: MAX_FACT }));
        }
        let mut state = self.state();
        if let Some((session, _)) = &source
            && !state.sessions.contains_key(session)
        {
            return done(Err(StoreError::NoSession(session.clone())));
        }
        let id = FactId(state.facts.last + 1);
        state.facts.insert(Fact { id, owner, text, source, created_at: now });
        done(Ok(id))
    }

    fn fact_forget<'a>(&'a self, owner: &'a str, id: FactId) -> BoxFuture<'a, Result<bool, StoreError>> {
        let facts = &mut self.state().facts.facts;
        let found = facts.get(&id).is_some_and(|fact| fact.owner == owner);
        if found {
            facts.remove(&id);
        }
        done(Ok(found))
    }

    fn facts<'a>(
        &'a self,
        owner: &'a str,
        after: Option<FactId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>> {
        let state = self.state();
        done(Ok(state.facts.after(after).filter(|fact| fact.owner == owner).take(limit).cloned().collect()))
    }

    fn fact_search<'a>(
        &'a self,
        owner: &'a str,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>> {
        let facts: Vec<Fact> = self.state().facts.after(None).filter(|fact| fact.owner == owner).cloned().collect();
        // Compared when nobody waits for the lock.
        let facts = facts.into_iter().map(|fact| {
            let text = fact.text.clone();
            (fact, text)
        });
        done(Ok(best(text, facts, limit)))
    }

    fn message_search<'a>(
        &'a self,
        session: &'a SessionKey,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        let messages = self.state().sessions.get(session).map(|session| session.messages.clone());
        let texts = messages.unwrap_or_default().into_iter().map(|message| {
            let blocks = message.message.blocks.iter();
            let texts =
                blocks.filter_map(|block| if let Block::Text { text } = block { Some(text.as_str()) } else { None });
            let text = texts.collect::<Vec<_>>().join("\n");
            (message, text)
        });
        done(Ok(best(text, texts, limit)))
    }
}
