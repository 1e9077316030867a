//! What is done to a store from outside of a gateway: copying, checking, making small.

pub(super) mod backup;
pub(super) mod compact;
pub(super) mod copy;
pub(super) mod verify;

pub use backup::backup;
pub use compact::{Compacted, compact};
pub use verify::{Problem, Verified, verify};

pub use copy::CopyError;

/// How far a long work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done now, for a person.
    pub what: &'static str,
    /// Of the whole, in units of the work.
    pub done: u64,
    /// All of it, as far as is known now.
    pub total: u64,
}

/// Why the work was not done.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] super::OpenError),
    /// The copy could not be made.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// SQLite could not go on. The store is as it was, or as a step that was whole left it.
    #[error("the store {}: {what} failed: {reason}", path.display())]
    Sqlite {
        /// The file.
        path: std::path::PathBuf,
        /// What was done.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}
