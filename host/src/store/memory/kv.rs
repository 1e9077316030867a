//! Keys and values of plugins, in maps.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use futures_util::future::BoxFuture;

use super::{MemoryStore, done};
use crate::config::PluginName;
use crate::store::kv::{KvKey, KvOutcome, KvScope, KvSet, KvSpace, KvValue, MAX_KV_PAGE, PluginData, kv_cost};
use crate::store::{SessionKey, StoreError};

/// All of it.
#[derive(Debug, Default)]
pub(super) struct KeyValues {
    plugins: HashMap<PluginName, Entries>,
}

/// What one plugin keeps.
#[derive(Debug, Default)]
struct Entries {
    /// What its entries count, all together.
    used: u64,
    /// Without empty ones.
    scopes: BTreeMap<KvScope, BTreeMap<KvKey, KvValue>>,
}

impl KeyValues {
    fn scope(&self, space: &KvSpace) -> Option<&BTreeMap<KvKey, KvValue>> {
        self.plugins.get(&space.plugin)?.scopes.get(&space.scope)
    }

    fn set(&mut self, set: KvSet) -> KvOutcome {
        let entries = self.plugins.get(&set.space.plugin);
        let found = self.scope(&set.space).and_then(|scope| scope.get(&set.key));
        if !set.expected.holds(found) {
            return KvOutcome::Differs;
        }
        let (old, new) = (found.map_or(0, |found| kv_cost(&set.key, found)), kv_cost(&set.key, &set.value));
        let used = entries.map_or(0, |entries| entries.used) - old + new;
        if used > set.quota && new > old {
            return KvOutcome::QuotaExceeded;
        }
        let entries = self.plugins.entry(set.space.plugin).or_default();
        entries.used = used;
        entries.scopes.entry(set.space.scope).or_default().insert(set.key, set.value);
        KvOutcome::Set
    }

    fn delete(&mut self, space: &KvSpace, key: &KvKey) {
        let Some(entries) = self.plugins.get_mut(&space.plugin) else { return };
        let Some(scope) = entries.scopes.get_mut(&space.scope) else { return };
        if let Some(value) = scope.remove(key) {
            entries.used -= kv_cost(key, &value);
        }
        if scope.is_empty() {
            entries.scopes.remove(&space.scope);
        }
        self.plugins.retain(|_, entries| !entries.scopes.is_empty());
    }

    /// Takes an entry in, unless there is one, and whatever the quota.
    pub(super) fn insert(&mut self, space: KvSpace, key: KvKey, value: KvValue) {
        let entries = self.plugins.entry(space.plugin).or_default();
        let scope = entries.scopes.entry(space.scope).or_default();
        if let Entry::Vacant(free) = scope.entry(key) {
            entries.used += kv_cost(free.key(), &value);
            free.insert(value);
        }
    }

    /// All entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PluginName, &KvScope, &KvKey, &KvValue)> {
        self.plugins.iter().flat_map(|(plugin, entries)| {
            let scopes = entries.scopes.iter();
            scopes.flat_map(move |(scope, values)| values.iter().map(move |(key, value)| (plugin, scope, key, value)))
        })
    }

    /// A session went, and what plugins kept for it goes with it.
    pub(super) fn forget(&mut self, session: &SessionKey) {
        let scope = KvScope::Session(session.clone());
        for entries in self.plugins.values_mut() {
            let gone = entries.scopes.remove(&scope).unwrap_or_default();
            entries.used -= gone.iter().map(|(key, value)| kv_cost(key, value)).sum::<u64>();
        }
        self.plugins.retain(|_, entries| !entries.scopes.is_empty());
    }
}

impl PluginData for MemoryStore {
    fn kv_get<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<Option<KvValue>, StoreError>> {
        let state = self.state();
        done(Ok(state.key_values.scope(space).and_then(|scope| scope.get(key)).cloned()))
    }

    fn kv_set(&self, set: KvSet) -> BoxFuture<'_, Result<KvOutcome, StoreError>> {
        let mut state = self.state();
        done(match &set.space.scope {
            KvScope::Session(session) if !state.sessions.contains_key(session) => {
                Err(StoreError::NoSession(session.clone()))
            }
            _ => Ok(state.key_values.set(set)),
        })
    }

    fn kv_delete<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<(), StoreError>> {
        self.state().key_values.delete(space, key);
        done(Ok(()))
    }

    fn kv_keys<'a>(
        &'a self,
        space: &'a KvSpace,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<KvKey>, StoreError>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let state = self.state();
        let keys = state.key_values.scope(space).map_or_else(Vec::new, |scope| {
            let keys = scope.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key);
            keys.take_while(|key| key.as_str().starts_with(prefix)).take(limit.min(MAX_KV_PAGE)).cloned().collect()
        });
        done(Ok(keys))
    }
}
