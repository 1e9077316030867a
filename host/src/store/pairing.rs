//! Who may write to a channel because its owner let them in. A part of [`super::Store`].

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{StoreError, Timestamp};

/// How long a code can be approved.
pub const PAIRING_WINDOW: Duration = Duration::from_secs(60 * 60);

/// The most writers of one channel that wait. The oldest go.
pub const MAX_PENDING: usize = 1_000;

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WriterKind {
    /// A sender, for what they write directly and nothing else.
    Direct,
    /// A group, with all in it.
    Group,
}

/// Someone on a platform who writes to an account there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Writer {
    /// The channel's name in the config.
    pub channel: String,
    /// The account on the platform that was written to.
    pub account: String,
    /// A sender, or a group.
    pub kind: WriterKind,
    /// The platform's id of the sender, or of the group.
    pub id: String,
}

/// A writer who asks to be let in. One who waits already has the new code from now on; one who was let in
/// stays so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPairing {
    /// Who.
    pub writer: Writer,
    /// As the platform shows them, for the owner's eyes; anyone can choose any name.
    pub name: Option<String>,
    /// By which the owner approves: unlike all that are pending. Who waits under the same has to ask again.
    pub code: String,
    /// When; the code can be approved for [`PAIRING_WINDOW`].
    pub now: Timestamp,
}

/// How far a writer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PairingState {
    /// Waits for the owner.
    Pending {
        /// By which the owner approves.
        code: String,
        /// Until when.
        until: Timestamp,
    },
    /// May write.
    Approved {
        /// Since when.
        since: Timestamp,
    },
}

/// A writer who asked, or was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pairing {
    /// Who.
    #[serde(flatten)]
    pub writer: Writer,
    /// As the platform showed them.
    pub name: Option<String>,
    /// How far.
    #[serde(flatten)]
    pub state: PairingState,
}

/// Who was let in, and who waits. What is pending past its window is not there. A part of [`super::Store`].
pub trait Pairings: Send + Sync + 'static {
    /// How far one writer is; nothing where they neither asked nor were let in.
    fn pairing<'a>(&'a self, writer: &'a Writer, now: Timestamp) -> BoxFuture<'a, Result<Option<Pairing>, StoreError>>;

    /// All of a channel, or of all, in the order of writers.
    fn pairings<'a>(
        &'a self,
        channel: Option<&'a str>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Pairing>, StoreError>>;

    /// Lets in who has this code. Nothing where no pending one has it.
    fn pairing_approve<'a>(
        &'a self,
        code: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<Pairing>, StoreError>>;

    /// Takes a writer out, pending or approved. Says whether there was one.
    fn pairing_remove<'a>(&'a self, writer: &'a Writer) -> BoxFuture<'a, Result<bool, StoreError>>;
}
