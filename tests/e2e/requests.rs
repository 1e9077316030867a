//! What providers are sent.

use serde_json::{Value, json};

use crate::harness::{Client, FakeProvider, Gateway, Reply, WIRES, Wire};

#[tokio::test]
async fn what_the_agent_is_configured_with_reaches_the_provider() {
    for wire in WIRES {
        let provider = FakeProvider::scripted(wire, [Reply::text("Yes.")]).await;
        let agent = "system = \"You are İda.\"\nmax_tokens = 321\ntemperature = 0.25";
        let gateway = Gateway::builder().provider(&provider).agent(agent).start().await;
        Client::connect(&gateway).await.ask("Are you?").await.done();
        let exchange = provider.exchange(0).await;
        let body = &exchange.request.body;
        assert_eq!(body["model"], wire.model());
        assert_eq!(body["temperature"], 0.25);
        let limit = body.get("max_tokens").or(body.get("max_completion_tokens"));
        assert_eq!(limit, Some(&json!(321)));
        let system = match wire {
            Wire::Anthropic => &body["system"],
            Wire::OpenAi => &body["messages"][0]["content"],
        };
        assert!(system.to_string().contains("You are İda."), "{system}");
    }
}

#[tokio::test]
async fn each_provider_is_sent_its_own_shapes_when_one_stands_in_for_the_other() {
    let call = |id: &str| Reply::text("Hm.").call(id, "calculate", &json!({"expression": "1+1"}));
    let down = crate::failures::refused(Wire::Anthropic, 401, "authentication_error");
    let anthropic = FakeProvider::scripted(
        Wire::Anthropic,
        [call("toolu_1").on(Wire::Anthropic), Reply::text("Two.").on(Wire::Anthropic), down],
    )
    .await;
    let openai = FakeProvider::scripted(Wire::OpenAi, [Reply::text("Still two.")]).await;
    let gateway = Gateway::builder().provider(&anthropic).provider(&openai).bundled_tools().start().await;
    let mut client = Client::connect(&gateway).await;
    assert_eq!(client.ask("1+1?").await.results(), [("toolu_1", "2".to_owned(), false)]);
    assert_eq!(client.ask("And now?").await.done()["text"], "Still two.");

    // A history that one provider wrote is told to the other, who checks every shape of it.
    let exchange = openai.exchange(0).await;
    let roles: Vec<&Value> = exchange.request.messages().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user"]);
    let call = &exchange.request.messages()[2]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "calculate");
}

#[tokio::test]
async fn old_turns_are_left_out_whole_where_the_context_is_full() {
    for wire in WIRES {
        let provider = FakeProvider::start(wire, |request: &crate::harness::Request| {
            match request.results().is_empty() && request.question().starts_with("Echo") {
                true => Reply::new().call("call_1", "echo", &json!({"text": "word ".repeat(100)})),
                false => Reply::text("word ".repeat(100)),
            }
        })
        .await;
        let gateway =
            Gateway::builder().provider(&provider).bundled_tools().agent("context_tokens = 600").start().await;
        let mut client = Client::connect(&gateway).await;
        for n in 0..6 {
            // The provider refuses what is not whole.
            client.ask(&format!("Echo {n}.")).await.done();
        }
        let bodies = provider.bodies();
        let last = bodies.last().expect("requests")["messages"].to_string();
        assert!(last.contains("Echo 5.") && !last.contains("Echo 0."), "{wire:?}: {last}");
    }
}
