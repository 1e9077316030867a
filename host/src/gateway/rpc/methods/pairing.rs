//! Who may write because the owner let them in: `pairing.*`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::Answer;
use super::super::error::RpcError;
use super::super::params::Limit;
use super::super::table::Method;
use crate::gateway::Shared;
use crate::store::{ErrorCode, Pairing, Timestamp, Writer, WriterKind};

pub(super) fn methods() -> [Method; 3] {
    [
        Method::new(
            "pairing.list",
            "A page of who was let in and who asks to be, in the order of channels.",
            &[ErrorCode::Busy],
            list,
        ),
        Method::new(
            "pairing.approve",
            "Lets in who was shown this code, within an hour of it.",
            &[ErrorCode::NotFound, ErrorCode::Busy],
            approve,
        ),
        Method::new(
            "pairing.remove",
            "Takes someone out who was let in, or who asks to be. They may ask again.",
            &[ErrorCode::NotFound, ErrorCode::Busy],
            remove,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Of this channel; of all where left out.
    channel: Option<String>,
    /// A cursor from `next`; the beginning where left out.
    after: Option<Writer>,
    /// Items at most.
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PairingPage {
    /// Who was let in, and who asks.
    pairings: Vec<Pairing>,
    /// The cursor of the next page; null where there is none.
    next: Option<Writer>,
}

async fn list(shared: Arc<Shared>, params: List) -> Result<Answer<PairingPage>, RpcError> {
    let mut pairings = shared.state.dispatcher.store().pairings(params.channel.as_deref(), Timestamp::now()).await?;
    if let Some(after) = &params.after {
        pairings.retain(|pairing| pairing.writer > *after);
    }
    let more = pairings.len() > params.limit.get();
    pairings.truncate(params.limit.get());
    let next = pairings.last().filter(|_| more).map(|pairing| pairing.writer.clone());
    Ok(Answer::of(PairingPage { pairings, next }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Approve {
    /// As the channel showed it; in either case.
    code: String,
}

async fn approve(shared: Arc<Shared>, params: Approve) -> Result<Answer<Pairing>, RpcError> {
    // People read codes out and type them.
    let code = params.code.trim().to_ascii_uppercase();
    let approved = shared.state.dispatcher.store().pairing_approve(&code, Timestamp::now()).await?;
    approved.map(Answer::of).ok_or_else(|| {
        RpcError::application(
            ErrorCode::NotFound,
            "nobody waits with this code: it is wrong, older than an hour, or was approved before",
        )
    })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// The channel's name.
    channel: String,
    /// The account that was written to; all of them where left out.
    account: Option<String>,
    /// A sender, or a group.
    #[serde(default = "direct")]
    kind: WriterKind,
    /// The platform's id of them.
    id: String,
}

fn direct() -> WriterKind {
    WriterKind::Direct
}

#[derive(Debug, Serialize, JsonSchema)]
struct Removed {
    /// Who was taken out.
    removed: Vec<Writer>,
}

async fn remove(shared: Arc<Shared>, params: Remove) -> Result<Answer<Removed>, RpcError> {
    let Remove { channel, account, kind, id } = params;
    let store = shared.state.dispatcher.store();
    let meant = |writer: &Writer| {
        writer.kind == kind && writer.id == id && account.as_ref().is_none_or(|account| *account == writer.account)
    };
    let known = store.pairings(Some(&channel), Timestamp::now()).await?;
    let mut removed = Vec::new();
    for writer in known.into_iter().map(|pairing| pairing.writer).filter(meant) {
        if store.pairing_remove(&writer).await? {
            removed.push(writer);
        }
    }
    match removed.is_empty() {
        false => Ok(Answer::of(Removed { removed })),
        true => Err(RpcError::application(
            ErrorCode::NotFound,
            format!("`{id}` was not let in on `{channel}`, and does not ask to be; `pairing.list` says who"),
        )),
    }
}
