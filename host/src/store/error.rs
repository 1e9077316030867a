//! Why the store could not do what it was asked.

use super::{Epoch, SessionKey, Sickness, TurnId};

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// All sessions that the limit allows are at work.
    #[error("{limit} sessions are in use, the limit of `[limits] sessions`; try again when one is idle, or raise it")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// No such session.
    #[error("there is no session `{0}`")]
    NoSession(SessionKey),
    /// A turn that is not open.
    #[error("turn {0} is not open: it ended, or its session was deleted")]
    NoTurn(TurnId),
    /// More than is kept of such a thing.
    #[error("{what} has at most {limit} bytes; make it smaller")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Bytes.
        limit: usize,
    },
    /// More in number than is kept of such a thing.
    #[error("{what} are at most {limit}; leave some out")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many.
        limit: usize,
    },
    /// Another owner went on with it.
    #[error("another gateway took this over (it owns the store in epoch {by}, this one in {epoch}); stop one of them")]
    Superseded {
        /// Whose epoch was refused.
        epoch: Epoch,
        /// Who advanced it later.
        by: Epoch,
    },
    /// The storage does not work. Nothing was stored.
    #[error(transparent)]
    Sick(#[from] Sickness),
    /// What is stored cannot be read as what it should be.
    #[error("the store holds {what} that cannot be read: {reason}; `exoclaw data verify` says more")]
    Corrupt {
        /// What.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// What is imported cannot be read as what it should be.
    #[error("a record has {what} that cannot be read: {reason}; export it anew, or remove the record")]
    BadRecord {
        /// What.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// The store was closed.
    #[error("the store is closed, since the gateway goes down; try again when it is back")]
    Closed,
}
