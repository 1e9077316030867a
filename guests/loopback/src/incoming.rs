//! From the platform to the agent.

use serde::Deserialize;

use crate::exoclaw::plugin::logging::{Level, log};
use crate::exoclaw::plugin::types::Header;
use crate::exports::exoclaw::plugin::channel::{
    Action, Address, Attachment, Closing, Connection, Context, Conversation, Disconnection, Error, Event, Frame,
    Health, Incoming, Kind, Message, NextState, OutboundFrame, Piece, Receipt, Request, Response, Sender, Start,
    Status, TaggedFrame, TaggedOutboundFrame, TaggedRequest, TaggedResponse, Timer, TransportError,
};
use crate::{SECRET, request};

/// The tag of its one connection, its one timer and its one request.
const TAG: &str = "loop";

/// What its state holds: how many messages it has seen, as decimal digits.
fn count(state: &[u8]) -> u64 {
    core::str::from_utf8(state).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A message on the wire.
#[derive(Deserialize)]
struct Wire {
    id: String,
    peer: String,
    #[serde(default)]
    text: String,
    attachment: Option<String>,
    /// The id of a message of ours that was delivered.
    delivered: Option<String>,
}

pub fn parse(context: &Context, state: &[u8], event: Event) -> Result<Incoming, Error> {
    let quiet =
        |actions| Incoming { state: NextState::Unchanged, messages: vec![], receipts: vec![], actions, reply: None };
    Ok(match event {
        Event::Start(start) => {
            log(
                Level::Info,
                &format!(
                    "starts ({})",
                    match start {
                        Start::New => "new",
                        Start::Restart => "again",
                        Start::Reload => "reloaded",
                    }
                ),
            );
            quiet(vec![Action::Report(Health::Connecting("looping".into())), Action::Connect(connection(context)?)])
        }
        Event::Stop => quiet(vec![
            Action::CancelTimer(TAG.into()),
            Action::CancelRequest(TAG.into()),
            Action::Disconnect(Closing { tag: TAG.into(), code: 1000, reason: "stopped".into() }),
        ]),
        Event::Connected(tag) => quiet(vec![
            Action::Send(TaggedOutboundFrame {
                tag: tag.clone(),
                frame: OutboundFrame::Text(vec![Piece::Text("hello ".into()), Piece::Secret(SECRET.into())]),
            }),
            Action::Send(TaggedOutboundFrame { tag, frame: OutboundFrame::Binary(vec![0, 255]) }),
            Action::Report(Health::Ready),
            Action::SetTimer(Timer { tag: TAG.into(), after_ms: 30_000 }),
        ]),
        Event::Disconnected(Disconnection { code, reason, .. }) => quiet(vec![
            Action::Report(Health::Degraded(format!("{code:?} {reason}"))),
            // Spread by chance, so that many do not come back at once.
            Action::SetTimer(Timer { tag: TAG.into(), after_ms: 1_000 + (context.random % 1_000) as u32 }),
        ]),
        Event::Timer(tag) => {
            quiet(vec![Action::Request(TaggedRequest { tag, request: request(context, "POST", "/poll")? })])
        }
        Event::Response(TaggedResponse { outcome: Ok(Response { status: 200, body, .. }), .. }) => {
            received(context, state, &body)?
        }
        Event::Response(TaggedResponse { outcome: Ok(Response { status, .. }), .. }) => {
            quiet(vec![Action::Report(Health::Failed(format!("the platform answered with {status}")))])
        }
        Event::Response(TaggedResponse { outcome: Err(error), .. }) => {
            let (TransportError::NotSent(why) | TransportError::Unanswered(why)) = error;
            quiet(vec![Action::Report(Health::Degraded(why))])
        }
        Event::Webhook(Request { body, .. }) => Incoming {
            reply: Some(Response {
                status: 202,
                headers: vec![Header { name: "content-type".into(), value: "text/plain".into() }],
                body: b"taken".to_vec(),
            }),
            ..received(context, state, &body)?
        },
        Event::Frame(TaggedFrame { frame, .. }) => match frame {
            Frame::Text(text) => received(context, state, text.as_bytes())?,
            Frame::Binary(bytes) => received(context, state, &bytes)?,
            Frame::Event(event) => received(context, state, event.data.as_bytes())?,
        },
    })
}

fn received(context: &Context, state: &[u8], json: &[u8]) -> Result<Incoming, Error> {
    let wire: Wire = match serde_json::from_slice(json) {
        Ok(wire) => wire,
        // What failed twice is skipped, so that it does not fail for ever.
        Err(_) if context.attempt > 1 => {
            return Ok(Incoming {
                state: NextState::Lazy(state.to_vec()),
                messages: vec![],
                receipts: vec![],
                actions: vec![],
                reply: None,
            });
        }
        Err(error) => return Err(Error::InvalidInput(error.to_string())),
    };
    let receipts = wire.delivered.into_iter().map(|id| Receipt { id, status: Status::Delivered }).collect();
    let attachments = wire.attachment.into_iter().map(|name| Attachment {
        mime_type: "application/octet-stream".into(),
        name: Some(name.clone()),
        size: None,
        handle: name.into_bytes(),
    });
    let message = Message {
        event_id: format!("event-{}", wire.id),
        id: wire.id,
        kind: Kind::New,
        address: Address { account: None, peer: wire.peer.clone(), guild: None, team: None, thread: None },
        sender: Sender { id: wire.peer, name: None, bot: false },
        mentions_agent: wire.text.starts_with("@agent"),
        text: wire.text,
        attachments: attachments.collect(),
        reply_to: None,
        conversation: Conversation::Direct,
        sent_at: Some(context.now),
        handle: b"handle".to_vec(),
    };
    Ok(Incoming {
        state: NextState::Durable((count(state) + 1).to_string().into_bytes()),
        messages: vec![message],
        receipts,
        actions: vec![],
        reply: None,
    })
}

fn connection(context: &Context) -> Result<Connection, Error> {
    let request = request(context, "GET", "/stream")?;
    Ok(Connection { tag: TAG.into(), url: request.url, headers: request.headers, close_code: Some(4000) })
}
