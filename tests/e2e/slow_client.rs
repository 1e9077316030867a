//! A client that reads slowly, or not at all, holds up nobody but itself.

use crate::harness::{Client, Connect, FakeProvider, Gateway, Reply, Request, Transcript, Wire};

/// More than any kernel buffers for one connection.
const PIECES: usize = 256;
const PIECE: usize = 64 * 1024;

fn flood() -> (Reply, String) {
    let piece = |index: usize| format!("{index:08}").repeat(PIECE / 8);
    let reply = (0..PIECES).fold(Reply::new(), |reply, index| reply.say(piece(index)));
    (reply, (0..PIECES).map(piece).collect())
}

#[tokio::test]
async fn a_client_that_stops_reading_delays_nobody_and_may_resume() {
    let (reply, whole) = flood();
    let provider = FakeProvider::start(Wire::Anthropic, move |request: &Request| match request.question().as_str() {
        "Flood." => reply.clone(),
        _ => Reply::text("Quick."),
    })
    .await;
    let gateway = Gateway::builder().provider(&provider).gateway("queue = 8\nwrite_timeout = \"1h\"").start().await;
    let how = Connect { receive_buffer: Some(4096), ..Connect::default() };
    let mut slow = Client::try_connect(gateway.address(), how).await.expect("a client");
    let session = "default:websocket:local:main";
    slow.subscribe(session, None).await;

    // From here on the slow client reads nothing; this one gets all of it, and its end.
    let mut quick = Client::connect(&gateway).await;
    let turn = quick.send_chat("Flood.").await;
    let end = read_whatever_comes(&mut quick, &turn).await;
    assert_eq!(end.done()["text"], whole.as_str());
    let next = quick.send_to("elsewhere", "Hello?").await;
    assert_eq!(quick.finish(&next).await.done()["text"], "Quick.");

    // What its queue held comes first, then the news that it fell behind.
    let lagged = slow.notification(|note| note["method"] == "chat.lagged").await;
    assert_eq!(lagged["session"], session);
    let after = lagged["after_seq"].as_u64().expect("where to resume");
    let mut shown = Transcript(Vec::new());
    for note in slow.unread() {
        assert_eq!(note["method"], "chat.event");
        shown.0.push(note["params"].clone());
    }
    assert!(shown.0.len() < PIECES, "it did fall behind");
    assert_eq!(shown.seqs().last().copied().unwrap_or(after), after, "it is told where it stands");

    slow.forget_unread();
    slow.subscribe(session, Some(after)).await;
    let rest = slow.finish(&turn).await;
    assert!(rest.seqs()[0] > after);
    shown.0.extend(rest.0);
    assert!(shown.text() == whole, "the text is whole");
    assert_eq!(shown.done()["text"], whole.as_str());
}

/// Reads a turn to its end on a connection whose own queue may overflow too: a quick client is
/// one that resumes at once.
async fn read_whatever_comes(client: &mut Client, turn: &crate::harness::Turn) -> Transcript {
    let mut shown = Transcript(Vec::new());
    loop {
        let note = client.any_notification().await;
        let params = &note["params"];
        if note["method"] == "chat.lagged" {
            client.subscribe(&turn.session, params["after_seq"].as_u64()).await;
            continue;
        }
        assert_eq!(params["turn"], turn.id.as_str());
        shown.0.push(params.clone());
        if ["done", "error"].contains(&params["type"].as_str().expect("a type")) {
            return shown;
        }
    }
}

#[tokio::test]
async fn a_ping_does_not_wait_behind_a_stream() {
    let gate = crate::harness::Gate::new();
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("Slow ").wait(&gate).say("words.")]).await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let turn = client.send_chat("Talk.").await;
    client.until(&turn, "text").await;
    client.ping().await;
    gate.open();
    client.finish(&turn).await.done();
}
