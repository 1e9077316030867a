//! How far a turn may go.

use serde_json::json;

use crate::harness::{Client, FakeProvider, Gateway, Reply, Request, WIRES};

#[tokio::test]
async fn a_turn_ends_at_its_limit_of_steps_and_the_next_one_works() {
    for wire in WIRES {
        let provider = FakeProvider::start(wire, |request: &Request| match request.question().as_str() {
            "Loop." => {
                let step = request.messages().len();
                Reply::text(format!("Step {step}.")).call(
                    &format!("call_{step}"),
                    "echo",
                    &json!({"text": step.to_string()}),
                )
            }
            _ => Reply::text("Here I am."),
        })
        .await;
        let gateway = Gateway::builder().provider(&provider).bundled_tools().agent("max_steps = 3").start().await;
        let mut client = Client::connect(&gateway).await;
        let shown = client.ask("Loop.").await;
        assert_eq!(shown.done()["stop_reason"], "steps", "{wire:?}");
        assert_eq!(provider.count(), 3);
        assert_eq!(shown.of("usage").len(), 3, "every call is counted");
        assert_eq!(shown.of("tool_result").len(), shown.of("tool_use").len());
        // The provider refuses a call without a result.
        assert_eq!(client.ask("Hello?").await.done()["text"], "Here I am.");
    }
}

#[tokio::test]
async fn the_same_call_is_not_made_without_end() {
    for wire in WIRES {
        let provider = FakeProvider::start(wire, |request: &Request| {
            let calls = request.messages().len();
            let refused = request.results().iter().any(|(_, text)| text != "again");
            match refused {
                true => Reply::text("I stop."),
                // Spacing and order make no other call.
                false => Reply::new().call(&format!("call_{calls}"), "echo", &json!({"text": "again"})),
            }
        })
        .await;
        let gateway = Gateway::builder().provider(&provider).bundled_tools().agent("max_repeats = 2").start().await;
        let shown = Client::connect(&gateway).await.ask("Loop.").await;
        assert_eq!(shown.done()["text"], "I stop.", "{wire:?}");
        let errors: Vec<_> = shown.results().into_iter().map(|(_, _, is_error)| is_error).collect();
        assert_eq!(errors, [false, false, true], "two calls run, the third is refused and the model told");
    }
}

#[tokio::test]
async fn an_agent_is_offered_the_tools_that_its_owner_names() {
    let provider = FakeProvider::scripted(
        crate::harness::Wire::Anthropic,
        [Reply::new().call("toolu_1", "echo", &json!({"text": "no"})), Reply::text("Very well.")],
    )
    .await;
    let gateway = Gateway::builder().provider(&provider).bundled_tools().agent("tools = [\"calculate\"]").start().await;
    let shown = Client::connect(&gateway).await.ask("Echo.").await;
    assert_eq!(provider.exchange(0).await.request.tools(), ["calculate"]);
    let [(_, text, true)] = &shown.results()[..] else { panic!("one refusal: {:?}", shown.results()) };
    assert!(text.contains("echo"), "{text}");
}
