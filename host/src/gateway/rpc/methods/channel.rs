//! Channels, and the events that they did not get past: `channel.*`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::Answer;
use super::super::error::RpcError;
use super::super::params::Limit;
use super::super::table::Method;
use super::directory::List;
use crate::channel::{ChannelStatus, ReplayError};
use crate::gateway::Shared;
use crate::store::{ErrorCode, SetAside, SetAsideId, Timestamp};
use crate::text;

/// Characters of an event that are shown.
const EXCERPT: usize = 200;

pub(super) fn methods() -> [Method; 4] {
    [
        Method::new("channel.list", "A page of the channels, by name.", &[], list),
        Method::new(
            "channel.events",
            "A page of the events that channels did not get past, oldest first.",
            &[ErrorCode::Busy],
            events,
        ),
        Method::new(
            "channel.replay",
            "Puts an event that was set aside to its channel again. Once the channel is past it, it is forgotten.",
            &[ErrorCode::NotFound, ErrorCode::Busy],
            replay,
        ),
        Method::new(
            "channel.drop",
            "Forgets an event that was set aside: what was in it is lost.",
            &[ErrorCode::NotFound, ErrorCode::Busy],
            drop_event,
        ),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct ChannelPage {
    /// The channels.
    channels: Vec<ChannelStatus>,
    /// The cursor of the next page; null where there is none.
    next: Option<String>,
}

async fn list(shared: Arc<Shared>, params: List) -> Result<Answer<ChannelPage>, RpcError> {
    let (channels, next) = params.page(shared.state.channels.channels(), |channel| &channel.name);
    Ok(Answer::of(ChannelPage { channels, next }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Events {
    /// Of this channel; of all where left out.
    channel: Option<String>,
    /// A cursor from `next`; the beginning where left out.
    after: Option<SetAsideId>,
    /// Events at most.
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
struct EventPage {
    /// The events.
    events: Vec<EventInfo>,
    /// The cursor of the next page; null where there is none.
    next: Option<SetAsideId>,
}

/// An event that was set aside.
#[derive(Debug, Serialize, JsonSchema)]
struct EventInfo {
    /// By which it is replayed or dropped.
    id: SetAsideId,
    /// The channel.
    channel: String,
    /// When it was set aside.
    at: Timestamp,
    /// Why.
    reason: String,
    /// Its size in bytes, as it is stored.
    size: usize,
    /// How it begins.
    excerpt: String,
}

impl From<SetAside> for EventInfo {
    fn from(event: SetAside) -> Self {
        let SetAside { id, channel, event, reason, at } = event;
        // A character has at most four bytes, and what is escaped grows.
        let begin = event.get(..EXCERPT * 4).unwrap_or(&event);
        let excerpt = text::one_line(&String::from_utf8_lossy(begin), EXCERPT);
        Self { id, channel, at, reason, size: event.len(), excerpt }
    }
}

async fn events(shared: Arc<Shared>, params: Events) -> Result<Answer<EventPage>, RpcError> {
    let store = shared.state.dispatcher.store();
    let page = store.set_aside(params.channel.as_deref(), params.after, params.limit.get()).await?;
    Ok(Answer::of(EventPage { events: page.items.into_iter().map(EventInfo::from).collect(), next: page.next }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One {
    /// From `channel.events`.
    id: SetAsideId,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Replayed {
    /// Whether the channel is past it now.
    replayed: bool,
    /// Why it stays set aside; null where it does not.
    reason: Option<String>,
}

async fn replay(shared: Arc<Shared>, params: One) -> Result<Answer<Replayed>, RpcError> {
    let One { id } = params;
    // Events are found by their order.
    let before = id.0.checked_sub(1).map(SetAsideId);
    let page = shared.state.dispatcher.store().set_aside(None, before, 1).await?;
    let event = page.items.into_iter().find(|event| event.id == id).ok_or_else(|| unknown(id))?;
    match shared.state.channels.replay(event).await {
        Ok(()) => Ok(Answer::of(Replayed { replayed: true, reason: None })),
        Err(ReplayError::Stays(reason)) => Ok(Answer::of(Replayed { replayed: false, reason: Some(reason) })),
        Err(error @ ReplayError::NoChannel(_)) => Err(RpcError::application(ErrorCode::NotFound, error.to_string())),
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Dropped {
    /// Always true.
    dropped: bool,
}

async fn drop_event(shared: Arc<Shared>, params: One) -> Result<Answer<Dropped>, RpcError> {
    match shared.state.dispatcher.store().set_aside_remove(params.id).await? {
        true => Ok(Answer::of(Dropped { dropped: true })),
        false => Err(unknown(params.id)),
    }
}

fn unknown(id: SetAsideId) -> RpcError {
    RpcError::application(ErrorCode::NotFound, format!("no event {} is set aside; `channel.events` lists them", id.0))
}
