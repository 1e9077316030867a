//! Answers on their way to platforms: `outbox.list`, `outbox.retry`, `outbox.drop`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::Answer;
use super::super::error::RpcError;
use super::super::params::Limit;
use super::super::table::Method;
use crate::channel::{OrderError, OutboxEntry, OutboxList, OutboxState};
use crate::gateway::Shared;
use crate::store::{DeliveryId, ErrorCode, Timestamp};

pub(super) fn methods() -> [Method; 3] {
    [
        Method::new(
            "outbox.list",
            "A page of the deliveries to platforms, in the order of their ids. A page that is not the last may hold \
             fewer than `limit`.",
            &[],
            list,
        ),
        Method::new(
            "outbox.retry",
            "Sends again a delivery that was given up, or that may have been sent, from where it stands.",
            &[ErrorCode::NotFound, ErrorCode::Busy, ErrorCode::Forbidden],
            retry,
        ),
        Method::new(
            "outbox.drop",
            "Sends a delivery no more, and lists it no more.",
            &[ErrorCode::NotFound, ErrorCode::Busy, ErrorCode::Forbidden],
            discard,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Of this channel; of all, where left out.
    channel: Option<String>,
    /// In one of these states; where left out, in any but `sent` and `dropped`.
    #[serde(default)]
    states: Vec<OutboxState>,
    /// Only those that may have been shown twice, or not at all; where `states` is left out, in whatever state.
    #[serde(default)]
    unknown: bool,
    /// A cursor from `next`; the beginning where left out.
    after: Option<DeliveryId>,
    /// Deliveries at most.
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
struct OutboxPage {
    /// The deliveries.
    deliveries: Vec<OutboxEntry>,
    /// The cursor of the next page; null where there is none.
    next: Option<DeliveryId>,
}

async fn list(shared: Arc<Shared>, params: List) -> Result<Answer<OutboxPage>, RpcError> {
    let List { channel, states, unknown, after, limit } = params;
    let store = shared.state.dispatcher.store();
    let page = OutboxList { channel, states, unknown }.page(store, after, limit.get(), Timestamp::now()).await?;
    Ok(Answer::of(OutboxPage { deliveries: page.items, next: page.next }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One {
    /// The delivery.
    id: DeliveryId,
}

async fn retry(shared: Arc<Shared>, params: One) -> Result<Answer<OutboxEntry>, RpcError> {
    let state = &shared.state;
    Ok(Answer::of(state.post.retry(state.dispatcher.store(), params.id).await?))
}

async fn discard(shared: Arc<Shared>, params: One) -> Result<Answer<OutboxEntry>, RpcError> {
    let state = &shared.state;
    let (store, epoch) = (state.dispatcher.store(), state.dispatcher.epoch());
    Ok(Answer::of(state.post.discard(store, epoch, params.id).await?))
}

impl From<OrderError> for RpcError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Store(error) => error.into(),
            error => Self::application(error.code(), error.to_string()),
        }
    }
}
