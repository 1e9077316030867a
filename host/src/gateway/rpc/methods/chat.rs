//! Conversations: `chat.*`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::super::answer::{Answer, Effect};
use super::super::error::RpcError;
use super::super::params::{Label, Limit};
use super::super::table::Method;
use crate::agent::{Peer, Submission};
use crate::gateway::Shared;
use crate::store::{ErrorCode, Position, Seq, SessionKey, StoredMessage, TurnId};

/// Serialised messages of one page of history; one message may be more.
const PAGE_BYTES: usize = 1 << 20;

pub(super) fn methods() -> [Method; 5] {
    use ErrorCode::{Busy, NoAgent, NotFound, TooLarge};
    [
        Method::new(
            "chat.send",
            "Stores a message and answers; the turn that replies to it follows in `chat.event` notifications.",
            &[NoAgent, Busy, TooLarge],
            send,
        ),
        Method::new(
            "chat.subscribe",
            "Shows a session's events on this connection: after `after_seq` where given, else from now on.",
            &[Busy],
            subscribe,
        ),
        Method::new(
            "chat.unsubscribe",
            "Ends a subscription. Turns that this connection sent are still shown to their end.",
            &[],
            unsubscribe,
        ),
        Method::new(
            "chat.abort",
            "Stops a turn, or all turns of a session. When it answers, nothing more of them is asked or run.",
            &[],
            abort,
        ),
        Method::new(
            "chat.history",
            "A page of a session's messages, oldest first, going back from `before`.",
            &[NotFound],
            history,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Send {
    /// What is said.
    #[schemars(length(min = 1))]
    content: String,
    /// The channel to speak as: `websocket` where left out. With `account`, `peer`, `guild` and
    /// `team` it chooses the agent and the session; the answer comes here all the same.
    channel: Option<Label>,
    /// The account on the channel: `local` where left out.
    account: Option<Label>,
    /// The other side of the conversation: `main` where left out.
    peer: Option<Label>,
    /// The guild, where the channel has such.
    guild: Option<Label>,
    /// The team, where the channel has such.
    team: Option<Label>,
    /// The agent to ask; the bindings choose where left out.
    agent: Option<Label>,
    /// A text of the client's own. The same key within a session and 24 hours returns the first
    /// turn and shows its events again.
    idempotency_key: Option<Label>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Sent {
    /// The turn that replies.
    turn: TurnId,
    /// The session that the message is stored in.
    session: SessionKey,
    /// True where the idempotency key was used before; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<bool>,
}

async fn send(shared: Arc<Shared>, params: Send) -> Result<Answer<Sent>, RpcError> {
    let submission = Submission {
        peer: Peer {
            channel: params.channel.map_or_else(|| "websocket".to_owned(), Label::into_string),
            account: params.account.map_or_else(|| "local".to_owned(), Label::into_string),
            peer: params.peer.map_or_else(|| "main".to_owned(), Label::into_string),
            guild: params.guild.map(Label::into_string),
            team: params.team.map(Label::into_string),
        },
        agent: params.agent.map(Label::into_string),
        content: params.content,
        attachments: Vec::new(),
        destination: None,
        idempotency_key: params.idempotency_key.map(Label::into_string),
    };
    let submitted = shared.state.dispatcher.submit(submission).await?;
    let (turn, session, ticket) = (submitted.turn, submitted.session, submitted.ticket);
    let sent = Sent { turn, session: session.clone(), duplicate: ticket.is_none().then_some(true) };
    Ok(Answer::with(sent, Effect::Follow { session, turn, ticket }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Subscribe {
    /// The session; one that does not exist yet may be watched too.
    session: SessionKey,
    /// The `seq` of the last event that the client has; 0 for everything that is kept.
    after_seq: Option<Seq>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Subscribed {
    /// The session.
    session: SessionKey,
}

async fn subscribe(_: Arc<Shared>, params: Subscribe) -> Result<Answer<Subscribed>, RpcError> {
    let Subscribe { session, after_seq } = params;
    Ok(Answer::with(Subscribed { session: session.clone() }, Effect::Subscribe { session, after: after_seq }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Unsubscribe {
    /// The session.
    session: SessionKey,
}

async fn unsubscribe(_: Arc<Shared>, params: Unsubscribe) -> Result<Answer<Subscribed>, RpcError> {
    let session = params.session;
    Ok(Answer::with(Subscribed { session: session.clone() }, Effect::Unsubscribe { session }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Abort {
    /// The session.
    session: SessionKey,
    /// The turn; every turn of the session where left out.
    turn: Option<TurnId>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Aborted {
    /// Whether there was a turn to stop.
    aborted: bool,
}

async fn abort(shared: Arc<Shared>, params: Abort) -> Result<Answer<Aborted>, RpcError> {
    Ok(Answer::of(Aborted { aborted: shared.state.dispatcher.abort(&params.session, params.turn).await }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct History {
    /// The session.
    session: SessionKey,
    /// A cursor from `next`; the newest messages where left out.
    before: Option<Position>,
    /// Messages at most. A page of large ones may hold fewer.
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HistoryPage {
    /// The messages, oldest first.
    #[schemars(with = "Vec<StoredMessage>")]
    messages: Vec<Box<RawValue>>,
    /// The cursor of the page before; null where there is none.
    next: Option<Position>,
}

async fn history(shared: Arc<Shared>, params: History) -> Result<Answer<HistoryPage>, RpcError> {
    let page = shared.state.dispatcher.store().history(&params.session, params.before, params.limit.get()).await?;
    let (mut messages, mut bytes, mut next) = (Vec::new(), 0, page.next);
    let mut newer = None;
    for message in page.items.iter().rev() {
        let json =
            to_raw_value(message).map_err(|error| RpcError::application(ErrorCode::Internal, error.to_string()))?;
        bytes += json.get().len();
        if bytes > PAGE_BYTES && newer.is_some() {
            next = newer;
            break;
        }
        newer = Some(message.position);
        messages.push(json);
    }
    messages.reverse();
    Ok(Answer::of(HistoryPage { messages, next }))
}
