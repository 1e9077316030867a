//! A client that reads slowly, or not at all, holds up nobody but itself.

use crate::harness::{Client, Connect, FakeProvider, Gate, Gateway, Reply, Transcript, Wire};

/// More than any kernel buffers for one connection, in bursts that the queue of a client that
/// reads has room for.
const BURSTS: usize = 40;
const BURST: usize = 4;
const PIECE: usize = 64 * 1024;

fn piece(index: usize) -> String {
    format!("{index:08}").repeat(PIECE / 8)
}

#[tokio::test]
async fn a_client_that_stops_reading_delays_nobody_and_may_resume() {
    let gates: Vec<Gate> = std::iter::repeat_with(Gate::new).take(BURSTS).collect();
    let flood = gates.iter().enumerate().fold(Reply::new(), |reply, (burst, gate)| {
        let pieces = (0..BURST).map(|index| piece(burst * BURST + index));
        pieces.fold(reply, Reply::say).wait(gate)
    });
    let whole: String = (0..BURSTS * BURST).map(piece).collect();
    let provider = FakeProvider::scripted(Wire::Anthropic, [flood]).await;
    let gateway = Gateway::builder().provider(&provider).gateway("queue = 8\nwrite_timeout = \"1h\"").start().await;
    let how = Connect { receive_buffer: Some(4096), ..Connect::default() };
    let mut slow = Client::try_connect(gateway.address(), how).await.expect("a client");
    let session = "default:websocket:local:main";
    slow.subscribe(session, None).await;

    // From here on the slow client reads nothing; the quick one misses nothing.
    let mut quick = Client::connect(&gateway).await;
    let turn = quick.send_chat("Flood.").await;
    for gate in &gates {
        for _ in 0..BURST {
            while quick.event(&turn).await["type"] != "text" {}
        }
        gate.open();
    }
    assert!(quick.finish(&turn).await.done()["text"] == whole.as_str());
    quick.ping().await;
    assert_eq!(quick.unread().count(), 0);

    // What its queue held comes first, then the news that it fell behind.
    let lagged = slow.notification(|note| note["method"] == "chat.lagged").await;
    assert_eq!(lagged["session"], session);
    let after = lagged["after_seq"].as_u64().expect("where to resume");
    let told = slow.take_unread();
    let mut shown = Transcript(told.into_iter().map(|mut note| note["params"].take()).collect());
    assert!(shown.of("text").len() < BURSTS * BURST && shown.of("done").is_empty(), "it did fall behind");
    assert_eq!(shown.seqs().last(), Some(&after), "it is told where it stands");

    slow.subscribe(session, Some(after)).await;
    let rest = slow.finish(&turn).await;
    assert!(rest.seqs()[0] > after);
    shown.0.extend(rest.0);
    assert!(shown.text() == whole, "the text is whole");
    assert!(shown.done()["text"] == whole.as_str());
}

#[tokio::test]
async fn a_ping_does_not_wait_behind_a_stream() {
    let gate = Gate::new();
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("Slow ").wait(&gate).say("words.")]).await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let turn = client.send_chat("Talk.").await;
    client.until(&turn, "text").await;
    client.ping().await;
    gate.open();
    client.finish(&turn).await.done();
}
