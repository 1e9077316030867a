//! From the agent to the platform. Its progress is the number of requests that it sent.

use crate::exports::exoclaw::plugin::channel::{
    Body, Content, Context, Error, Field, FieldValue, Hold, LimitedRequest, Next, Outbound, OutboundFrame, Outcome,
    Outgoing, Piece, Response, Step, TaggedOutboundFrame, TransportError,
};
use crate::request;

/// The rate limit that it counts against.
const LIMIT: &str = "messages";

pub fn format(context: &Context, outgoing: &Outgoing, progress: &[u8]) -> Result<Step, Error> {
    let sent = progress.first().copied().unwrap_or(0);
    let step = |progress: Vec<u8>, next| Step { progress, holds: vec![], next };
    Ok(match &outgoing.content {
        // A frame first, and done when asked again.
        Content::Typing if sent == 0 => step(
            vec![1],
            Next::Frame(TaggedOutboundFrame {
                tag: "loop".into(),
                frame: OutboundFrame::Text(vec![Piece::Text(format!("typing {}", outgoing.address.peer))]),
            }),
        ),
        Content::Typing => step(vec![sent], Next::Done(vec![])),
        Content::Draft(text) | Content::Markdown(text) => {
            let body = Body::Text(vec![Piece::Text(text.clone())]);
            step(vec![sent.saturating_add(1)], send(context, outgoing, body)?)
        }
        Content::File(file) => {
            let field = |name: &str, value| Field { name: name.into(), filename: None, mime_type: None, value };
            let body = Body::Form(vec![
                field("id", FieldValue::Text(vec![Piece::Text(outgoing.id.clone())])),
                Field {
                    filename: Some(file.name.clone()),
                    mime_type: Some(file.mime_type.clone()),
                    ..field("file", FieldValue::File(file.id.clone()))
                },
            ]);
            step(vec![sent.saturating_add(1)], send(context, outgoing, body)?)
        }
        Content::Reaction(reaction) => {
            step(vec![sent], Next::Rejected(format!("{} has no {}", reaction.message_id, reaction.emoji)))
        }
    })
}

fn send(context: &Context, outgoing: &Outgoing, body: Body) -> Result<Next, Error> {
    let request = Outbound { body, ..request(context, "POST", &format!("/messages/{}", outgoing.id))? };
    Ok(Next::Request(LimitedRequest { request, keys: vec![LIMIT.into()] }))
}

pub fn settle(outgoing: &Outgoing, progress: Vec<u8>, outcome: Outcome) -> Result<Step, Error> {
    let mut holds = vec![];
    let next = match outcome {
        Ok(Response { status: 200..=299, .. }) => Next::Done(vec![format!("sent-{}", outgoing.id)]),
        Ok(Response { status: 429, .. }) => {
            holds.push(Hold { key: LIMIT.into(), for_ms: 2_000 });
            Next::Wait(2_000)
        }
        Ok(Response { status, .. }) => Next::Rejected(format!("the platform answered with {status}")),
        Err(TransportError::NotSent(_)) => Next::Wait(1_000),
        Err(TransportError::Unanswered(why)) => Next::Unknown(why),
    };
    Ok(Step { progress, holds, next })
}
