//! A repeated message is one message.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Client, FakeProvider, Gate, Gateway, Reply, Request, Turn, Wire};

#[tokio::test]
async fn a_repeat_gets_the_first_turn_and_its_events() {
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("Once.")]).await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let params = json!({"content": "Do it.", "idempotency_key": "key-1"});
    let first = client.call("chat.send", params.clone()).await.expect("accepted");
    assert!(first.get("duplicate").is_none_or(|duplicate| duplicate == false), "{first}");
    let turn = Turn::new(&first);
    let shown = client.finish(&turn).await;

    // Also by another client, who has seen nothing of it.
    let mut other = Client::connect(&gateway).await;
    for client in [&mut client, &mut other] {
        let again = client.call("chat.send", params.clone()).await.expect("accepted");
        assert_eq!(again["duplicate"], true, "{again}");
        assert_eq!(Turn::new(&again), turn);
        let replayed = client.finish(&turn).await;
        assert_eq!(replayed.text(), shown.text());
        assert_eq!(replayed.end(), shown.end());
    }
    assert_eq!(provider.count(), 1);
}

#[tokio::test]
async fn a_repeat_of_a_running_turn_joins_it() {
    let gate = Gate::new();
    let provider = FakeProvider::scripted(Wire::OpenAi, [Reply::text("Half, ").wait(&gate).say("whole.")]).await;
    let gateway = Gateway::with(&provider).await;
    let (mut one, mut two) = (Client::connect(&gateway).await, Client::connect(&gateway).await);
    let params = json!({"content": "Do it.", "idempotency_key": "key-1"});
    let turn = one.chat(params.clone()).await;
    one.until(&turn, "text").await;
    assert_eq!(two.chat(params).await, turn);
    let mut shown = two.until(&turn, "text").await;
    gate.open();
    shown.0.extend(two.finish(&turn).await.0);
    assert_eq!(shown.text(), "Half, whole.");
    one.finish(&turn).await.done();
    assert_eq!(provider.count(), 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_message_and_its_session() {
    let provider = FakeProvider::start(Wire::Anthropic, |_: &Request| Reply::text("Ok.")).await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let first = client.chat(json!({"content": "Do it.", "idempotency_key": "key-1"})).await;
    client.finish(&first).await.done();
    for other in [
        json!({"content": "Do something else.", "idempotency_key": "key-1"}),
        json!({"content": "Do it.", "idempotency_key": "key-1", "team": "office"}),
        json!({"content": "Do it.", "idempotency_key": ""}),
        json!({"content": "Do it.", "idempotency_key": "k".repeat(10_000)}),
    ] {
        let error = client.call("chat.send", other.clone()).await.expect_err("not this key");
        assert_eq!(error.code, -32602, "{other}: {error:?}");
    }
    let elsewhere = client.chat(json!({"content": "Do it.", "idempotency_key": "key-1", "peer": "other"})).await;
    assert_ne!(elsewhere.id, first.id);
    client.finish(&elsewhere).await.done();
    assert_eq!(provider.count(), 2);
}

#[tokio::test]
async fn repeats_at_the_same_moment_make_one_request() {
    let provider = FakeProvider::start(Wire::Anthropic, |_: &Request| Reply::text("Once.")).await;
    let gateway = Gateway::with(&provider).await;
    let one = async || {
        let mut client = Client::connect(&gateway).await;
        let params = json!({"content": "Do it.", "idempotency_key": "key-1"});
        let result = client.call("chat.send", params).await.expect("accepted");
        let turn = Turn::new(&result);
        assert_eq!(client.finish(&turn).await.done()["text"], "Once.");
        (turn, result["duplicate"] == true)
    };
    let accepted = join_all((0..16).map(|_| one())).await;
    assert!(accepted.iter().all(|(turn, _)| *turn == accepted[0].0));
    assert_eq!(accepted.iter().filter(|(_, duplicate)| !duplicate).count(), 1, "one of them was the first");
    assert_eq!(provider.count(), 1);
}
