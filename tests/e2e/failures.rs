//! What providers do wrong: before, in and after a stream.

use serde_json::json;

use crate::harness::{Answer, Client, Counts, FakeProvider, Gateway, Reply, Transcript, WIRES, Wire, refusal};

/// A refusal that says what kind it is.
pub(crate) fn refused(wire: Wire, status: u16, kind: &str) -> Answer {
    refusal(wire, status, kind, &format!("the platform says {kind}"))
}

/// As [`refused`], with the wish to be asked again at once.
pub(crate) fn busy(wire: Wire, status: u16, kind: &str) -> Answer {
    refused(wire, status, kind).header("retry-after-ms", "1").header("retry-after", "0")
}

fn check_error(shown: &Transcript, retryable: bool, words: &[&str]) {
    let error = shown.error();
    assert_eq!(error["code"], -32004, "{error}");
    assert_eq!(error["retryable"], retryable, "{error}");
    let message = error["message"].as_str().expect("a message");
    for word in words {
        assert!(message.contains(word), "{word:?} in {message}");
    }
    assert!(!message.contains("KEYKEYKEY"), "{message}");
}

#[tokio::test]
async fn a_refusal_before_the_stream_is_told_and_not_repeated() {
    for wire in WIRES {
        let cases = [(401, "authentication_error"), (400, "invalid_request_error"), (404, "not_found_error")];
        for (status, kind) in cases {
            let answers = [refused(wire, status, kind), Reply::text("Now it works.").on(wire)];
            let provider = FakeProvider::scripted(wire, answers).await;
            let gateway = Gateway::with(&provider).await;
            let mut client = Client::connect(&gateway).await;
            let shown = client.ask("Hello?").await;
            check_error(&shown, false, &[wire.name(), &status.to_string(), kind]);
            assert!(shown.of("text").is_empty() && shown.of("usage").is_empty(), "{wire:?} {status}");
            assert_eq!(provider.count(), 1, "{wire:?} {status}");
            assert_eq!(client.ask("Hello again?").await.done()["text"], "Now it works.");
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_busy_is_asked_again() {
    for wire in WIRES {
        for (status, kind) in [(429, "rate_limit_error"), (529, "overloaded_error"), (500, "api_error"), (503, "busy")]
        {
            let answers = [busy(wire, status, kind), busy(wire, status, kind), Reply::text("Here.").on(wire)];
            let provider = FakeProvider::scripted(wire, answers).await;
            let gateway = Gateway::with(&provider).await;
            let shown = Client::connect(&gateway).await.ask("Hello?").await;
            assert_eq!(shown.done()["text"], "Here.", "{wire:?} {status}");
            assert_eq!(shown.types(), ["queued", "started", "text", "usage", "done"]);
            let bodies = provider.bodies();
            assert_eq!(bodies.len(), 3);
            assert!(bodies.iter().all(|body| *body == bodies[0]), "the request stays the same");
        }
    }
}

#[tokio::test]
async fn a_provider_that_stays_busy_is_given_up() {
    for wire in WIRES {
        let provider = FakeProvider::start(wire, move |_| busy(wire, 503, "overloaded_error")).await;
        let gateway = Gateway::builder().provider(&provider).provider_lines("max_retries = 3").start().await;
        let shown = Client::connect(&gateway).await.ask("Hello?").await;
        check_error(&shown, true, &["503", "overloaded_error"]);
        assert_eq!(provider.count(), 4, "{wire:?}: once, and three times again");
    }
}

#[tokio::test]
async fn a_provider_decides_by_its_headers_and_its_words_whether_to_ask_again() {
    let forbids = |wire| busy(wire, 529, "overloaded_error").header("x-should-retry", "false");
    let cases =
        [(Wire::Anthropic, forbids(Wire::Anthropic)), (Wire::OpenAi, busy(Wire::OpenAi, 429, "insufficient_quota"))];
    for (wire, answer) in cases {
        let provider = FakeProvider::scripted(wire, [answer]).await;
        let gateway = Gateway::with(&provider).await;
        check_error(&Client::connect(&gateway).await.ask("Hello?").await, false, &[]);
        assert_eq!(provider.count(), 1, "{wire:?}");
    }
}

#[tokio::test]
async fn an_error_in_the_stream_after_text_ends_the_turn() {
    for wire in WIRES {
        let broken = Reply::text("So far, ").fails("overloaded_error", "Overloaded");
        let provider = FakeProvider::scripted(wire, [broken, Reply::text("Hello.")]).await;
        let gateway = Gateway::with(&provider).await;
        let mut client = Client::connect(&gateway).await;
        let shown = client.ask("Hello?").await;
        check_error(&shown, true, &["Overloaded"]);
        assert_eq!(shown.text(), "So far, ");
        assert_eq!(provider.count(), 1, "{wire:?}: never again after text was shown");
        assert_eq!(shown.one("usage")["estimated"], true, "what was consumed is counted");
        // The conversation goes on, in a shape that the platform takes.
        assert_eq!(client.ask("And?").await.done()["text"], "Hello.");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_after_text_is_an_error_and_not_repeated() {
    for wire in WIRES {
        for broken in [Reply::text("So far").cut(), Reply::text("So far").ends_early()] {
            let provider = FakeProvider::scripted(wire, [broken]).await;
            let gateway = Gateway::with(&provider).await;
            let shown = Client::connect(&gateway).await.ask("Hello?").await;
            check_error(&shown, true, &[wire.name()]);
            assert_eq!(shown.text(), "So far");
            assert_eq!(provider.count(), 1, "{wire:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_before_text_is_opened_again() {
    for wire in WIRES {
        let broken =
            [Reply::new().cut(), Reply::new().ends_early(), Reply::new().fails("overloaded_error", "Overloaded")];
        for broken in broken {
            let provider = FakeProvider::scripted(wire, [broken, Reply::text("Here.")]).await;
            let gateway = Gateway::with(&provider).await;
            let shown = Client::connect(&gateway).await.ask("Hello?").await;
            assert_eq!(shown.done()["text"], "Here.", "{wire:?}");
            assert_eq!(provider.count(), 2);
        }
    }
}

#[tokio::test]
async fn a_tool_call_in_a_stream_that_breaks_off_is_not_run() {
    for wire in WIRES {
        let call = Reply::text("I will.").call("call_1", "echo", &json!({"text": "x"}));
        for broken in [call.clone().ends_early(), call.fails("api_error", "Internal")] {
            let provider = FakeProvider::scripted(wire, [broken, Reply::text("Hello.")]).await;
            let gateway = Gateway::builder().provider(&provider).bundled_tools().start().await;
            let mut client = Client::connect(&gateway).await;
            let shown = client.ask("Echo x.").await;
            check_error(&shown, true, &[]);
            assert!(shown.of("tool_result").is_empty(), "{wire:?}");
            assert_eq!(client.ask("Hello?").await.done()["text"], "Hello.");
        }
    }
}

#[tokio::test]
async fn what_follows_the_models_last_word_changes_nothing() {
    for wire in WIRES {
        let whole = Reply::text("Whole.").on(wire);
        let mut steps = whole.clone().steps;
        steps.push(crate::harness::Step::Bytes(b"event: error\ndata: {\"type\":\"error\",\"error\":{}}\n\n".to_vec()));
        steps.push(crate::harness::Step::Cut);
        let provider = FakeProvider::scripted(wire, [Answer { steps, ..whole }]).await;
        let gateway = Gateway::with(&provider).await;
        let shown = Client::connect(&gateway).await.ask("Hello?").await;
        assert_eq!(shown.done()["text"], "Whole.", "{wire:?}");
    }
}

#[tokio::test]
async fn a_web_page_instead_of_a_stream_is_no_answer() {
    for wire in WIRES {
        let page = Answer::new(200, "text/html", "<!doctype html><title>Log in</title>");
        let provider = FakeProvider::start(wire, move |_| page.clone()).await;
        let gateway = Gateway::with(&provider).await;
        let shown = Client::connect(&gateway).await.ask("Hello?").await;
        check_error(&shown, false, &["text/html", "base_url"]);
    }
}

#[tokio::test]
async fn nonsense_in_the_stream_is_an_error_and_no_crash() {
    for wire in WIRES {
        for nonsense in [
            "data: {\n\n",
            "data: []\n\n",
            "data: {\"choices\": 7, \"type\": 7}\n\n",
            "data: \u{0}\n\n",
            "HTTP/1.1 200\r\n\r\n",
        ] {
            let answer = Answer::new(200, "text/event-stream", nonsense);
            let provider = FakeProvider::start(wire, move |_| answer.clone()).await;
            let gateway = Gateway::builder().provider(&provider).provider_lines("max_retries = 0").start().await;
            let shown = Client::connect(&gateway).await.ask("Hello?").await;
            assert_eq!(shown.error()["code"], -32004, "{wire:?} {nonsense:?}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_told_by_its_name() {
    let provider = FakeProvider::scripted::<Reply>(Wire::Anthropic, []).await;
    let gateway = Gateway::builder().provider(&provider).provider_lines("max_retries = 0").start().await;
    drop(provider);
    let shown = Client::connect(&gateway).await.ask("Hello?").await;
    check_error(&shown, true, &["anthropic", "127.0.0.1"]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_counts_what_was_told_and_what_came_also_of_a_tools_arguments() {
    let counts = Counts { input: 123_456, output: 9, cache_read: 77, cache_write: 5, cache_write_1h: 0 };
    // A kilobyte of what was to be written.
    let half = format!("{{\"text\": \"{}", "word".repeat(256));
    for wire in WIRES {
        let reply = Reply::text("Writing.").half_call("call_1", "echo", &half).counts(counts).ends_early();
        let provider = FakeProvider::scripted(wire, [reply]).await;
        let gateway = Gateway::builder().provider(&provider).bundled_tools().start().await;
        let shown = Client::connect(&gateway).await.ask("Write.").await;
        assert_eq!(shown.error()["code"], -32004, "{wire:?}");
        let usage = shown.one("usage");
        assert_eq!(usage["estimated"], true, "{wire:?} {usage}");
        assert!((200..1000).contains(&usage["output_tokens"].as_u64().expect("a count")), "{wire:?} {usage}");
        let told = ["input_tokens", "cache_read_tokens", "cache_write_tokens"].map(|name| usage[name].as_u64());
        match wire {
            Wire::Anthropic => assert_eq!(told, [Some(123_456), Some(77), Some(5)], "it says so first"),
            // It would have said so at the end.
            Wire::OpenAi => assert!((1..10_000).contains(&told[0].expect("a count")), "{usage}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_before_its_first_word_was_read_and_is_counted() {
    for wire in WIRES {
        let replies = [Reply::new().ends_early(), Reply::text("Here.")];
        let provider = FakeProvider::scripted(wire, replies).await;
        let gateway = Gateway::with(&provider).await;
        let shown = Client::connect(&gateway).await.ask("Well?").await;
        assert_eq!(shown.done()["text"], "Here.", "{wire:?}: it is asked again");
        let estimated: Vec<_> = shown.of("usage").into_iter().map(|usage| usage["estimated"] == true).collect();
        assert_eq!(estimated, [true, false], "{wire:?}");
        assert!(shown.of("usage")[0]["input_tokens"].as_u64() > Some(0), "{wire:?}");
    }
}
