//! Everything that a store holds, one record at a time and in no engine's format: what `exoclaw data
//! export` writes and `import` reads. A part of [`super::Store`].

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{
    DeliveryId, DeliveryState, Event, EventId, Fact, FactId, Idempotency, LedgerRecord, Pairing, Position, Receipt,
    Seq, SessionKey, SetAsideId, StoreError, StoredMessage, Timestamp, TokenFactor, ToolResult, TurnId,
};

/// The version of the format that this program writes.
pub const PORTABLE_VERSION: u32 = 3;

/// The oldest version that it reads: 1 knew no destinations, receipts and pairings; 2 no costs and causes of
/// calls, and not how models count tokens.
pub const OLDEST_PORTABLE_VERSION: u32 = 1;

/// One thing that is kept. What belongs to something comes after it: a session before its messages.
/// Bytes are in base64.
///
/// Tagged from outside: what serde derives for an enum that is tagged from inside goes through a buffer,
/// in which raw JSON gets lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A session.
    Session {
        /// Its key.
        session: SessionKey,
        /// When it began.
        created_at: Timestamp,
        /// When it was last used.
        updated_at: Timestamp,
        /// Turns that it has seen.
        turns: u64,
        /// The position of its next message.
        next_position: Position,
        /// The model sees nothing before this.
        context_from: Position,
    },
    /// A message of its history: a [`StoredMessage`] as JSON.
    Message {
        /// Its session.
        session: SessionKey,
        /// The message.
        message: Box<serde_json::value::RawValue>,
    },
    /// A turn that is open, or whose events can be replayed.
    Turn {
        /// Its session.
        session: SessionKey,
        /// Which.
        turn: TurnId,
        /// When its message was stored.
        accepted_at: Timestamp,
        /// Whether it is still to be ended.
        open: bool,
        /// How often it was taken up.
        resumes: u32,
        /// Under which its message was sent.
        idempotency: Option<Idempotency>,
        /// Where its answer goes, while it is open.
        #[serde(default)]
        destination: Option<PortableDestination>,
    },
    /// An event of a turn: an [`Event`] as JSON.
    Event {
        /// The event.
        event: Box<serde_json::value::RawValue>,
    },
    /// A call of a tool of an open turn.
    Call {
        /// Its session.
        session: SessionKey,
        /// Its turn.
        turn: TurnId,
        /// The provider's id for the call.
        call: String,
        /// Its result, once there is one.
        result: Option<ToolResult>,
    },
    /// A record of the ledger. Sums are not exported: they are made again of the records.
    Ledger {
        /// The record.
        entry: LedgerRecord,
    },
    /// How a model counts tokens.
    TokenFactor {
        /// What was learnt of it.
        factor: TokenFactor,
    },
    /// What a plugin keeps under a key.
    Value {
        /// The plugin.
        plugin: String,
        /// The agent, where it is an agent's.
        agent: Option<String>,
        /// The session, where it is a session's.
        session: Option<SessionKey>,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A file of a session. Its pieces follow.
    File {
        /// Its session.
        session: SessionKey,
        /// Which.
        id: String,
        /// For people.
        name: String,
        /// What it holds.
        mime_type: String,
        /// The plugin that made it.
        plugin: String,
        /// When.
        created_at: Timestamp,
    },
    /// The next piece of a file.
    FilePiece {
        /// Its session.
        session: SessionKey,
        /// Which.
        id: String,
        /// Where it begins in the file, in bytes: so that a piece that is there is told from one that is not.
        start: u64,
        /// The piece.
        data: String,
    },
    /// A channel's state.
    Channel {
        /// The channel.
        channel: String,
        /// Its state.
        state: String,
    },
    /// An event of a platform that was seen.
    Seen {
        /// The channel.
        channel: String,
        /// The event.
        event: EventId,
        /// When.
        at: Timestamp,
    },
    /// An event that was set aside.
    SetAside {
        /// Which.
        id: SetAsideId,
        /// The channel.
        channel: String,
        /// The event.
        event: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// A delivery.
    Delivery {
        /// Which.
        id: DeliveryId,
        /// The session that it answers in.
        session: Option<SessionKey>,
        /// The channel.
        channel: String,
        /// Within the channel.
        conversation: String,
        /// What it says.
        content: String,
        /// Whether that may still grow.
        draft: bool,
        /// How far it is.
        state: DeliveryState,
        /// The plugin's own account.
        progress: Option<String>,
        /// Steps that failed in a row.
        attempts: u32,
        /// When it is tried next.
        due: Timestamp,
        /// Why it failed.
        reason: Option<String>,
        /// The platform's ids of what is shown of it.
        #[serde(default)]
        shown: Vec<String>,
        /// What the platform said of it later.
        #[serde(default)]
        receipt: Option<Receipt>,
        /// When it was opened.
        created_at: Timestamp,
    },
    /// A writer who asked to be let in, or was.
    Pairing {
        /// Who, and how far.
        pairing: Pairing,
    },
    /// A fact.
    Fact {
        /// The fact.
        fact: Fact,
    },
    /// What is counted over all sessions. The last record.
    Counters {
        /// No event has this number or a higher one.
        next_seq: Seq,
        /// No fact has this number or a higher one.
        next_fact: FactId,
        /// No event that was set aside has this number or a higher one.
        next_set_aside: SetAsideId,
    },
}

/// A [`super::Destination`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PortableDestination {
    /// The channel.
    pub channel: String,
    /// Within the channel.
    pub conversation: String,
    /// As the channel's driver wrote it.
    pub address: String,
}

/// Where an export stands: opaque, of one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportCursor(pub Arc<str>);

/// Records, and where the ones after them begin; absent after the last.
pub type ExportPage = (Vec<Record>, Option<ExportCursor>);

/// All that is kept, in and out. A part of [`super::Store`].
pub trait Portable: Send + Sync + 'static {
    /// The next records, and where the ones after them begin; nothing follows the last page. A page
    /// has at most about `bytes`, and at least one record. What changes meanwhile may be in it or not:
    /// an export of a whole is made while no gateway runs, or of a backup.
    fn export(&self, after: Option<ExportCursor>, bytes: usize) -> BoxFuture<'_, Result<ExportPage, StoreError>>;

    /// Stores records, in one transaction. What is there already stays as it is: an import that was
    /// cut can be run again. Quotas and limits are not asked, since what is imported was kept before.
    ///
    /// # Errors
    /// [`StoreError::BadRecord`]; [`StoreError::NoSession`] and [`StoreError::NoTurn`], where a record's
    /// session or turn was not imported before it.
    fn import(&self, records: Vec<Record>) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Counts what is written of records, for the size of a page.
#[derive(Debug, Default)]
pub(super) struct Written(pub(super) usize);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Record {
    /// The message of a session, as a record.
    #[must_use]
    pub fn message(session: &SessionKey, message: &StoredMessage) -> Option<Self> {
        let message = serde_json::value::to_raw_value(message).ok()?;
        Some(Self::Message { session: session.clone(), message })
    }

    /// An event, as a record.
    #[must_use]
    pub fn event(event: &Event) -> Option<Self> {
        Some(Self::Event { event: serde_json::value::to_raw_value(event).ok()? })
    }
}
