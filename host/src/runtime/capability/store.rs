//! `store`: keys and values of the plugin's own, in the gateway's store.

use crate::runtime::bindings::store::{Host, Scope, StoreError};
use crate::runtime::state::State;
use crate::store::{KvExpected, KvKey, KvOutcome, KvScope, KvSet, KvSpace, KvValue};

use super::in_time;

fn unavailable(why: impl ToString) -> StoreError {
    StoreError::Unavailable(why.to_string())
}

impl State {
    /// Whose data a scope is in this call.
    fn space(&self, scope: Scope) -> Result<KvSpace, StoreError> {
        if !self.reach.grants.store {
            return Err(unavailable("`store` is not granted"));
        }
        let caller = self.caller.as_ref().ok_or_else(|| unavailable(super::NO_CALLER))?;
        let scope = match scope {
            Scope::Plugin => KvScope::Plugin,
            Scope::Agent => KvScope::Agent(caller.agent.clone()),
            Scope::Session => KvScope::Session(caller.session.clone()),
        };
        Ok(KvSpace { plugin: self.reach.plugin.clone(), scope })
    }

    async fn change(
        &mut self,
        scope: Scope,
        key: &str,
        value: Vec<u8>,
        expected: KvExpected,
    ) -> Result<KvOutcome, StoreError> {
        let set = KvSet {
            space: self.space(scope)?,
            key: self::key(key)?,
            value: value.try_into().map_err(unavailable)?,
            expected,
            quota: self.reach.limits.store.0,
        };
        in_time(self.reach.services.store.kv_set(set)).await.map_err(unavailable)
    }
}

fn key(key: &str) -> Result<KvKey, StoreError> {
    key.parse().map_err(unavailable)
}

impl Host for State {
    async fn get(&mut self, scope: Scope, key: String) -> Result<Option<Vec<u8>>, StoreError> {
        let (space, key) = (self.space(scope)?, self::key(&key)?);
        let value = in_time(self.reach.services.store.kv_get(&space, &key)).await.map_err(unavailable)?;
        Ok(value.map(|value| value.as_bytes().to_vec()))
    }

    async fn set(&mut self, scope: Scope, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        match self.change(scope, &key, value, KvExpected::Anything).await? {
            // Without an expectation nothing differs.
            KvOutcome::Set | KvOutcome::Differs => Ok(()),
            KvOutcome::QuotaExceeded => Err(StoreError::QuotaExceeded),
        }
    }

    async fn delete(&mut self, scope: Scope, key: String) -> Result<(), StoreError> {
        let (space, key) = (self.space(scope)?, self::key(&key)?);
        in_time(self.reach.services.store.kv_delete(&space, &key)).await.map_err(unavailable)
    }

    async fn compare_and_set(
        &mut self,
        scope: Scope,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, StoreError> {
        let expected = match expected.map(KvValue::try_from) {
            None => KvExpected::Nothing,
            Some(Ok(expected)) => KvExpected::Value(expected),
            // No key holds so much. Whether the rest is right is still to be said.
            Some(Err(_)) => return self.space(scope).and(self::key(&key)).map(|_| false),
        };
        match self.change(scope, &key, value, expected).await? {
            KvOutcome::Set => Ok(true),
            KvOutcome::Differs => Ok(false),
            KvOutcome::QuotaExceeded => Err(StoreError::QuotaExceeded),
        }
    }

    async fn keys(
        &mut self,
        scope: Scope,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let space = self.space(scope)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let keys = self.reach.services.store.kv_keys(&space, &prefix, after.as_deref(), limit);
        let keys = in_time(keys).await.map_err(unavailable)?;
        Ok(keys.iter().map(KvKey::to_string).collect())
    }
}
