//! From SQLite's errors to the store's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::store::{Sickness, StoreError};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read or written.
    #[error("the store {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// Why a piece of work on the database came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// What the product's rules say. The connection is well.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What SQLite says.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

pub(super) type SqlResult<T> = Result<T, SqlError>;

impl SqlError {
    /// As callers of the store get it.
    pub(super) fn into_store(self, path: &Path) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Sqlite(error) => error,
        };
        let place: Arc<str> = path.display().to_string().into();
        StoreError::Sick(match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Sickness::DiskFull { place },
            Some(ErrorCode::ReadOnly) => Sickness::ReadOnly { place },
            _ => Sickness::Failing { place, reason: error.to_string().into() },
        })
    }
}
