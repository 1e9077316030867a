//! The channel that exercises every part of `channel-plugin`.

use exoclaw::runtime::bindings::channel::{
    Action, Address, Body, Content, Conversation, Disconnection, Event, Fetch, Field, FieldValue, File, Frame, Health,
    Incoming, Kind, Next, NextState, Outcome, Outgoing, Piece, Reaction, Request, Response, ServerEvent, Start, Status,
    TaggedFrame, TaggedResponse, TransportError, Verification,
};
use exoclaw::runtime::bindings::types::Header;
use exoclaw::runtime::{ChannelCall, ChannelPlugin, PluginError, PluginKind};
use serde_json::json;

use super::*;

const CALL: ChannelCall<'static> = ChannelCall {
    id: "event-1",
    webhook_url: Some("https://host.example/webhook/loopback"),
    now: NOW,
    random: 1_234,
    attempt: 1,
};

const MESSAGE: &str = r#"{"id": "7", "peer": "ada", "text": "@agent hi", "attachment": "cat.png", "delivered": "6"}"#;

async fn loopback() -> ChannelPlugin {
    load(spec("loopback")).await.channel().unwrap()
}

fn secret() -> Vec<Piece> {
    vec![Piece::Text("Bearer ".into()), Piece::Secret("loopback-token".into())]
}

fn outgoing(content: Content) -> Outgoing {
    Outgoing {
        id: "01jq0000000000000000".into(),
        created_at: NOW.0,
        address: Address { account: None, peer: "ada".into(), guild: None, team: None, thread: Some("t".into()) },
        handle: Some(b"handle".to_vec()),
        reply_to: None,
        content,
    }
}

fn answered(status: u16, body: &str) -> Outcome {
    Ok(Response { status, headers: vec![], body: body.as_bytes().to_vec() })
}

#[tokio::test]
async fn a_channel_says_at_load_what_it_needs() {
    let plugin = load(spec("loopback")).await;
    assert_eq!(plugin.kind(), PluginKind::Channel);
    assert!(plugin.tools().is_empty());
    let channel = plugin.channel().unwrap();
    assert_eq!(channel.platform(), "loopback");
    let setup = channel.setup();
    assert_eq!(setup.secrets, ["loopback-token"]);
    assert_eq!(setup.origins, ["https://loopback.invalid"]);
    assert_eq!(setup.features.draft_ms, Some(500));
    let webhook = setup.webhook.as_ref().unwrap();
    let Verification::Hmac(hmac) = &webhook.verification else { panic!("{:?}", webhook.verification) };
    assert_eq!(hmac.template, "v0:{header:x-loopback-time}:{body}");
    assert_eq!(hmac.timestamp.as_ref().unwrap().tolerance_seconds, 300);
    assert_eq!(webhook.challenge.as_ref().unwrap().token_parameter, "token");

    let settings = object(json!({ "webhook": false, "origin": "https://elsewhere.example" }));
    let channel = load(PluginSpec { settings, ..spec("loopback") }).await.channel().unwrap();
    assert!(channel.setup().webhook.is_none());
    assert_eq!(channel.setup().origins, ["https://elsewhere.example"]);

    let settings = object(json!({ "origin": "ftp://elsewhere.example" }));
    let refused = problem(PluginSpec { settings, ..spec("loopback") }).await;
    assert!(matches!(refused, LoadProblem::Settings(_)), "{refused}");
}

fn is_the_message(incoming: &Incoming) {
    let [message] = &incoming.messages[..] else { panic!("{incoming:?}") };
    assert_eq!((message.event_id.as_str(), message.id.as_str()), ("event-7", "7"));
    assert_eq!((message.kind.clone(), message.conversation), (Kind::New, Conversation::Direct));
    assert_eq!((message.address.peer.as_str(), message.sender.id.as_str()), ("ada", "ada"));
    assert_eq!((message.text.as_str(), message.mentions_agent), ("@agent hi", true));
    assert_eq!((message.sent_at, &message.handle[..]), (Some(NOW.0), &b"handle"[..]));
    assert_eq!(message.attachments[0].handle, b"cat.png");
    assert_eq!((incoming.receipts[0].id.as_str(), &incoming.receipts[0].status), ("6", &Status::Delivered));
    assert_eq!(incoming.state, NextState::Durable(b"42".to_vec()));
}

#[tokio::test]
async fn every_way_in_gives_the_message_and_the_next_state() {
    let channel = loopback().await;
    let headers = vec![Header { name: "x-loopback-time".into(), value: "0".into() }];
    let webhook = Request { method: "POST".into(), url: "https://h/".into(), headers, body: MESSAGE.into() };
    let frame = |frame| Event::Frame(TaggedFrame { tag: "loop".into(), frame });
    let event = ServerEvent { event: Some("message".into()), id: None, data: MESSAGE.into() };
    let ways = [
        Event::Webhook(webhook),
        Event::Response(TaggedResponse { tag: "loop".into(), outcome: answered(200, MESSAGE) }),
        frame(Frame::Text(MESSAGE.into())),
        frame(Frame::Binary(MESSAGE.into())),
        frame(Frame::Event(event)),
    ];
    for way in &ways {
        let incoming = channel.parse_incoming(CALL, b"41", way).await.unwrap();
        is_the_message(&incoming);
        let reply = incoming.reply.map(|reply| (reply.status, reply.body));
        let expected = matches!(way, Event::Webhook(_)).then(|| (202, b"taken".to_vec()));
        assert_eq!(reply, expected);
    }
}

#[tokio::test]
async fn events_without_messages_give_actions() {
    let channel = loopback().await;
    let actions = async |event| {
        let incoming = channel.parse_incoming(CALL, b"", &event).await.unwrap();
        assert_eq!(incoming.state, NextState::Unchanged);
        assert!(incoming.messages.is_empty() && incoming.receipts.is_empty());
        incoming.actions
    };

    for start in [Start::New, Start::Restart, Start::Reload] {
        let started = actions(Event::Start(start)).await;
        let [Action::Report(Health::Connecting(_)), Action::Connect(connection)] = &started[..] else {
            panic!("{started:?}")
        };
        assert_eq!(connection.url, [Piece::Text("https://loopback.invalid/stream".into())]);
        assert_eq!(connection.headers, [("authorization".into(), secret())]);
        assert_eq!(connection.close_code, Some(4000));
    }

    let connected = actions(Event::Connected("loop".into())).await;
    assert!(matches!(
        &connected[..],
        [Action::Send(_), Action::Send(_), Action::Report(Health::Ready), Action::SetTimer(timer)] if timer.after_ms == 30_000
    ));
    let timer = actions(Event::Timer("loop".into())).await;
    assert!(matches!(&timer[..], [Action::Request(request)] if request.request.method == "POST"));
    let lost = Disconnection { tag: "loop".into(), code: Some(1006), reason: "gone".into() };
    let lost = actions(Event::Disconnected(lost)).await;
    assert!(
        matches!(&lost[..], [Action::Report(Health::Degraded(_)), Action::SetTimer(timer)] if timer.after_ms == 1_234)
    );
    let stopped = actions(Event::Stop).await;
    assert!(
        matches!(&stopped[..], [Action::CancelTimer(_), Action::CancelRequest(_), Action::Disconnect(c)] if c.code == 1000)
    );
    for outcome in [answered(500, ""), Err(TransportError::NotSent("refused".into()))] {
        let failed = actions(Event::Response(TaggedResponse { tag: "loop".into(), outcome })).await;
        assert!(matches!(&failed[..], [Action::Report(Health::Failed(_) | Health::Degraded(_))]), "{failed:?}");
    }
}

#[tokio::test]
async fn what_can_not_be_read_is_an_error_first_and_skipped_when_tried_again() {
    let channel = loopback().await;
    let event = Event::Frame(TaggedFrame { tag: "loop".into(), frame: Frame::Binary(vec![0xff; 1_000]) });
    let error = channel.parse_incoming(CALL, b"41", &event).await.unwrap_err();
    assert!(matches!(error, CallError::Plugin(PluginError::InvalidInput(_))), "{error}");
    let again = ChannelCall { attempt: 2, ..CALL };
    let skipped = channel.parse_incoming(again, b"41", &event).await.unwrap();
    assert_eq!(skipped.state, NextState::Lazy(b"41".to_vec()));
}

#[tokio::test]
async fn the_same_arguments_give_the_same_result() {
    let channel = loopback().await;
    let lost = Event::Disconnected(Disconnection { tag: "loop".into(), code: None, reason: String::new() });
    let first = channel.parse_incoming(CALL, b"", &lost).await.unwrap();
    let second = channel.parse_incoming(CALL, b"", &lost).await.unwrap();
    assert_eq!(first, second);
    let other = channel.parse_incoming(ChannelCall { random: 1, ..CALL }, b"", &lost).await.unwrap();
    assert_ne!(first, other);
}

#[tokio::test]
async fn a_delivery_goes_step_by_step() {
    let channel = loopback().await;
    let markdown = outgoing(Content::Markdown("**hi**".into()));
    let step = channel.format_outgoing(CALL, b"", &markdown, b"").await.unwrap();
    assert_eq!(step.progress, [1]);
    let Next::Request(request) = step.next else { panic!("{step:?}") };
    assert_eq!(request.keys, ["messages"]);
    assert_eq!(request.request.body, Body::Text(vec![Piece::Text("**hi**".into())]));
    assert_eq!(request.request.headers[0].1, secret());

    let settle = async |outcome: Outcome| {
        let step = channel.parse_delivery(CALL, b"", &markdown, &[1], &outcome).await.unwrap();
        assert_eq!(step.progress, [1]);
        (step.holds.len(), step.next)
    };
    assert_eq!(settle(answered(200, "")).await, (0, Next::Done(vec!["sent-01jq0000000000000000".into()])));
    assert_eq!(settle(answered(429, "")).await, (1, Next::Wait(2_000)));
    assert_eq!(settle(Err(TransportError::NotSent("refused".into()))).await, (0, Next::Wait(1_000)));
    assert_eq!(settle(Err(TransportError::Unanswered("cut".into()))).await, (0, Next::Unknown("cut".into())));
    assert!(matches!(settle(answered(403, "")).await, (0, Next::Rejected(_))));
}

#[tokio::test]
async fn every_content_goes_out() {
    let channel = loopback().await;
    let next = async |content, progress: &[u8]| {
        channel.format_outgoing(CALL, b"", &outgoing(content), progress).await.unwrap().next
    };
    assert!(matches!(next(Content::Typing, b"").await, Next::Frame(_)));
    assert_eq!(next(Content::Typing, &[1]).await, Next::Done(vec![]));
    assert!(matches!(next(Content::Draft("h".into()), b"").await, Next::Request(_)));
    let reaction = Reaction { message_id: "7".into(), emoji: "👍".into() };
    assert_eq!(next(Content::Reaction(reaction), b"").await, Next::Rejected("7 has no 👍".into()));
    let file = File { id: "f1".into(), name: "cat.png".into(), mime_type: "image/png".into(), size: 9 };
    let Next::Request(request) = next(Content::File(file), b"").await else { panic!("no request") };
    let Body::Form(fields) = request.request.body else { panic!("no form") };
    let file = Field {
        name: "file".into(),
        filename: Some("cat.png".into()),
        mime_type: Some("image/png".into()),
        value: FieldValue::File("f1".into()),
    };
    assert_eq!(fields[1], file);
}

#[tokio::test]
async fn an_attachment_is_looked_up_and_then_downloaded() {
    let channel = loopback().await;
    let Fetch::Lookup(lookup) = channel.fetch_attachment(CALL, b"", b"cat.png", None).await.unwrap() else {
        panic!("a look-up was expected")
    };
    assert_eq!(lookup.url, [Piece::Text("https://loopback.invalid/files/cat.png".into())]);
    let found = Response { status: 200, headers: vec![], body: b"/blobs/1".to_vec() };
    let Fetch::Download(download) = channel.fetch_attachment(CALL, b"", b"cat.png", Some(&found)).await.unwrap() else {
        panic!("a download was expected")
    };
    assert_eq!(download.url, [Piece::Text("https://loopback.invalid/blobs/1".into())]);
    let missing = Response { status: 404, headers: vec![], body: vec![] };
    assert!(channel.fetch_attachment(CALL, b"", b"cat.png", Some(&missing)).await.is_err());
}
