//! Sessions: `session.*`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::Answer;
use super::super::error::RpcError;
use super::super::params::Limit;
use super::super::table::Method;
use crate::gateway::Shared;
use crate::store::{ErrorCode, SessionKey, SessionRecord, StoreError};

pub(super) fn methods() -> [Method; 4] {
    [
        Method::new("session.list", "A page of the sessions, in the order of their keys.", &[], list),
        Method::new("session.get", "One session.", &[ErrorCode::NotFound], get),
        Method::new(
            "session.reset",
            "Stops a session's turns and begins its context anew; the history is kept.",
            &[ErrorCode::NotFound],
            reset,
        ),
        Method::new(
            "session.delete",
            "Stops a session's turns and removes all that belongs to it, everywhere.",
            &[ErrorCode::NotFound, ErrorCode::Busy],
            delete,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// A cursor from `next`; the beginning where left out.
    after: Option<SessionKey>,
    /// Sessions at most.
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SessionPage {
    /// The sessions.
    sessions: Vec<SessionRecord>,
    /// The cursor of the next page; null where there is none.
    next: Option<SessionKey>,
}

async fn list(shared: Arc<Shared>, params: List) -> Result<Answer<SessionPage>, RpcError> {
    let page = shared.state.dispatcher.store().sessions(params.after.as_ref(), params.limit.get()).await?;
    Ok(Answer::of(SessionPage { sessions: page.items, next: page.next }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Session {
    /// The session.
    session: SessionKey,
}

async fn get(shared: Arc<Shared>, params: Session) -> Result<Answer<SessionRecord>, RpcError> {
    let record = shared.state.dispatcher.store().session(&params.session).await?;
    record.map(Answer::of).ok_or_else(|| StoreError::NoSession(params.session).into())
}

#[derive(Debug, Serialize, JsonSchema)]
struct Reset {
    /// The session.
    session: SessionKey,
}

async fn reset(shared: Arc<Shared>, params: Session) -> Result<Answer<Reset>, RpcError> {
    let session = params.session;
    if shared.state.dispatcher.reset(&session).await? {
        Ok(Answer::of(Reset { session }))
    } else {
        Err(StoreError::NoSession(session).into())
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Deleted {
    /// Always true.
    deleted: bool,
}

async fn delete(shared: Arc<Shared>, params: Session) -> Result<Answer<Deleted>, RpcError> {
    let session = params.session;
    if shared.state.dispatcher.delete(&session).await? {
        Ok(Answer::of(Deleted { deleted: true }))
    } else {
        Err(StoreError::NoSession(session).into())
    }
}
