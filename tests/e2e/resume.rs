//! Several clients on one session; turns outlive their clients.

use serde_json::json;

use crate::harness::{Client, FakeProvider, Gate, Gateway, Reply, Transcript, Wire};

/// An answer of many pieces, with a gate after every fourth.
fn paced(gates: &[Gate]) -> Reply {
    let mut reply = Reply::new();
    for (index, gate) in gates.iter().enumerate() {
        for piece in 0..4 {
            reply = reply.say(format!("[{index}.{piece} é]"));
        }
        reply = reply.wait(gate);
    }
    reply.say("[end]")
}

fn whole(gates: usize) -> String {
    let pieces = (0..gates).flat_map(|index| (0..4).map(move |piece| format!("[{index}.{piece} é]")));
    pieces.chain(["[end]".to_owned()]).collect()
}

fn gates(count: usize) -> Vec<Gate> {
    std::iter::repeat_with(Gate::new).take(count).collect()
}

/// Reads events until the text has come so far.
async fn read_to(client: &mut Client, turn: &crate::harness::Turn, piece: &str) -> Transcript {
    let mut shown = Transcript(Vec::new());
    while !shown.text().ends_with(piece) {
        shown.0.push(client.event(turn).await);
    }
    shown
}

#[tokio::test]
async fn a_client_that_lost_its_connection_resumes_without_gap_or_repeat() {
    let gates = gates(3);
    let provider = FakeProvider::scripted(Wire::Anthropic, [paced(&gates)]).await;
    let gateway = Gateway::with(&provider).await;
    let mut staying = Client::connect(&gateway).await;
    let turn = staying.send_chat("Go on.").await;
    staying.subscribe(&turn.session, None).await;

    let mut leaving = Client::connect(&gateway).await;
    leaving.subscribe(&turn.session, Some(0)).await;
    let mut shown = read_to(&mut leaving, &turn, "[0.3 é]").await;
    let last = *shown.seqs().last().expect("events");
    drop(leaving);
    gates[0].open();
    read_to(&mut staying, &turn, "[1.3 é]").await;

    let mut back = Client::connect(&gateway).await;
    back.subscribe(&turn.session, Some(last)).await;
    gates[1].open();
    gates[2].open();
    let rest = back.finish(&turn).await;
    assert!(rest.seqs()[0] > last, "nothing that was seen comes again");
    assert_eq!(rest.of("queued").len() + rest.of("started").len(), 0);
    shown.0.extend(rest.0);
    assert_eq!(shown.text(), whole(3));
    assert_eq!(shown.done()["text"], whole(3));
}

#[tokio::test]
async fn who_joins_late_sees_the_whole_turn_and_what_follows() {
    let gates = gates(2);
    let provider = FakeProvider::scripted(Wire::OpenAi, [paced(&gates), Reply::text("Again.")]).await;
    let gateway = Gateway::with(&provider).await;
    let mut first = Client::connect(&gateway).await;
    let turn = first.send_chat("Go on.").await;
    gates[0].open();
    read_to(&mut first, &turn, "[1.3 é]").await;

    let mut late = Client::connect(&gateway).await;
    late.subscribe(&turn.session, Some(0)).await;
    gates[1].open();
    let shown = late.finish(&turn).await;
    assert_eq!(shown.types(), ["queued", "started", "text", "usage", "done"]);
    assert_eq!(shown.text(), whole(2));
    // Its subscription goes on to what others ask.
    let next = first.send_chat("Once more.").await;
    assert_eq!(late.finish(&next).await.done()["text"], "Again.");
    assert_eq!(first.finish(&next).await.done()["text"], "Again.");
}

#[tokio::test]
async fn an_ended_turn_is_replayed_as_it_was() {
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("One."), Reply::text("Two.")]).await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let first = client.send_chat("First.").await;
    let end = *client.finish(&first).await.seqs().last().expect("events");
    let second = client.send_chat("Second.").await;
    client.finish(&second).await.done();

    let mut late = Client::connect(&gateway).await;
    late.subscribe(&first.session, Some(0)).await;
    assert_eq!(late.finish(&first).await.done()["text"], "One.");
    assert_eq!(late.finish(&second).await.done()["text"], "Two.");

    let mut later = Client::connect(&gateway).await;
    later.subscribe(&first.session, Some(end)).await;
    let shown = later.finish(&second).await;
    assert_eq!(shown.types(), ["queued", "started", "text", "usage", "done"]);
    assert_eq!(later.unread().count(), 0, "nothing of the first turn");
}

#[tokio::test]
async fn a_turn_outlives_the_client_that_asked() {
    let gate = Gate::new();
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("Still ").wait(&gate).say("here.")]).await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let turn = client.send_chat("Stay.").await;
    client.until(&turn, "text").await;
    drop(client);

    let mut other = Client::connect(&gateway).await;
    other.subscribe(&turn.session, Some(0)).await;
    gate.open();
    assert_eq!(other.finish(&turn).await.done()["text"], "Still here.");
}

#[tokio::test]
async fn two_clients_see_the_same_turn() {
    let gate = Gate::new();
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("To ").wait(&gate).say("both.")]).await;
    let gateway = Gateway::with(&provider).await;
    let (mut one, mut two) = (Client::connect(&gateway).await, Client::connect(&gateway).await);
    two.subscribe("default:websocket:local:main", None).await;
    let turn = one.send_chat("Hello.").await;
    gate.open();
    let (first, second) = (one.finish(&turn).await, two.finish(&turn).await);
    assert_eq!(first.text(), second.text());
    assert_eq!(first.end(), second.end());
}

#[tokio::test]
async fn who_unsubscribes_hears_no_more() {
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("One."), Reply::text("Two.")]).await;
    let gateway = Gateway::with(&provider).await;
    let (mut asking, mut watching) = (Client::connect(&gateway).await, Client::connect(&gateway).await);
    watching.subscribe("default:websocket:local:main", None).await;
    let first = asking.send_chat("First.").await;
    watching.finish(&first).await.done();
    let session = json!({"session": first.session});
    watching.call("chat.unsubscribe", session).await.expect("an answer");
    asking.finish(&first).await.done();
    asking.ask("Second.").await.done();
    // Whatever was on its way stands before this answer.
    watching.ping().await;
    assert_eq!(watching.unread().count(), 0);
}
