//! A message in, a model's streamed answer out.

use serde_json::json;

use crate::harness::{Client, Counts, FakeProvider, Gate, Gateway, Reply, Request, Stop, WIRES, Wire};

#[tokio::test]
async fn a_message_comes_back_as_the_models_streamed_answer() {
    for wire in WIRES {
        let gate = Gate::new();
        let reply = Reply::text("Once ").say("upon ").wait(&gate).say("a time.");
        let provider = FakeProvider::scripted(wire, [reply]).await;
        let gateway = Gateway::with(&provider).await;
        let mut client = Client::connect(&gateway).await;

        let turn = client.send_chat("Tell me a story.").await;
        assert_eq!(turn.session, "default:websocket:local:main");
        // The first words are there while the provider still writes.
        let mut shown = client.until(&turn, "text").await;
        assert_eq!(shown.types(), ["queued", "started", "text"]);
        gate.open();
        shown.0.extend(client.finish(&turn).await.0);

        assert_eq!(shown.types(), ["queued", "started", "text", "usage", "done"], "{wire:?}");
        assert_eq!(shown.text(), "Once upon a time.");
        assert_eq!(shown.done()["stop_reason"], "end_turn");
        assert_eq!(shown.done()["text"], "Once upon a time.");
        assert_eq!(provider.count(), 1);
    }
}

#[tokio::test]
async fn usage_tells_what_was_consumed_and_what_came_from_the_cache() {
    for (wire, cache_write, cache_write_1h) in [(Wire::Anthropic, 512, 500), (Wire::OpenAi, 0, 0)] {
        let counts = Counts { input: 100, output: 20, cache_read: 2048, cache_write, cache_write_1h };
        let provider = FakeProvider::scripted(wire, [Reply::text("Counted.").counts(counts)]).await;
        let gateway = Gateway::with(&provider).await;
        let shown = Client::connect(&gateway).await.ask("Count.").await;
        let usage = shown.one("usage");
        assert_eq!(usage["provider"], wire.name());
        assert!([wire.model(), "model-that-answers"].contains(&usage["model"].as_str().expect("a model")), "{usage}");
        assert_eq!(usage["input_tokens"], 100, "{wire:?} {usage}");
        assert_eq!(usage["output_tokens"], 20, "{usage}");
        assert_eq!(usage["cache_read_tokens"], 2048, "{usage}");
        assert_eq!(usage["cache_write_tokens"], cache_write, "{usage}");
        assert_eq!(usage["cache_write_1h_tokens"], cache_write_1h, "{usage}");
        assert_eq!(usage["reasoning_tokens"], 0, "{usage}");
        assert_eq!(usage["cost_usd"], json!(null), "no price is known");
        assert_eq!(usage["estimated"], false);
    }
}

#[tokio::test]
async fn a_second_message_is_sent_with_the_conversation_so_far() {
    for wire in WIRES {
        let provider = FakeProvider::scripted(wire, [Reply::text("Ada."), Reply::text("You asked that.")]).await;
        let gateway = Gateway::builder().provider(&provider).agent("system = \"Be brief.\"").start().await;
        let mut client = Client::connect(&gateway).await;
        client.ask("Who wrote the first program?").await.done();
        client.ask("What did I ask?").await.done();

        let second = provider.exchange(1).await;
        let spoken = second.request.conversation();
        let expected = [("user", "Who wrote the first program?"), ("assistant", "Ada."), ("user", "What did I ask?")];
        assert_eq!(spoken, expected.map(|(role, text)| (role.to_owned(), text.to_owned())));
        assert!(second.request.body.to_string().contains("Be brief."), "the system prompt is there");
        assert_eq!(second.request.connection, 0, "the connection is used again");
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_short_or_declined_says_so() {
    for wire in WIRES {
        for (stop, reason) in [(Stop::MaxTokens, "max_tokens"), (Stop::Refusal, "refusal")] {
            let provider = FakeProvider::scripted(wire, [Reply::text("So far").stops(stop)]).await;
            let gateway = Gateway::with(&provider).await;
            let shown = Client::connect(&gateway).await.ask("Go on.").await;
            assert_eq!(shown.done()["stop_reason"], reason, "{wire:?}");
            assert_eq!(shown.done()["text"], "So far");
        }
    }
}

#[tokio::test]
async fn thinking_is_shown_apart_from_the_text() {
    let reply = Reply::new().think("Hm, ", "sig").say("Yes.");
    let provider = FakeProvider::scripted(Wire::Anthropic, [reply]).await;
    let gateway = Gateway::builder().provider(&provider).agent("thinking_tokens = 2048").start().await;
    let shown = Client::connect(&gateway).await.ask("Well?").await;
    assert_eq!(shown.types(), ["queued", "started", "thinking", "text", "usage", "done"]);
    assert_eq!(shown.steps("thinking")[&0], "Hm, ");
    assert_eq!(shown.done()["text"], "Yes.");
    assert!(!shown.0.iter().any(|event| event.to_string().contains("sig")), "the proof is the provider's");
}

#[tokio::test]
async fn every_text_comes_back_as_it_was() {
    let texts = [
        "İstanbul İİİ ẞ ß ŉ ǰ",
        "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽",
        "e\u{301} n\u{303} \u{1112}\u{1161}\u{11ab} Z̷͉̈a̴͚͝l̵̢̆g̵̺̈o̶͔͘",
        "\u{202e}drow\u{202c} שלום עולם مرحبا بالعالم",
        "a\u{0}b\u{1}c\u{7f}d\u{85}e\u{2028}f\u{feff}g\u{fffd}\u{10ffff}",
        "\"quoted\" \\back\\ {\"json\": [1]} data: x\n\nevent: y\r\n\ttab",
    ];
    for wire in WIRES {
        let provider = FakeProvider::start(wire, |request: &Request| {
            let question = request.question();
            // One delta a character.
            question.chars().fold(Reply::new(), |reply, character| reply.say(character.to_string()))
        })
        .await;
        let gateway = Gateway::with(&provider).await;
        let mut client = Client::connect(&gateway).await;
        for (index, text) in texts.iter().enumerate() {
            let turn = client.send_to(&format!("peer {index} {text}"), text).await;
            let shown = client.finish(&turn).await;
            assert_eq!(shown.text(), *text, "{wire:?}");
            assert_eq!(shown.done()["text"], text.trim());
            let history = client.call("chat.history", json!({"session": turn.session})).await.expect("a history");
            for (index, role) in ["user", "assistant"].iter().enumerate() {
                let message = &history["messages"][index];
                assert_eq!(message["role"], *role, "{history}");
                assert_eq!(message["blocks"], json!([{"type": "text", "text": text}]));
            }
        }
    }
}
