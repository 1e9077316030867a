//! How the store is: what `/readyz` and `status` say of it.

use std::sync::Arc;

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does what it is asked.
    Well,
    /// Its last write failed, and none has succeeded since.
    Sick(Sickness),
}

/// What is wrong with the storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Sickness {
    /// No room.
    #[error("the disk that holds {place} is full; nothing is stored until there is room again")]
    DiskFull {
        /// The file.
        place: Arc<str>,
    },
    /// No leave to write.
    #[error(
        "{place} cannot be written: it, its folder or its file system is read-only; nothing is stored until it is writable"
    )]
    ReadOnly {
        /// The file.
        place: Arc<str>,
    },
    /// Anything else.
    #[error("{place} cannot be used: {reason}")]
    Failing {
        /// The file.
        place: Arc<str>,
        /// What the system says.
        reason: Arc<str>,
    },
}
