//! The engine that keeps everything in a SQLite file: one writer that groups the transactions of all
//! sessions into synced commits, readers beside it.
//!
//! What is deleted is overwritten (`secure_delete`), and the log that still holds it is cut as soon as the
//! writer is idle. An FTS5 table needs a setting of its own for that, once, in the migration that makes it:
//! `INSERT INTO the_table(the_table, rank) VALUES('secure-delete', 1);`. Without it a deleted row's words stay
//! in the index's segments, with a mark, until they are merged.

mod cells;
mod channels;
mod commit;
mod connection;
#[cfg(test)]
mod contract_tests;
mod counters;
mod db;
mod error;
mod events;
mod factors;
mod files;
mod health;
mod kv;
mod ledger;
mod lock;
mod maintain;
mod messages;
mod migrate;
mod outbox;
mod pairings;
mod portable;
mod readers;
mod recall;
mod recent_cache;
mod retain;
mod rollup;
mod sessions;
mod store;
mod task;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod turns;
mod usage;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

pub use error::OpenError;
pub use lock::Holder;
pub use maintain::{Compacted, CopyError, MaintainError, Problem, Progress, Verified, backup, compact, verify};

use self::db::Db;
use self::recent_cache::RecentCache;
use crate::config::ByteSize;
pub use crate::config::Durability;

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The file. Its folder is made where there is none.
    pub path: PathBuf,
    /// What a commit outlives.
    pub durability: Durability,
    /// The files of all sessions together.
    pub files: ByteSize,
    /// The files of one session.
    pub session_files: ByteSize,
}

/// The SQLite engine.
#[derive(Debug)]
pub struct SqliteStore {
    db: Db,
    options: SqliteOptions,
    recent: Arc<RecentCache>,
}

impl SqliteStore {
    /// Opens a store, made anew where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// What is in the way, and what to do.
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let db = Db::open(&options)?;
        Ok(Self { db, options, recent: Arc::default() })
    }
}
