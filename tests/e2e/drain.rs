//! The end of a gateway.

use serde_json::json;

use crate::harness::{Client, FakeProvider, Gate, Gateway, Reply, Wire, within};

/// Asks the gateway to end and returns when it says that it will.
async fn begin_to_drain(gateway: &Gateway) {
    gateway.terminate();
    let not_ready = async { while gateway.get("/readyz").await.status != 503 {} };
    within("/readyz says 503", not_ready).await;
}

#[tokio::test]
async fn a_running_turn_finishes_and_no_new_one_begins() {
    let gate = Gate::new();
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("Almost ").wait(&gate).say("done.")]).await;
    let mut gateway = Gateway::with(&provider).await;
    assert_eq!(gateway.get("/readyz").await.status, 200);
    let mut client = Client::connect(&gateway).await;
    let turn = client.send_chat("Finish.").await;
    client.until(&turn, "text").await;

    begin_to_drain(&gateway).await;
    assert_eq!(gateway.get("/livez").await.status, 200, "it lives as long as it drains");
    let refused = client.call("chat.send", json!({"content": "More."})).await.expect_err("no new turns");
    assert_eq!(refused.code, -32005, "{refused:?}");
    gate.open();
    assert_eq!(client.finish(&turn).await.done()["text"], "Almost done.");
    let (code, _) = gateway.ended().await;
    assert_eq!(code, Some(0));
    assert_eq!(provider.count(), 1);
}

#[tokio::test]
async fn a_turn_that_does_not_finish_in_time_is_told_where_nothing_is_kept() {
    let never = Gate::new();
    let provider = FakeProvider::scripted(Wire::OpenAi, [Reply::text("For ever").wait(&never)]).await;
    // On disk it would go on at the next start.
    let memory = "[storage]\nurl = \"memory\"";
    let mut gateway =
        Gateway::builder().provider(&provider).gateway("drain_timeout = \"200ms\"").tables(memory).start().await;
    let mut client = Client::connect(&gateway).await;
    let running = client.send_chat("Never end.").await;
    client.until(&running, "text").await;
    let waiting = client.send_chat("Wait.").await;
    gateway.terminate();
    for turn in [&running, &waiting] {
        let shown = client.finish(turn).await;
        assert_eq!(shown.error()["code"], -32005, "{:?}", shown.end());
        assert_eq!(shown.error()["retryable"], true);
    }
    provider.exchange(0).await.hung_up().await;
    let (code, _) = gateway.ended().await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once_and_says_goodbye() {
    let provider = FakeProvider::scripted::<Reply>(Wire::Anthropic, []).await;
    let mut gateway = Gateway::builder().provider(&provider).gateway("drain_timeout = \"1h\"").start().await;
    let mut client = Client::connect(&gateway).await;
    client.ping().await;
    gateway.terminate();
    // RFC 6455, section 7.4.1: the endpoint is going away.
    assert_eq!(u16::from(client.closed().await.code), 1001);
    let (code, _) = gateway.ended().await;
    assert_eq!(code, Some(0));
}
