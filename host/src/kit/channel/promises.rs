//! What a channel returned, held against the contract (`wit/channel.wit`) and its own setup.

use hyper::header::HeaderName;

use crate::config::Origin;
use crate::runtime::bindings::channel::{
    Action, Body, Event, FieldValue, Health, Kind, Message, NextState, Outbound, OutboundFrame, Piece, Setup,
};
use crate::runtime::bindings::types::Header;

use super::super::report::{Case, Trial, quote};
use super::{Seen, named, setup};

/// The largest state, in bytes (`next-state`).
pub(super) const MAX_STATE: usize = 256 << 10;
/// The longest tag, id or key, in bytes.
const MAX_ID: usize = 1 << 10;
/// The shortest timer, in milliseconds: a channel with a shorter one is a busy loop.
const MIN_TIMER: u32 = 10;
/// The longest time that a request may take, in milliseconds.
const MAX_TIMEOUT: u32 = 600_000;
/// Headers by which HTTP itself works (RFC 9110, section 7.6.1), which are the host's.
const OWN_HEADERS: [&str; 5] = ["connection", "content-length", "host", "transfer-encoding", "upgrade"];

pub(super) fn messages(seen: &[Seen]) -> Case {
    let mut trial = Trial::begin("messages", "returns messages and receipts that are whole");
    let (mut messages, mut receipts) = (0, 0);
    for Seen { event, incoming } in seen {
        let what = named(event);
        for (index, item) in incoming.messages.iter().enumerate() {
            message(&mut trial, &what, item);
            let twice = incoming.messages[..index].iter().any(|other| other.event_id == item.event_id);
            trial.require(!twice, || {
                format!("{what}: two messages have the event id {}; the host drops the second", quote(&item.event_id))
            });
        }
        for receipt in &incoming.receipts {
            id(&mut trial, &what, "a receipt's id", &receipt.id);
        }
        if let Some(reply) = &incoming.reply {
            trial.require(matches!(event, Event::Webhook(_)), || {
                format!("{what}: a reply, but only a webhook is replied to")
            });
            trial.require((200..600).contains(&reply.status), || {
                format!("{what}: {} is no status of a reply", reply.status)
            });
            for Header { name, value } in &reply.headers {
                header(&mut trial, &what, name, value);
            }
        }
        messages += incoming.messages.len();
        receipts += incoming.receipts.len();
    }
    if messages == 0 && receipts == 0 {
        return trial.skip("no event gave a message; record some of the platform's and name them with --events");
    }
    trial.end(format!("{messages} messages, {receipts} receipts"))
}

fn message(trial: &mut Trial, what: &str, message: &Message) {
    let ids = [
        ("the event id", &message.event_id),
        ("the message id", &message.id),
        ("the peer", &message.address.peer),
        ("the sender's id", &message.sender.id),
    ];
    for (name, text) in ids {
        id(trial, what, name, text);
    }
    if let Kind::Reaction(emoji) = &message.kind {
        id(trial, what, "a reaction's emoji", emoji);
    }
    for attachment in &message.attachments {
        trial.require(attachment.mime_type.contains('/'), || {
            format!("{what}: {} is no MIME type", quote(&attachment.mime_type))
        });
    }
}

pub(super) fn states(seen: &[Seen]) -> Case {
    let mut trial = Trial::begin("states", "returns states of at most 256 KiB, durable ones with messages");
    let mut largest = 0;
    for Seen { event, incoming } in seen {
        if let NextState::Lazy(state) | NextState::Durable(state) = &incoming.state {
            largest = largest.max(state.len());
            trial.require(state.len() <= MAX_STATE, || format!("{}: a state of {} bytes", named(event), state.len()));
        }
        let carries = !incoming.messages.is_empty() || !incoming.receipts.is_empty();
        // Where the state does not change, none can be lost.
        trial.require(!carries || !matches!(incoming.state, NextState::Lazy(_)), || {
            format!("{}: messages or receipts with a state that is not `durable`", named(event))
        });
    }
    trial.end(format!("the largest has {largest} bytes"))
}

pub(super) fn actions(seen: &[Seen], setup: &Setup) -> Case {
    let mut trial = Trial::begin("actions", "asks for nothing that its setup does not name");
    let of_lines = |action: &Action| match action {
        Action::Connect(connection)
            if ["tls:", "tcp:"].iter().any(|scheme| text(&connection.url).starts_with(scheme)) =>
        {
            Some(connection.tag.clone())
        }
        _ => None,
    };
    let lines: Vec<String> = seen.iter().flat_map(|seen| &seen.incoming.actions).filter_map(of_lines).collect();
    let mut count = 0;
    for Seen { event, incoming } in seen {
        let what = named(event);
        for action in &incoming.actions {
            count += 1;
            one(&mut trial, &what, action, setup, &lines);
        }
    }
    trial.end(format!("{count} actions"))
}

fn one(trial: &mut Trial, what: &str, action: &Action, setup: &Setup, lines: &[String]) {
    let tag = match action {
        Action::Request(asked) => {
            request(trial, what, &asked.request, setup, None);
            Some(&asked.tag)
        }
        Action::Connect(connection) => {
            address(trial, what, &connection.url, setup, &setup::SCHEMES);
            template_headers(trial, what, &connection.headers, setup);
            Some(&connection.tag)
        }
        Action::Send(send) => {
            frame(trial, what, &send.frame, setup, lines.contains(&send.tag));
            Some(&send.tag)
        }
        Action::SetTimer(timer) => {
            trial.require(timer.after_ms >= MIN_TIMER, || {
                format!("{what}: a timer after {} ms is a busy loop; the shortest is {MIN_TIMER} ms", timer.after_ms)
            });
            Some(&timer.tag)
        }
        Action::Disconnect(closing) => Some(&closing.tag),
        Action::CancelRequest(tag) | Action::CancelTimer(tag) => Some(tag),
        Action::Report(Health::Failed(why)) => {
            trial.require(!why.trim().is_empty(), || {
                format!("{what}: a failure that does not say what the owner must do")
            });
            None
        }
        Action::Report(_) => None,
    };
    if let Some(tag) = tag {
        trial.require(tag.len() <= MAX_ID, || format!("{what}: a tag of {} bytes", tag.len()));
    }
}

/// A request of an action or a delivery. `file` is the one that its body may name.
pub(super) fn request(trial: &mut Trial, what: &str, request: &Outbound, setup: &Setup, file: Option<&str>) {
    trial.require(hyper::Method::from_bytes(request.method.as_bytes()).is_ok(), || {
        format!("{what}: {} is no method", quote(&request.method))
    });
    address(trial, what, &request.url, setup, &["https", "http"]);
    template_headers(trial, what, &request.headers, setup);
    trial.require((1..=MAX_TIMEOUT).contains(&request.timeout_ms), || {
        format!("{what}: a timeout of {} ms; 1 to {MAX_TIMEOUT} are allowed", request.timeout_ms)
    });
    match &request.body {
        Body::Bytes(_) => {}
        Body::File(id) => given(trial, what, id, file),
        Body::Text(template) => secrets(trial, what, template, setup),
        Body::Form(fields) => {
            for field in fields {
                match &field.value {
                    FieldValue::File(id) => given(trial, what, id, file),
                    FieldValue::Text(template) => secrets(trial, what, template, setup),
                }
            }
        }
    }
}

fn given(trial: &mut Trial, what: &str, id: &str, file: Option<&str>) {
    trial.require(file == Some(id), || format!("{what}: it sends the file {}, which it was not given", quote(id)));
}

/// A frame to be sent. One for a connection of lines is one line.
pub(super) fn frame(trial: &mut Trial, what: &str, frame: &OutboundFrame, setup: &Setup, is_line: bool) {
    let OutboundFrame::Text(template) = frame else { return };
    secrets(trial, what, template, setup);
    trial.require(!is_line || !text(template).contains(['\r', '\n', '\0']), || {
        format!("{what}: a line with CR, LF or NUL: {}", quote(&text(template)))
    });
}

/// Ids of what the host keeps by them.
pub(super) fn id(trial: &mut Trial, what: &str, name: &str, text: &str) {
    trial.require(!text.is_empty(), || format!("{what}: {name} is empty"));
    trial.require(text.len() <= MAX_ID, || format!("{what}: {name} has {} bytes", text.len()));
}

/// The template's text, with a word where each secret goes.
pub(super) fn text(template: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Secret(_) => "SECRET".to_owned(),
    };
    template.iter().map(piece).collect()
}

fn secrets(trial: &mut Trial, what: &str, template: &[Piece], setup: &Setup) {
    for piece in template {
        if let Piece::Secret(name) = piece {
            trial.require(setup.secrets.contains(name), || {
                format!("{what}: it uses the secret {}, which its setup does not name", quote(name))
            });
        }
    }
}

fn address(trial: &mut Trial, what: &str, url: &[Piece], setup: &Setup, schemes: &[&str]) {
    secrets(trial, what, url, setup);
    let whole = text(url);
    let Some((scheme, rest)) = whole.split_once("://") else {
        return trial.problem(format!("{what}: {} is no absolute address", quote(&whole)));
    };
    if !schemes.contains(&scheme) {
        return trial.problem(format!("{what}: {} is not one of {}", quote(&whole), schemes.join(", ")));
    }
    // Before the first secret, host and port are complete: else a secret would be part of a name.
    let first: String = url
        .iter()
        .map_while(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Secret(_) => None,
        })
        .collect();
    let complete = first.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?']));
    if first.len() < whole.len() && !complete {
        return trial.problem(format!("{what}: a secret stands in the host's name"));
    }
    let carrier = if matches!(scheme, "http" | "ws") { "http" } else { "https" };
    let origin = format!("{carrier}://{rest}").parse().ok().and_then(|uri| Origin::of(&uri));
    let Some(origin) = origin else {
        return trial
            .problem(format!("{what}: {} is no address; are its special characters percent-encoded?", quote(&whole)));
    };
    let named = setup.origins.iter().filter_map(|origin| setup::pattern(origin));
    let is_named = named.into_iter().any(|(named, pattern)| named == scheme && pattern.matches(&origin));
    trial.require(is_named, || format!("{what}: it goes to {}, which is not among its setup's origins", quote(&whole)));
}

fn template_headers(trial: &mut Trial, what: &str, list: &[(String, Vec<Piece>)], setup: &Setup) {
    for (name, value) in list {
        secrets(trial, what, value, setup);
        header(trial, what, name, &text(value));
    }
}

fn header(trial: &mut Trial, what: &str, name: &str, value: &str) {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(known) => trial.require(!OWN_HEADERS.contains(&known.as_str()), || {
            format!("{what}: the header {} is the host's", quote(name))
        }),
        Err(_) => trial.problem(format!("{what}: {} is no name of a header", quote(name))),
    }
    // RFC 9110, section 5.5.
    trial.require(!value.contains(['\r', '\n', '\0']), || {
        format!("{what}: the header {} has a line break or NUL in its value", quote(name))
    });
}

#[cfg(test)]
mod tests {
    use super::super::super::Outcome;
    use super::*;
    use crate::runtime::bindings::channel::Features;

    fn of() -> Setup {
        let features = Features { typing_ms: None, draft_ms: None, file_bytes: None, reactions: false, threads: false };
        let origins =
            vec!["https://api.example.com".into(), "wss://*.example.org".into(), "tls://irc.example:6697".into()];
        Setup { secrets: vec!["token".into()], origins, webhook: None, features }
    }

    fn problems(check: impl FnOnce(&mut Trial, &Setup)) -> String {
        let mut trial = Trial::begin("x", "x");
        check(&mut trial, &of());
        match trial.end("").outcome {
            Outcome::Fail(problems) => problems.join("; "),
            _ => String::new(),
        }
    }

    fn url(pieces: Vec<Piece>, schemes: &[&str]) -> String {
        problems(|trial, setup| address(trial, "it", &pieces, setup, schemes))
    }

    fn plain(text: &str) -> Vec<Piece> {
        vec![Piece::Text(text.into())]
    }

    #[test]
    fn addresses_are_held_against_the_setups_origins() {
        let https = ["https", "http"];
        assert_eq!(url(plain("https://api.example.com/bot?x=1"), &https), "");
        let in_path = vec![Piece::Text("https://api.example.com/bot".into()), Piece::Secret("token".into())];
        assert_eq!(url(in_path, &https), "");
        assert_eq!(url(plain("wss://gw.example.org/?v=10"), &setup::SCHEMES), "");
        assert_eq!(url(plain("tls://irc.example:6697"), &setup::SCHEMES), "");
        for (bad, word) in [
            ("https://evil.example/", "not among"),
            ("http://api.example.com/", "not among"),
            ("wss://api.example.com/", "not one of"),
            ("https://api.example.com/a b", "percent-encoded"),
            ("/relative", "absolute"),
        ] {
            assert!(url(plain(bad), &https).contains(word), "{bad}: {}", url(plain(bad), &https));
        }
    }

    #[test]
    fn secrets_are_named_and_stand_in_no_host() {
        let host =
            vec![Piece::Text("https://".into()), Piece::Secret("token".into()), Piece::Text(".example.com/".into())];
        assert!(url(host, &["https"]).contains("host's name"));
        let unknown = vec![Piece::Text("https://api.example.com/".into()), Piece::Secret("other".into())];
        assert!(url(unknown, &["https"]).contains("does not name"));
    }

    #[test]
    fn headers_and_lines_can_not_smuggle() {
        let split = vec![("x-a".to_owned(), plain("a\r\nhost: evil")), ("Host".to_owned(), plain("evil"))];
        let found = problems(|trial, setup| template_headers(trial, "it", &split, setup));
        assert!(found.contains("line break") && found.contains("`Host` is the host's"), "{found}");
        let line = OutboundFrame::Text(plain("PRIVMSG #a :hi\r\nQUIT"));
        assert!(!problems(|trial, setup| frame(trial, "it", &line, setup, true)).is_empty());
        assert!(problems(|trial, setup| frame(trial, "it", &line, setup, false)).is_empty());
    }
}
