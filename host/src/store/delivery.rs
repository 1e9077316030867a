//! The outbox: what is to be sent to platforms, until it is settled. A part of [`super::Store`].

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Epoch, Page, SessionKey, StoreError, Timestamp, TurnId};

/// Names a delivery. It has the form of a turn's id, so that it and a part's number fit a platform's
/// idempotency key; the first delivery of a turn has the turn's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct DeliveryId(pub TurnId);

/// A delivery that is opened, or that gets its final content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Under which it is known from now on.
    pub id: DeliveryId,
    /// The session that it answers in, with which it is removed; absent where it answers in none.
    pub session: Option<SessionKey>,
    /// The channel's name in the config.
    pub channel: String,
    /// Within the channel: deliveries of one conversation keep their order.
    pub conversation: String,
    /// Where it goes and what it says, as the channel's driver writes it.
    pub content: Bytes,
    /// Whether the content may still grow. What is a draft is not settled.
    pub draft: bool,
    /// Who opens it.
    pub epoch: Epoch,
    /// When.
    pub now: Timestamp,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits for its moment.
    Pending,
    /// A step of it is under way: it may have been sent.
    Sending,
    /// It may have been sent, and the platform cannot tell.
    Unknown,
    /// It was sent.
    Sent,
    /// It will not be sent any more.
    Dead,
}

impl DeliveryState {
    /// Whether nothing is left to be done, unless its owner says so.
    #[must_use]
    pub fn settled(self) -> bool {
        matches!(self, Self::Unknown | Self::Sent | Self::Dead)
    }
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which.
    pub id: DeliveryId,
    /// The session that it answers in.
    pub session: Option<SessionKey>,
    /// The channel.
    pub channel: String,
    /// Within the channel.
    pub conversation: String,
    /// Where it goes and what it says, as the channel's driver writes it.
    pub content: Bytes,
    /// Whether the content may still grow.
    pub draft: bool,
    /// How far it is.
    pub state: DeliveryState,
    /// The plugin's own account of how far it is.
    pub progress: Option<Bytes>,
    /// Steps of it that failed in a row.
    pub attempts: u32,
    /// When it is tried next.
    pub due: Timestamp,
    /// Why it failed last, or is dead.
    pub reason: Option<String>,
    /// The platform's ids of what is shown of it, in order.
    pub shown: Vec<String>,
    /// What the platform said of it later.
    pub receipt: Option<Receipt>,
    /// When it was opened.
    pub created_at: Timestamp,
}

/// A step of a delivery. Everything that is given takes the place of what was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryUpdate {
    /// Which.
    pub id: DeliveryId,
    /// Who advances it.
    pub epoch: Epoch,
    /// How far it is.
    pub state: DeliveryState,
    /// The plugin's own account.
    pub progress: Option<Bytes>,
    /// Steps of it that failed in a row.
    pub attempts: u32,
    /// When it is tried next.
    pub due: Timestamp,
    /// Why it failed last, or is dead.
    pub reason: Option<String>,
    /// The platform's ids of what is shown of it, in order, at most [`MAX_SHOWN`].
    pub shown: Vec<String>,
}

/// The most ids of what is shown of one delivery.
pub const MAX_SHOWN: usize = 64;

/// How long a settled delivery that answers in no session is kept. Of a session's, its agent's owner says how long.
pub const DELIVERY_WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a platform says of a delivery after it was sent. A later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// It is on the user's device.
    Delivered,
    /// The user has read it.
    Read,
    /// It did not arrive after all.
    Failed,
}

/// A receipt, as a channel read it out of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReceipt {
    /// The platform's id of something that is shown, or the delivery's own. One that names nothing of the
    /// channel is dropped; of several that show something under one id, it is of the one that was opened last.
    pub id: String,
    /// What it says. Of an older one and a newer one, the greater stays.
    pub receipt: Receipt,
    /// Why it failed. Where that is news of a delivery that was sent, it is dead, and this its reason.
    pub reason: Option<String>,
}

/// Which deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of this channel.
    pub channel: Option<String>,
    /// In one of these states; in any, where it is empty.
    pub states: Vec<DeliveryState>,
}

/// What is to be sent. A part of [`super::Store`].
pub trait Outbox: Send + Sync + 'static {
    /// Opens a delivery; of one that is not settled, replaces `content` and `draft`, and nothing else.
    /// Where a draft gets its final content, that is tried at once and as often as any other: `attempts` is
    /// 0, `due` is `now`, and it is pending, whatever became of the draft, unless a step of it is under way.
    /// `progress` and `shown` stay: they are what there is of it. A settled one is left as it is, and so is
    /// one with its final content that would become a draft again: a draft that comes late takes the place of
    /// no answer. Says whether the delivery is open now, with this content.
    ///
    /// # Errors
    /// [`StoreError::Superseded`]; [`StoreError::NoSession`].
    fn delivery_open(&self, delivery: NewDelivery) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Advances a delivery, a draft too. Says whether there is one.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], where a later owner advanced it; [`StoreError::TooMany`], where more is
    /// shown than [`MAX_SHOWN`].
    fn delivery_update(&self, update: DeliveryUpdate) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// One delivery.
    fn delivery(&self, id: DeliveryId) -> BoxFuture<'_, Result<Option<Delivery>, StoreError>>;

    /// What was opened last of a session's deliveries, as far as it is kept.
    fn last_delivery<'a>(&'a self, session: &'a SessionKey) -> BoxFuture<'a, Result<Option<Delivery>, StoreError>>;

    /// A page of deliveries in the order of their ids, after `after`.
    fn deliveries<'a>(
        &'a self,
        filter: &'a DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<Delivery, DeliveryId>, StoreError>>;

    /// The first unsettled delivery of each conversation of a channel, of those the ones that are due
    /// at `now`, by when they were due; at most `limit`. A draft is one of them while its content grows, and
    /// all that was opened after it in its conversation waits until it is settled; its driver moves `due`
    /// to when it is to see it next.
    fn deliveries_due<'a>(
        &'a self,
        channel: &'a str,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, StoreError>>;
}
