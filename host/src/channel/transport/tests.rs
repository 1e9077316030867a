//! What a channel has under way, over real sockets.

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::*;
use crate::channel::outward::testing::{TOKEN, get, outward, outward_without_secrets, template, tls};
use crate::net::testing::{Reply, Server};
use crate::runtime::bindings::channel::{
    Closing, Connection, Disconnection, Frame, OutboundFrame, TaggedFrame, TaggedRequest, TaggedResponse, Timer,
    TransportError,
};

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn transports(origins: &[&str]) -> Transports {
    Transports::new(outward(origins), TransportLimits::default())
}

fn connect(tag: &str, url: &str) -> Action {
    let (tag, url) = (tag.to_owned(), template(url));
    Action::Connect(Connection { tag, url, headers: Vec::new(), close_code: None })
}

fn text(tag: &str, text: &str) -> TaggedOutboundFrame {
    TaggedOutboundFrame { tag: tag.into(), frame: OutboundFrame::Text(template(text)) }
}

fn timer(tag: &str, after_ms: u32) -> Action {
    Action::SetTimer(Timer { tag: tag.into(), after_ms })
}

fn disconnect(tag: &str, code: u16) -> Action {
    Action::Disconnect(Closing { tag: tag.into(), code, reason: "bye".into() })
}

async fn frame(transports: &mut Transports) -> Frame {
    match transports.next().await {
        Event::Frame(TaggedFrame { frame, .. }) => frame,
        other => panic!("{other:?}"),
    }
}

async fn frame_text(transports: &mut Transports) -> String {
    match frame(transports).await {
        Frame::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

async fn disconnected(transports: &mut Transports) -> Disconnection {
    match transports.next().await {
        Event::Disconnected(disconnection) => disconnection,
        other => panic!("{other:?}"),
    }
}

/// A WebSocket, open on both sides.
async fn web_socket(limits: TransportLimits) -> (Transports, WebSocketStream<TcpStream>) {
    open(limits, |url| outward(&[url])).await
}

async fn open(limits: TransportLimits, out: impl Fn(&str) -> Arc<Outward>) -> (Transports, WebSocketStream<TcpStream>) {
    let (listener, address) = listen().await;
    let url = format!("ws://{address}");
    let mut transports = Transports::new(out(&url), limits);
    transports.carry_out(connect("gw", &format!("{url}/?v=10"))).unwrap();
    let accepting = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
    let (event, server) = tokio::join!(transports.next(), accepting);
    assert_eq!(event, Event::Connected("gw".into()));
    (transports, server)
}

/// Lines, open on both sides.
async fn lines(limits: TransportLimits) -> (Transports, BufReader<TcpStream>) {
    let (listener, address) = listen().await;
    let url = format!("tcp://{address}");
    let mut transports = Transports::new(outward(&[&url]), limits);
    transports.carry_out(connect("irc", &url)).unwrap();
    let (event, server) = tokio::join!(transports.next(), listener.accept());
    assert_eq!(event, Event::Connected("irc".into()));
    (transports, BufReader::new(server.unwrap().0))
}

#[tokio::test]
async fn where_nothing_is_under_way_nothing_is_heard() {
    assert!(transports(&[]).next().now_or_never().is_none());
}

#[tokio::test]
async fn a_request_is_answered_under_its_tag_and_a_replaced_or_cancelled_one_is_not_heard() {
    let slow = Server::start([]).await;
    let server = Server::start((0..2).map(|number| Reply::whole(200, &[], &number.to_string()))).await;
    let (slow_url, url) = (slow.base_url(), server.base_url());
    let mut transports = transports(&[&slow_url, &url]);
    let request = |tag: &str, url: &str| Action::Request(TaggedRequest { tag: tag.into(), request: get(url) });
    for (tag, url) in [("a", &slow_url), ("b", &slow_url), ("a", &url)] {
        transports.carry_out(request(tag, url)).unwrap();
    }
    transports.carry_out(Action::CancelRequest("b".into())).unwrap();
    match transports.next().await {
        Event::Response(TaggedResponse { tag, outcome: Ok(response) }) => {
            assert_eq!((tag.as_str(), response.body.as_slice()), ("a", &b"0"[..]));
        }
        other => panic!("{other:?}"),
    }
    // A tag that is free again.
    transports.carry_out(request("b", &url)).unwrap();
    assert!(matches!(transports.next().await, Event::Response(TaggedResponse { tag, outcome: Ok(_) }) if tag == "b"));
    assert!(transports.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_failure_is_an_answer_too_and_a_wait_that_is_dropped_loses_none() {
    let mut transports = transports(&["http://127.0.0.1:9"]);
    let request = TaggedRequest { tag: "a".into(), request: get("http://elsewhere.test/") };
    transports.carry_out(Action::Request(request)).unwrap();
    let event = loop {
        match transports.next().now_or_never() {
            Some(event) => break event,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(matches!(event, Event::Response(TaggedResponse { outcome: Err(TransportError::NotSent(_)), .. })));
}

/// Makes an action of a number.
type Make<'a> = Box<dyn Fn(usize) -> Action + 'a>;

#[tokio::test]
async fn each_kind_has_its_bound() {
    let (listener, address) = listen().await;
    let (http, tcp) = (format!("http://{address}"), format!("tcp://{address}"));
    let mut transports = transports(&[&http, &tcp]);
    let limits = TransportLimits::default();
    let mut actions: Vec<(usize, Make<'_>)> = vec![
        (limits.timers, Box::new(|number| timer(&number.to_string(), 60_000))),
        (limits.requests, Box::new(|n| Action::Request(TaggedRequest { tag: n.to_string(), request: get(&http) }))),
        (limits.connections, Box::new(|number| connect(&number.to_string(), &tcp))),
    ];
    for (limit, action) in actions.drain(..) {
        for number in 0..limit {
            transports.carry_out(action(number)).unwrap();
        }
        let beyond = transports.carry_out(action(limit)).unwrap_err();
        assert!(matches!(beyond, ActionError::TooMany { limit: most, .. } if most == limit), "{beyond}");
        // In the place of an old one there is room.
        transports.carry_out(action(0)).unwrap();
    }
    let long = transports.carry_out(timer(&"x".repeat(2_000), 10)).unwrap_err();
    assert!(matches!(long, ActionError::Tag));
    drop(listener);
}

#[tokio::test]
async fn a_timer_that_is_due_goes_before_frames_that_wait() {
    let (mut transports, mut server) = lines(TransportLimits::default()).await;
    transports.carry_out(timer("due", 10)).unwrap();
    server.get_mut().write_all(b"one\r\ntwo\r\n").await.unwrap();
    // Both are there: the frames in their queue, and the timer's time has come.
    while transports.connections_waiting() < 2 {
        tokio::task::yield_now().await;
    }
    let due = tokio::time::Instant::now() + Duration::from_millis(11);
    tokio::time::sleep_until(due).await;
    assert_eq!(transports.next().await, Event::Timer("due".into()));
    assert_eq!(frame_text(&mut transports).await, "one");
}

#[tokio::test]
async fn messages_go_both_ways_and_a_ticket_tells_when_one_was_written() {
    let (mut transports, mut server) = web_socket(TransportLimits::default()).await;
    transports.carry_out(Action::Send(text("gw", "{\"token\":\"{token}\"}"))).unwrap();
    let bytes = TaggedOutboundFrame { tag: "gw".into(), frame: OutboundFrame::Binary(vec![0, 255]) };
    let ticket = transports.send_frame(&bytes).unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), Message::text(format!("{{\"token\":\"{TOKEN}\"}}")));
    assert_eq!(server.next().await.unwrap().unwrap(), Message::binary(vec![0, 255]));
    assert!(ticket.written().await.is_ok());

    server.send(Message::text(format!("you said {TOKEN}"))).await.unwrap();
    server.send(Message::binary(TOKEN.as_bytes().to_vec())).await.unwrap();
    let hidden = "*".repeat(TOKEN.len());
    assert_eq!(frame_text(&mut transports).await, format!("you said {hidden}"));
    assert_eq!(frame(&mut transports).await, Frame::Binary(hidden.clone().into_bytes()));

    let close = CloseFrame { code: 4004.into(), reason: format!("bad token {TOKEN}").into() };
    server.close(Some(close)).await.unwrap();
    let reason = format!("bad token {hidden}");
    assert_eq!(disconnected(&mut transports).await, Disconnection { tag: "gw".into(), code: Some(4004), reason });
    let gone = transports.send_frame(&text("gw", "x")).unwrap_err();
    assert!(matches!(gone, ActionError::NoConnection(_)), "{gone}");
}

#[tokio::test]
async fn a_connection_that_is_closed_says_what_it_had_to_and_then_goodbye_and_is_not_heard() {
    let (mut transports, mut server) = web_socket(TransportLimits::default()).await;
    transports.carry_out(Action::Send(text("gw", "last"))).unwrap();
    transports.carry_out(disconnect("gw", 4000)).unwrap();
    server.send(Message::text("too late")).await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), Message::text("last"));
    match server.next().await.unwrap().unwrap() {
        Message::Close(Some(close)) => assert_eq!((u16::from(close.code), close.reason.as_str()), (4000, "bye")),
        other => panic!("{other:?}"),
    }
    assert!(transports.next().now_or_never().is_none());
    assert!(server.next().await.is_none_or(|end| end.is_err()), "it is gone");
}

#[tokio::test]
async fn of_a_replaced_connection_nothing_more_is_heard() {
    let (listener, address) = listen().await;
    let url = format!("ws://{address}");
    let mut transports = transports(&[&url]);
    transports.carry_out(connect("gw", &url)).unwrap();
    let accepting = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
    let (_, mut first) = tokio::join!(transports.next(), accepting);
    first.send(Message::text("of the first")).await.unwrap();
    while transports.connections_waiting() < 1 {
        tokio::task::yield_now().await;
    }
    transports.carry_out(connect("gw", &url)).unwrap();
    let second = async {
        let mut second = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        second.send(Message::text("of the second")).await.unwrap();
        second
    };
    let (event, _second) = tokio::join!(transports.next(), second);
    assert_eq!(event, Event::Connected("gw".into()));
    assert_eq!(frame_text(&mut transports).await, "of the second");
    // The first was dropped without a word.
    assert!(first.next().await.is_none_or(|end| end.is_err()));
}

#[tokio::test]
async fn a_thousand_frames_arrive_in_order_though_the_channel_is_slow_and_few_of_them_wait() {
    let limits = TransportLimits { waiting: 4, ..TransportLimits::default() };
    let (mut transports, mut server) = open(limits, outward_without_secrets).await;
    let sending = tokio::spawn(async move {
        for number in 0..1_000 {
            server.send(Message::text(format!("{number}: {}", "x".repeat(10_000)))).await.unwrap();
        }
        server
    });
    // 10 MB do not fit into what waits, nor into the sockets' buffers: the server is held up.
    while transports.connections_waiting() < 4 {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished());
    for number in 0..1_000 {
        assert!(transports.connections_waiting() <= 4);
        let text = frame_text(&mut transports).await;
        assert_eq!(text.split(':').next(), Some(number.to_string().as_str()));
    }
    drop(sending.await.unwrap());
    assert_eq!(disconnected(&mut transports).await.code, None);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection_with_its_code() {
    let limits = TransportLimits { frame: 1_000, ..TransportLimits::default() };
    let (mut transports, mut server) = web_socket(limits).await;
    server.send(Message::text("x".repeat(1_000))).await.unwrap();
    server.send(Message::text("x".repeat(1_001))).await.unwrap();
    assert_eq!(frame_text(&mut transports).await.len(), 1_000);
    let (end, close) = tokio::join!(disconnected(&mut transports), server.next());
    assert!(end.reason.contains("larger than it may be"), "{}", end.reason);
    assert!(matches!(close, Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == 1009));
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_taken_for_dead_and_one_that_does_is_not() {
    let limits = TransportLimits {
        ping: Duration::from_millis(20),
        dead: Duration::from_millis(300),
        ..TransportLimits::default()
    };
    let (mut transports, mut server) = web_socket(limits).await;
    // Reading answers pings.
    let mut pings = 0;
    while pings < 20 {
        tokio::select! {
            message = server.next() => pings += usize::from(matches!(message, Some(Ok(Message::Ping(_))))),
            event = transports.next() => panic!("{event:?}"),
        }
    }
    let end = disconnected(&mut transports).await;
    assert!(end.reason.contains("not even an answer to a ping"), "{}", end.reason);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_loses_its_connection() {
    let limits = TransportLimits { write: Duration::from_millis(100), ..TransportLimits::default() };
    let (mut transports, _server) = web_socket(limits).await;
    let large = "x".repeat(16 << 20);
    transports.carry_out(Action::Send(text("gw", &large))).unwrap();
    let ticket = transports.send_frame(&text("gw", "behind it")).unwrap();
    let end = disconnected(&mut transports).await;
    assert!(end.reason.contains("took nothing"), "{}", end.reason);
    assert!(matches!(ticket.written().await, Err(TransportError::NotSent(_))));
}

#[tokio::test]
async fn more_than_may_wait_for_a_peer_ends_its_connection_and_a_delivery_can_wait() {
    let limits = TransportLimits { outgoing: 2, ..TransportLimits::default() };
    let (mut transports, _server) = web_socket(limits).await;
    for _ in 0..2 {
        transports.carry_out(Action::Send(text("gw", "x"))).unwrap();
    }
    assert!(matches!(transports.send_frame(&text("gw", "x")), Err(ActionError::Backlog)));
    transports.carry_out(Action::Send(text("gw", "x"))).unwrap();
    let end = disconnected(&mut transports).await;
    assert!(end.reason.contains("less than the channel had to send"), "{}", end.reason);
}

#[tokio::test]
async fn who_does_not_open_a_web_socket_is_told_with_the_status() {
    let server = Server::start([Reply::whole(401, &[], "no"), Reply::silence()]).await;
    let url = server.base_url().replacen("http", "ws", 1);
    let limits = TransportLimits { handshake: Duration::from_millis(100), ..TransportLimits::default() };
    let mut transports = Transports::new(outward(&[&url]), limits);
    let mut connection = |tag: &str| {
        let headers = vec![
            ("authorization".to_owned(), template("Bot {token}")),
            ("sec-websocket-key".to_owned(), template("mine")),
            ("host".to_owned(), template("elsewhere")),
        ];
        let action = Connection { tag: tag.into(), url: template(&format!("{url}/?v=10")), headers, close_code: None };
        transports.carry_out(Action::Connect(action)).unwrap();
    };
    connection("one");
    let end = disconnected(&mut transports).await;
    assert_eq!((end.tag.as_str(), end.code), ("one", Some(401)));
    let request = &server.requests()[0];
    assert_eq!(request.line, "GET /?v=10 HTTP/1.1");
    assert_eq!(request.header("authorization"), Some(format!("Bot {TOKEN}").as_str()));
    assert_ne!(request.header("sec-websocket-key"), Some("mine"));
    assert_eq!(request.header("host"), Some(&url["ws://".len()..]));

    transports.carry_out(connect("two", &url)).unwrap();
    let end = disconnected(&mut transports).await;
    assert!(end.reason.contains("handshake"), "{}", end.reason);
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_heard_of_as_ended() {
    let (listener, address) = listen().await;
    drop(listener);
    let dead = format!("wss://{address}");
    let mut transports = transports(&[&dead, "tls://elsewhere.test:6697"]);
    for (url, reason) in [
        (dead.as_str(), "refused"),
        ("wss://other.test/", "is not among the origins"),
        ("tls://elsewhere.test:6697/path", "has no path"),
        ("tls://elsewhere.test", "none that a request can go to"),
        ("gopher://elsewhere.test", "none that a request can go to"),
    ] {
        transports.carry_out(connect("x", url)).unwrap();
        // Whatever is said to it is lost with it.
        transports.carry_out(Action::Send(text("x", "hello"))).unwrap();
        let end = disconnected(&mut transports).await;
        assert!(end.tag == "x" && end.code.is_none() && end.reason.contains(reason), "{}", end.reason);
    }
}

#[tokio::test]
async fn web_sockets_and_lines_over_tls_believe_whom_the_owner_does() {
    let (listener, address) = listen().await;
    let port = address.rsplit(':').next().unwrap();
    let (wss, tls_url) = (format!("wss://service.test:{port}"), format!("tls://service.test:{port}"));
    let other = format!("wss://other.test:{port}");
    let mut transports = transports(&[&wss, &tls_url, &other]);

    transports.carry_out(connect("ws", &wss)).unwrap();
    let accepting = async {
        let stream = tls().accept(listener.accept().await.unwrap().0).await.unwrap();
        accept_async(stream).await.unwrap()
    };
    let (event, mut server) = tokio::join!(transports.next(), accepting);
    assert_eq!(event, Event::Connected("ws".into()));
    server.send(Message::text("over TLS")).await.unwrap();
    assert_eq!(frame_text(&mut transports).await, "over TLS");
    drop(server);
    assert_eq!(disconnected(&mut transports).await.tag, "ws");

    transports.carry_out(connect("irc", &tls_url)).unwrap();
    let accepting = async { tls().accept(listener.accept().await.unwrap().0).await.unwrap() };
    let (event, mut server) = tokio::join!(transports.next(), accepting);
    assert_eq!(event, Event::Connected("irc".into()));
    server.write_all(b"PING :x\r\n").await.unwrap();
    assert_eq!(frame_text(&mut transports).await, "PING :x");
    transports.carry_out(disconnect("irc", 1000)).unwrap();
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "TLS said goodbye");

    // Whoever is there is not who was called.
    transports.carry_out(connect("ws", &other)).unwrap();
    let refusing = async { drop(tls().accept(listener.accept().await.unwrap().0).await) };
    let (end, ()) = tokio::join!(disconnected(&mut transports), refusing);
    assert!(end.reason.contains("certificate"), "{}", end.reason);
}

#[tokio::test]
async fn lines_go_both_ways_and_none_of_a_channels_is_two() {
    let (mut transports, mut server) = lines(TransportLimits::default()).await;
    transports.carry_out(Action::Send(text("irc", "PASS {token}"))).unwrap();
    let mut line = String::new();
    server.read_line(&mut line).await.unwrap();
    assert_eq!(line, format!("PASS {TOKEN}\r\n"));
    for bad in ["a\r\nQUIT", "a\nQUIT", "a\rQUIT", "a\0"] {
        let refused = transports.carry_out(Action::Send(text("irc", bad)));
        assert!(matches!(refused, Err(ActionError::NotALine)), "{bad:?}");
    }
    let binary = TaggedOutboundFrame { tag: "irc".into(), frame: OutboundFrame::Binary(vec![1]) };
    assert!(matches!(transports.send_frame(&binary), Err(ActionError::NotALine)));

    server.get_mut().write_all(format!("{TOKEN}\r\n?\n").as_bytes()).await.unwrap();
    server.get_mut().write_all(b"caf\xe9\nhalf a li").await.unwrap();
    assert_eq!(frame_text(&mut transports).await, "*".repeat(TOKEN.len()));
    assert_eq!(frame_text(&mut transports).await, "?");
    assert_eq!(frame_text(&mut transports).await, "caf\u{fffd}");
    drop(server);
    let end = disconnected(&mut transports).await;
    assert!(end.reason.contains("middle of a line"), "{}", end.reason);
}

#[tokio::test]
async fn a_peer_that_speaks_no_more_is_gone_though_it_still_listens() {
    let (mut transports, mut server) = lines(TransportLimits::default()).await;
    server.get_mut().write_all(b"ERROR :closing\r\n").await.unwrap();
    server.get_mut().shutdown().await.unwrap();
    assert_eq!(frame_text(&mut transports).await, "ERROR :closing");
    assert_eq!(disconnected(&mut transports).await.reason, "the platform hung up");
}

#[tokio::test]
async fn a_line_without_end_ends_the_connection() {
    let (mut transports, mut server) = lines(TransportLimits { frame: 512, ..TransportLimits::default() }).await;
    server.get_mut().write_all(&[b'x'; 600]).await.unwrap();
    assert!(disconnected(&mut transports).await.reason.contains("more than 512 bytes"));
}

fn events(url: &str, last: Option<&str>) -> Action {
    let headers = last.map(|id| ("last-event-id".to_owned(), template(id))).into_iter().collect();
    Action::Connect(Connection { tag: "sse".into(), url: template(url), headers, close_code: None })
}

#[tokio::test]
async fn a_stream_of_events_goes_on_behind_the_id_that_the_channel_names() {
    let stream = format!(": hello\n\nid: 7\nevent: receive\ndata: a\ndata: {TOKEN}\n\ndata: unnamed\n\n");
    let server = Server::start([
        Reply::events(stream.as_bytes(), 3),
        Reply::events(b"id: 8\ndata: next\n\n", 100).cut(),
        Reply::events(b"data: next\n\n", 100).hang(),
    ])
    .await;
    let url = server.base_url();
    let mut transports = transports(&[&url]);
    transports.carry_out(events(&url, None)).unwrap();
    assert_eq!(transports.next().await, Event::Connected("sse".into()));
    let Frame::Event(event) = frame(&mut transports).await else { panic!("no event") };
    assert_eq!((event.event.as_deref(), event.id.as_deref()), (Some("receive"), Some("7")));
    assert_eq!(event.data, format!("a\n{}", "*".repeat(TOKEN.len())));
    let Frame::Event(event) = frame(&mut transports).await else { panic!("no event") };
    assert_eq!((event.event, event.id.as_deref(), event.data.as_str()), (None, Some("7"), "unnamed"));
    assert_eq!(disconnected(&mut transports).await.reason, "the platform ended the stream");
    assert_eq!(server.requests()[0].header("accept"), Some("text/event-stream"));

    transports.carry_out(events(&url, Some("7"))).unwrap();
    assert_eq!(transports.next().await, Event::Connected("sse".into()));
    assert_eq!(server.requests()[1].header("last-event-id"), Some("7"));
    frame(&mut transports).await;
    assert!(disconnected(&mut transports).await.reason.contains("broke"));

    transports.carry_out(events(&url, Some("8"))).unwrap();
    assert_eq!(transports.next().await, Event::Connected("sse".into()));
    assert!(matches!(transports.carry_out(Action::Send(text("sse", "x"))), Err(ActionError::OneWay)));
    frame(&mut transports).await;
    transports.carry_out(disconnect("sse", 1000)).unwrap();
    server.hung_up().await;
    assert!(transports.next().now_or_never().is_none());
}

#[tokio::test]
async fn what_is_no_stream_of_events_is_ended_with_the_reason() {
    let server = Server::start([
        Reply::whole(503, &[("content-type", "text/event-stream")], "later"),
        Reply::whole(200, &[("content-type", "text/html")], "<p>"),
        Reply::events(format!("data: {}\n\n", "x".repeat(2_000)).as_bytes(), 1 << 14),
        Reply::events(b"data: x", 100).hang(),
    ])
    .await;
    let url = server.base_url();
    let limits = TransportLimits { frame: 1_000, idle: Duration::from_millis(50), ..TransportLimits::default() };
    let mut transports = Transports::new(outward(&[&url]), limits);
    for (code, reason, opens) in [
        (Some(503), "503", false),
        (None, "text/html", false),
        (None, "more than 1000 bytes", true),
        (None, "nothing came", true),
    ] {
        transports.carry_out(events(&url, None)).unwrap();
        if opens {
            assert_eq!(transports.next().await, Event::Connected("sse".into()));
        }
        let end = disconnected(&mut transports).await;
        assert!(end.code == code && end.reason.contains(reason), "{end:?}");
    }
}

#[tokio::test]
async fn going_down_sends_what_waits_closes_by_the_codes_and_leaves_nothing() {
    let (listener, address) = listen().await;
    let (ws, tcp) = (format!("ws://{address}"), format!("tcp://{address}"));
    let slow = Server::start([]).await;
    let quick = Server::start([Reply::whole(200, &[], "")]).await;
    let mut transports = transports(&[&ws, &tcp, &slow.base_url(), &quick.base_url()]);
    let request = |tag: &str, url: &str| Action::Request(TaggedRequest { tag: tag.into(), request: get(url) });
    let closed = Connection { tag: "gw".into(), url: template(&ws), headers: Vec::new(), close_code: Some(4000) };
    transports.carry_out(Action::Connect(closed)).unwrap();
    let accepting = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
    let (_, mut server) = tokio::join!(transports.next(), accepting);
    transports.carry_out(connect("irc", &tcp)).unwrap();
    let (_, peer) = tokio::join!(transports.next(), listener.accept());
    let mut peer = BufReader::new(peer.unwrap().0);
    transports.carry_out(request("poll", &slow.base_url())).unwrap();
    while slow.requests().is_empty() {
        assert!(transports.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }

    transports.cancel_requests();
    transports.carry_out(Action::Send(text("irc", "QUIT"))).unwrap();
    transports.carry_out(request("bye", &quick.base_url())).unwrap();
    let hearing = async {
        let close = server.next().await.unwrap().unwrap();
        assert!(matches!(close, Message::Close(Some(close)) if u16::from(close.code) == 4000));
        while server.next().await.is_some_and(|message| message.is_ok()) {}
        let mut lines = String::new();
        peer.read_to_string(&mut lines).await.unwrap();
        lines
    };
    let (lines, ()) = tokio::join!(hearing, transports.close(Duration::from_secs(30)));
    assert_eq!(lines, "QUIT\r\n");
    assert_eq!(quick.requests().len(), 1);
    slow.hung_up().await;
    assert!(transports.next().now_or_never().is_none());
}

#[tokio::test]
async fn what_hangs_when_a_channel_goes_down_is_dropped() {
    let slow = Server::start([]).await;
    let (mut transports, server) = web_socket(TransportLimits::default()).await;
    transports.replace_outward(outward(&[&slow.base_url()]));
    let request = TaggedRequest { tag: "a".into(), request: get(&slow.base_url()) };
    transports.carry_out(Action::Request(request)).unwrap();
    while slow.requests().is_empty() {
        assert!(transports.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    transports.carry_out(disconnect("gw", 1000)).unwrap();
    transports.close(Duration::from_millis(50)).await;
    slow.hung_up().await;
    drop(server);
}

#[tokio::test]
async fn everything_ends_with_what_owns_it() {
    let slow = Server::start([]).await;
    let (mut transports, mut server) = web_socket(TransportLimits::default()).await;
    transports.replace_outward(outward(&[&slow.base_url()]));
    let request = TaggedRequest { tag: "a".into(), request: get(&slow.base_url()) };
    transports.carry_out(Action::Request(request)).unwrap();
    while slow.requests().is_empty() {
        assert!(transports.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(transports);
    slow.hung_up().await;
    assert!(server.next().await.is_none_or(|end| end.is_err()));
}
