//! The loop over tools, each run in the sandbox.

use serde_json::{Value, json};

use crate::harness::{Client, FakeProvider, Gateway, Reply, Stop, WIRES, Wire};

async fn with_tools(provider: &FakeProvider) -> Gateway {
    Gateway::builder().provider(provider).bundled_tools().start().await
}

#[tokio::test]
async fn a_tool_runs_in_the_sandbox_and_its_result_goes_back() {
    for wire in WIRES {
        let call = Reply::text("Let me see. ").call("call_1", "calculate", &json!({"expression": "0.1 + 0.2"}));
        let provider = FakeProvider::scripted(wire, [call, Reply::text("It is 0.3.")]).await;
        let gateway = with_tools(&provider).await;
        let shown = Client::connect(&gateway).await.ask("0.1 + 0.2?").await;

        let expected = ["queued", "started", "text", "usage", "tool_use", "tool_result", "text", "usage", "done"];
        assert_eq!(shown.types(), expected, "{wire:?}");
        let used = shown.one("tool_use");
        assert_eq!((&used["name"], &used["id"]), (&json!("calculate"), &json!("call_1")));
        assert_eq!(used["input"], json!({"expression": "0.1 + 0.2"}));
        assert_eq!(shown.results(), [("call_1", "0.3".to_owned(), false)]);
        assert_eq!(shown.steps("text").into_values().collect::<Vec<_>>(), ["Let me see. ", "It is 0.3."]);
        assert_eq!(shown.done()["text"], "Let me see.\n\nIt is 0.3.");

        let mut tools =
            provider.exchange(0).await.request.tools().iter().map(|tool| (*tool).to_owned()).collect::<Vec<_>>();
        tools.sort();
        assert_eq!(tools, ["calculate", "current_time", "echo"]);
        let second = provider.exchange(1).await;
        assert_eq!(second.request.results(), [("call_1".to_owned(), "0.3".to_owned())]);
        // What the model said before the call is not lost.
        assert!(second.request.conversation().contains(&("assistant".into(), "Let me see. ".into())), "{wire:?}");
    }
}

#[tokio::test]
async fn calls_of_one_step_get_their_results_in_order() {
    for wire in WIRES {
        let calls = Reply::new()
            .call("call_a", "echo", &json!({"text": "first"}))
            .call("call_b", "current_time", &json!({"timezone": "Asia/Kathmandu"}))
            .call("call_c", "calculate", &json!({"expression": "2^64"}))
            .call("call_d", "echo", &json!({"text": "last İ🦀"}));
        let provider = FakeProvider::scripted(wire, [calls, Reply::text("Done.")]).await;
        let gateway = with_tools(&provider).await;
        let shown = Client::connect(&gateway).await.ask("All of it.").await;
        assert_eq!(shown.done()["text"], "Done.");
        assert_eq!(shown.of("tool_use").len(), 4);
        assert!(shown.results().iter().all(|(_, _, is_error)| !is_error), "{:?}", shown.results());

        let results = provider.exchange(1).await.request.results();
        let ids: Vec<_> = results.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["call_a", "call_b", "call_c", "call_d"], "{wire:?}");
        assert_eq!((&*results[0].1, &*results[2].1, &*results[3].1), ("first", "18446744073709551616", "last İ🦀"));
        assert!(results[1].1.contains("+05:45") || results[1].1.contains("Kathmandu"), "{}", results[1].1);
    }
}

#[tokio::test]
async fn what_a_tool_cannot_do_is_a_result_that_the_model_sees() {
    for wire in WIRES {
        let calls = Reply::new()
            .call("call_a", "teleport", &json!({}))
            .call("call_b", "calculate", &json!({"expression": 7, "precision": 2}))
            .call("call_c", "calculate", &json!({"expression": "1/0"}))
            .call("call_d", "echo", &json!({}));
        let provider = FakeProvider::scripted(wire, [calls, Reply::text("I see.")]).await;
        let gateway = with_tools(&provider).await;
        let shown = Client::connect(&gateway).await.ask("Try.").await;
        assert_eq!(shown.done()["text"], "I see.");
        let results = shown.results();
        assert_eq!(results.len(), 4);
        assert!(results.iter().all(|(_, _, is_error)| *is_error), "{results:?}");

        let exchange = provider.exchange(1).await;
        let seen = exchange.request.results();
        for ((id, text), word) in seen.iter().zip(["teleport", "expression", "zero", "text"]) {
            assert!(text.contains(word), "{wire:?} {id}: {text}");
        }
        if wire == Wire::Anthropic {
            let blocks = exchange.request.messages().last().expect("messages")["content"].as_array().expect("blocks");
            assert!(blocks.iter().all(|block| block["is_error"] == true), "{blocks:?}");
        }
    }
}

#[tokio::test]
async fn thinking_goes_back_with_its_proof_as_it_came() {
    let call = Reply::new().think("I should calculate.", "proof/+==").redacted("opaque==").say("One moment.").call(
        "toolu_1",
        "calculate",
        &json!({"expression": "6*7"}),
    );
    let provider = FakeProvider::scripted(Wire::Anthropic, [call, Reply::text("42.")]).await;
    let gateway = Gateway::builder().provider(&provider).bundled_tools().agent("thinking_tokens = 1024").start().await;
    assert_eq!(Client::connect(&gateway).await.ask("6*7?").await.results(), [("toolu_1", "42".to_owned(), false)]);

    let second = provider.exchange(1).await;
    assert_eq!(second.request.body["thinking"]["type"], "enabled");
    let expected = json!([
        {"type": "thinking", "thinking": "I should calculate.", "signature": "proof/+=="},
        {"type": "redacted_thinking", "data": "opaque=="},
        {"type": "text", "text": "One moment."},
        {"type": "tool_use", "id": "toolu_1", "name": "calculate", "input": {"expression": "6*7"}},
    ]);
    assert_eq!(second.request.messages()[1]["content"], expected);
}

#[tokio::test]
async fn a_call_without_arguments_has_an_empty_object() {
    for wire in WIRES {
        let call = Reply::new().bare_call("call_1", "current_time");
        let provider = FakeProvider::scripted(wire, [call, Reply::text("Late.")]).await;
        let gateway = with_tools(&provider).await;
        let shown = Client::connect(&gateway).await.ask("What time is it?").await;
        assert_eq!(shown.one("tool_use")["input"], json!({}), "{wire:?}");
        let [(_, time, false)] = &shown.results()[..] else { panic!("one good result: {:?}", shown.results()) };
        assert!(time.contains("UTC"), "{time}");
    }
}

#[tokio::test]
async fn half_a_call_is_never_run() {
    for wire in WIRES {
        let half = Reply::text("I will").half_call("call_1", "echo", "{\"text\": \"ha").stops(Stop::MaxTokens);
        // Even where what came is whole by chance.
        let whole_by_chance = Reply::text("I will").half_call("call_1", "echo", "{}").stops(Stop::MaxTokens);
        let provider = FakeProvider::scripted(wire, [half, whole_by_chance, Reply::text("Hello.")]).await;
        let gateway = with_tools(&provider).await;
        let mut client = Client::connect(&gateway).await;
        for _ in 0..2 {
            let shown = client.ask("Echo.").await;
            assert_eq!(shown.done()["stop_reason"], "max_tokens", "{wire:?}");
            assert_eq!(shown.done()["text"], "I will");
            assert_eq!((shown.of("tool_use").len(), shown.of("tool_result").len()), (0, 0));
        }
        // The next request is one that the platform takes: it has no call without a result.
        assert_eq!(client.ask("Hello?").await.done()["text"], "Hello.");
    }
}

#[tokio::test]
async fn a_later_turn_carries_whole_pairs_of_calls_and_results() {
    for wire in WIRES {
        let call = |id: &str| Reply::text("Wait.").call(id, "echo", &json!({"text": id}));
        let answers = [call("call_1"), Reply::text("One."), call("call_2"), Reply::text("Two.")];
        let provider = FakeProvider::scripted(wire, answers).await;
        let gateway = with_tools(&provider).await;
        let mut client = Client::connect(&gateway).await;
        client.ask("First.").await.done();
        client.ask("Second.").await.done();
        // The provider checks the pairs; here they must be there at all.
        let last: Value = provider.exchange(3).await.request.body.clone();
        for id in ["call_1", "call_2"] {
            assert!(last["messages"].to_string().matches(id).count() >= 2, "{wire:?} {id}: {last}");
        }
    }
}
