//! `store`: keys and values of the plugin's own, in the gateway's store.

use crate::runtime::bindings::store::{Host, Scope, StoreError};
use crate::runtime::state::State;

impl Host for State {
    async fn get(&mut self, _scope: Scope, _key: String) -> Result<Option<Vec<u8>>, StoreError> {
        Err(StoreError::Unavailable(String::new()))
    }

    async fn set(&mut self, _scope: Scope, _key: String, _value: Vec<u8>) -> Result<(), StoreError> {
        Err(StoreError::Unavailable(String::new()))
    }

    async fn delete(&mut self, _scope: Scope, _key: String) -> Result<(), StoreError> {
        Err(StoreError::Unavailable(String::new()))
    }

    async fn compare_and_set(
        &mut self,
        _scope: Scope,
        _key: String,
        _expected: Option<Vec<u8>>,
        _value: Vec<u8>,
    ) -> Result<bool, StoreError> {
        Err(StoreError::Unavailable(String::new()))
    }

    async fn keys(
        &mut self,
        _scope: Scope,
        _prefix: String,
        _after: Option<String>,
        _limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        Err(StoreError::Unavailable(String::new()))
    }
}
