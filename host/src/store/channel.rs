//! What a channel's driver keeps: the plugin's state, the events that it has seen, and those that
//! it could not get past. A part of [`super::Store`].

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Accept, Accepted, Epoch, NewDelivery, NewPairing, NewReceipt, Page, StoreError, Timestamp};

/// How long the id of a platform's event is remembered.
pub const EVENT_WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The largest state of a channel, in bytes (`wit/channel.wit`, `next-state`).
pub const MAX_CHANNEL_STATE: usize = 256 << 10;

/// The largest event that is set aside, in bytes.
pub const MAX_SET_ASIDE: usize = 8 << 20;

/// An event of a platform: its account, and its id within the account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventId {
    /// The account on the platform.
    pub account: String,
    /// The platform's id.
    pub id: String,
}

/// A message that a channel read out of an event.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// By which a repeat is dropped, for [`EVENT_WINDOW`].
    pub event: EventId,
    /// The message; absent where its sender may not write, or where the host answers it itself:
    /// then only the id is kept.
    pub accept: Option<Accept>,
    /// What the host itself says to it: opened together with it, after its message was accepted, and
    /// not for a repeat.
    pub replies: Vec<NewDelivery>,
    /// Its sender asks to be let in: kept together with it, and not for a repeat.
    pub pairing: Option<NewPairing>,
}

/// What a channel made of one event of its transport, in one transaction: either all of it is
/// stored, or nothing.
#[derive(Debug, Clone)]
pub struct ChannelCommit {
    /// The channel's name in the config.
    pub channel: String,
    /// Whose channel it is.
    pub epoch: Epoch,
    /// Its new state; absent where it is unchanged.
    pub state: Option<Bytes>,
    /// Its messages.
    pub incoming: Vec<Incoming>,
    /// What the platform says of earlier deliveries of this channel.
    pub receipts: Vec<NewReceipt>,
    /// An event that it could not get past.
    pub set_aside: Option<NewSetAside>,
    /// The event of this channel that was set aside and of which this is a replay: forgotten with it. One
    /// that is not there any more changes nothing.
    pub replays: Option<SetAsideId>,
    /// When.
    pub now: Timestamp,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncomingOutcome {
    /// Its event is new, and this became of the message.
    Accepted(Accepted),
    /// Its event is new, and there was no message to accept.
    Noted,
    /// Its event was seen before; nothing was stored.
    Repeat,
}

/// An event that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSetAside {
    /// The event, as the driver writes it.
    pub event: Bytes,
    /// Why the plugin did not get past it.
    pub reason: String,
}

/// Names an event that was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct SetAsideId(pub u64);

/// An event that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Which.
    pub id: SetAsideId,
    /// The channel.
    pub channel: String,
    /// The event, as the driver wrote it.
    pub event: Bytes,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What drivers of channels keep. A part of [`super::Store`].
pub trait Channels: Send + Sync + 'static {
    /// A channel's state; absent where it never stored one.
    fn channel_state<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>>;

    /// Whether an event was seen within [`EVENT_WINDOW`].
    fn seen<'a>(
        &'a self,
        channel: &'a str,
        event: &'a EventId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Stores what a channel made of an event. The outcomes stand in the order of `incoming`; of two
    /// messages with one event id, the second is a repeat.
    ///
    /// # Errors
    /// Nothing was stored; [`StoreError::Superseded`], where a later owner advanced the channel, a session
    /// of one of its messages, or a delivery that is opened again; [`StoreError::NoSession`], where a reply
    /// is to go with a session that is not there; [`StoreError::TooLarge`].
    fn channel_commit(&self, commit: ChannelCommit) -> BoxFuture<'_, Result<Vec<IncomingOutcome>, StoreError>>;

    /// A page of events that were set aside, oldest first, after `after`.
    fn set_aside<'a>(
        &'a self,
        channel: Option<&'a str>,
        after: Option<SetAsideId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<SetAside, SetAsideId>, StoreError>>;

    /// Forgets an event that was set aside. Says whether there was one.
    fn set_aside_remove(&self, id: SetAsideId) -> BoxFuture<'_, Result<bool, StoreError>>;
}
