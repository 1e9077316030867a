//! `memory`: the agent's semantic memory. Its engine is not there yet, and says so.

use crate::config::Access;
use crate::runtime::bindings::memory::{Fact, Host, MemoryError};
use crate::runtime::state::State;

/// Until there is an engine.
const NO_ENGINE: &str = "this gateway keeps no memory yet";

impl State {
    fn may_search(&self) -> Result<(), MemoryError> {
        match self.reach.grants.memory {
            Access::Read | Access::Write => Ok(()),
            Access::None => Err(MemoryError::Unavailable("`memory` is not granted".into())),
        }
    }

    fn may_remember(&self) -> Result<(), MemoryError> {
        match self.reach.grants.memory {
            Access::Write => Ok(()),
            Access::Read => Err(MemoryError::ReadOnly),
            Access::None => Err(MemoryError::Unavailable("`memory` is not granted".into())),
        }
    }
}

impl Host for State {
    async fn search(&mut self, _query: String, _limit: u32) -> Result<Vec<Fact>, MemoryError> {
        self.may_search()?;
        Err(MemoryError::Unavailable(NO_ENGINE.into()))
    }

    async fn remember(&mut self, _subject: String, _predicate: String, _object: String) -> Result<Fact, MemoryError> {
        self.may_remember()?;
        Err(MemoryError::Unavailable(NO_ENGINE.into()))
    }

    async fn forget(&mut self, _id: String) -> Result<(), MemoryError> {
        self.may_remember()?;
        Err(MemoryError::Unavailable(NO_ENGINE.into()))
    }
}
