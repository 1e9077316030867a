//! What a gateway that is down has left.

use std::path::Path;
use std::sync::Arc;

use exoclaw::config::ByteSize;
use exoclaw::store::DynStore;
use exoclaw::store::sqlite::{Durability, SqliteOptions, SqliteStore};

/// The store of a gateway that was at home there.
pub(crate) fn left_in(home: &Path) -> DynStore {
    let store = SqliteStore::open(SqliteOptions {
        path: home.join(".exoclaw/exoclaw.db"),
        durability: Durability::Process,
        files: ByteSize::mib(256),
        session_files: ByteSize::mib(64),
    });
    Arc::new(store.expect("what the gateway left opens"))
}
