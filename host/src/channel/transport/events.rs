//! Server-sent events (the HTML standard, section 9.2).

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use tokio::time::timeout;

use super::outlet::Wrote;
use super::talk::{Ear, End, Over, Talk, both};
use crate::channel::outward::{Address, EVENT_STREAM, Hidden};
use crate::net::sse::{self, Decoder};
use crate::runtime::bindings::channel::{Frame, ServerEvent};

/// What the decoder calls an event that has no name of its own.
const UNNAMED: &str = "message";

pub(super) async fn talk(talk: &mut Talk, address: &Address) -> Option<End> {
    let Talk { out, limits, headers, ear, ends, .. } = talk;
    let (head, mut body) = match ends.unless_let_go(out.listen(address, headers, limits.handshake)).await? {
        Ok(stream) => stream,
        Err(error) => return Some(End::of(error.to_string())),
    };
    if head.status != StatusCode::OK {
        let code = head.status.as_u16();
        return Some(End { code: Some(code), reason: format!("the platform answered {code} instead of events") });
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(EVENT_STREAM) {
        return Some(End::of(format!("the platform answered with {essence:?} instead of {EVENT_STREAM}")));
    }
    ear.connected().await;
    let reading = read(&mut body, limits.frame, limits.idle, ear);
    // Nothing is sent: until it is let go, there is nothing to do.
    let outgoing = &mut ends.outgoing;
    let writing = async {
        while outgoing.recv().await.is_some() {}
        Wrote::All
    };
    match both(&mut ends.closing, &mut ends.overrun, limits, reading, writing).await {
        Over::Ended(end) => Some(end),
        Over::LetGo(_) => None,
    }
}

async fn read(body: &mut Hidden, limit: usize, idle: Duration, ear: &Ear) -> End {
    let mut decoder = Decoder::new(limit);
    loop {
        // Time in which the channel takes no events is not the platform's silence.
        let frame = match timeout(idle, body.frame()).await {
            Err(_) => return End::of(format!("nothing came for {idle:?}")),
            Ok(None) => return End::of("the platform ended the stream"),
            Ok(Some(Err(error))) => return End::of(error.to_string()),
            Ok(Some(Ok(frame))) => frame,
        };
        let Some(mut came) = frame.data_ref().map(AsRef::<[u8]>::as_ref) else { continue };
        loop {
            match decoder.next(&mut came) {
                Ok(Some(event)) => {
                    let frame = Frame::Event(server_event(event));
                    ear.frame(frame).await;
                }
                Ok(None) => break,
                Err(error) => return End::of(error.to_string()),
            }
        }
    }
}

fn server_event(event: sse::Event<'_>) -> ServerEvent {
    let sse::Event { name, data, id } = event;
    ServerEvent {
        event: (name != UNNAMED).then(|| name.to_owned()),
        id: (!id.is_empty()).then(|| id.to_owned()),
        data: data.to_owned(),
    }
}
