//! A stop that stops.

use serde_json::json;

use crate::harness::{Client, FakeProvider, Gate, Gateway, Reply, WIRES, Wire};

#[tokio::test]
async fn a_running_stream_ends_at_once_and_the_provider_sees_it() {
    for wire in WIRES {
        let never = Gate::new();
        let endless = Reply::text("I could go on ").wait(&never).say("for ever.");
        let provider = FakeProvider::scripted(wire, [endless, Reply::text("Hello.")]).await;
        let gateway = Gateway::with(&provider).await;
        let mut client = Client::connect(&gateway).await;
        let turn = client.send_chat("Talk.").await;
        let mut shown = client.until(&turn, "text").await;

        client.call("chat.abort", json!({"session": turn.session})).await.expect("an answer");
        // Nobody opens the gate: only the gateway can have ended this.
        provider.exchange(0).await.hung_up().await;
        shown.0.extend(client.finish(&turn).await.0);
        assert_eq!(shown.done()["stop_reason"], "aborted", "{wire:?}");
        assert_eq!(shown.done()["text"], "I could go on");
        assert_eq!(shown.one("usage")["estimated"], true, "what was consumed is counted");

        // What the user saw is part of the conversation.
        assert_eq!(client.ask("Hello?").await.done()["text"], "Hello.");
        let spoken = provider.exchange(1).await.request.conversation();
        assert_eq!(spoken[1], ("assistant".into(), "I could go on ".into()), "{wire:?}");
        let history = client.call("chat.history", json!({"session": turn.session})).await.expect("a history");
        assert_eq!(history["messages"][1]["blocks"][0]["text"], "I could go on ");
    }
}

#[tokio::test]
async fn a_model_that_has_not_begun_to_answer_can_be_stopped() {
    for wire in WIRES {
        let never = Gate::new();
        let silent = Reply::new().wait(&never);
        let mut answer = silent.on(wire);
        // Not even its first event.
        answer.steps.retain(|step| matches!(step, crate::harness::Step::Wait(_)));
        let provider = FakeProvider::scripted(wire, [answer]).await;
        let gateway = Gateway::with(&provider).await;
        let mut client = Client::connect(&gateway).await;
        let turn = client.send_chat("Talk.").await;
        let exchange = provider.exchange(0).await;
        client.call("chat.abort", json!({"session": turn.session, "turn": turn.id})).await.expect("an answer");
        exchange.hung_up().await;
        let shown = client.finish(&turn).await;
        assert_eq!(shown.done()["stop_reason"], "aborted", "{wire:?}");
        assert_eq!(shown.done()["text"], "");
    }
}

#[tokio::test]
async fn a_message_that_waits_can_be_taken_back_and_no_other_is_touched() {
    let gate = Gate::new();
    let answers = [Reply::text("First").wait(&gate).say(" answer."), Reply::text("Third answer.")];
    let provider = FakeProvider::scripted(Wire::Anthropic, answers).await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let first = client.send_chat("First.").await;
    client.until(&first, "text").await;
    let second = client.send_chat("Second.").await;
    let third = client.send_chat("Third.").await;

    client.call("chat.abort", json!({"session": first.session, "turn": second.id})).await.expect("an answer");
    gate.open();
    assert_eq!(client.finish(&first).await.done()["stop_reason"], "end_turn");
    let taken_back = client.finish(&second).await;
    assert_eq!(taken_back.done()["stop_reason"], "aborted");
    assert!(taken_back.of("text").is_empty() && taken_back.of("usage").is_empty());
    assert_eq!(client.finish(&third).await.done()["text"], "Third answer.");
    assert_eq!(provider.count(), 2, "the second was never asked");
}

#[tokio::test]
async fn a_stop_in_the_middle_of_tool_calls_leaves_whole_pairs() {
    for wire in WIRES {
        let calls = Reply::text("On it.").call("call_1", "spin", &json!({})).call("call_2", "answer", &json!({}));
        let provider = FakeProvider::scripted(wire, [calls, Reply::text("Hello.")]).await;
        let gateway = crate::sandbox::with_hostile(&provider, "time = \"1h\"\ncpu = \"1h\"").await;
        let mut client = Client::connect(&gateway).await;
        let turn = client.send_chat("Compute.").await;
        client.until(&turn, "tool_use").await;
        client.call("chat.abort", json!({"session": turn.session})).await.expect("an answer");
        let shown = client.finish(&turn).await;
        assert_eq!(shown.done()["stop_reason"], "aborted", "{wire:?}");
        assert_eq!(provider.count(), 1, "the model is not asked again");
        // The provider takes no call without its result; here the next request has both.
        assert_eq!(client.ask("Hello?").await.done()["text"], "Hello.");
        let messages = provider.exchange(1).await.request.body["messages"].to_string();
        assert!(messages.matches("call_1").count() >= 2, "{messages}");
    }
}

#[tokio::test]
async fn stopping_what_does_not_run_says_so_and_hurts_nobody() {
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("Done.")]).await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let turn = client.send_chat("Hello.").await;
    client.finish(&turn).await.done();
    let stopped = client.call("chat.abort", json!({"session": turn.session})).await.expect("an answer");
    assert_eq!(stopped["aborted"], false, "{stopped}");
    let wrong = client.call("chat.abort", json!({"session": "no such key"})).await.expect_err("no session key");
    assert_eq!(wrong.code, -32602);
}
