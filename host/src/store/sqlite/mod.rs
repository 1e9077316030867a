//! The engine that keeps everything in a SQLite file: one writer that groups the transactions of all
//! sessions into synced commits, readers beside it.

mod channels;
mod db;
mod error;
mod files;
mod kv;
mod ledger;
mod outbox;
mod portable;
mod recall;
mod sessions;
mod store;

use std::path::PathBuf;

pub use error::OpenError;

use self::db::Db;
pub use crate::config::Durability;
use crate::config::ByteSize;

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
}

impl SqliteStore {
    /// Opens a store, made anew where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// What is in the way, and what to do.
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let db = Db::open(&options)?;
        Ok(Self { db, options })
    }
}
