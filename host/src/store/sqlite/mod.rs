//! The engine that keeps everything in a SQLite file: one writer that groups the transactions of all
//! sessions into synced commits, readers beside it.

mod cells;
mod channels;
#[cfg(test)]
mod contract_tests;
mod counters;
mod db;
mod error;
mod events;
mod files;
mod kv;
mod ledger;
mod messages;
mod outbox;
mod portable;
mod recall;
mod recent_cache;
mod retain;
mod sessions;
mod store;
#[cfg(test)]
mod testing;
mod turns;

use std::path::PathBuf;
use std::sync::Arc;

pub use error::OpenError;

use self::db::Db;
use self::recent_cache::RecentCache;
use crate::config::ByteSize;

/// What a commit outlives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The loss of power: every commit is on the disk before it is told of.
    #[default]
    Power,
    /// The end of the process. A loss of power may take the last commits, whole, the newest first.
    Process,
}

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
