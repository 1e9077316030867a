//! One model stands in for another.

use crate::failures::{busy, refused};
use crate::harness::{Client, FakeProvider, Gateway, Reply, Wire};

#[tokio::test]
async fn the_next_model_is_asked_when_the_first_has_failed_for_good() {
    let first = FakeProvider::start(Wire::Anthropic, |_| busy(Wire::Anthropic, 529, "overloaded_error")).await;
    let second = FakeProvider::scripted(Wire::OpenAi, [Reply::text("I stand in.")]).await;
    let gateway = Gateway::builder().provider(&first).provider_lines("max_retries = 1").provider(&second).start().await;
    let shown = Client::connect(&gateway).await.ask("Hello?").await;
    assert_eq!(shown.done()["text"], "I stand in.");
    assert_eq!(shown.one("usage")["provider"], "openai", "who answered is told");
    assert_eq!((first.count(), second.count()), (2, 1), "after its retries");
}

#[tokio::test]
async fn the_next_model_is_not_asked_what_the_first_finds_fault_with() {
    let first = FakeProvider::scripted(Wire::Anthropic, [refused(Wire::Anthropic, 400, "invalid_request_error")]).await;
    let second = FakeProvider::scripted::<Reply>(Wire::OpenAi, []).await;
    let gateway = Gateway::builder().provider(&first).provider(&second).start().await;
    let shown = Client::connect(&gateway).await.ask("Hello?").await;
    assert_eq!(shown.error()["retryable"], false);
    assert_eq!((first.count(), second.count()), (1, 0));
}

#[tokio::test]
async fn an_answer_never_changes_its_author_once_it_was_shown() {
    let first = FakeProvider::scripted(Wire::Anthropic, [Reply::text("I was saying").cut()]).await;
    let second = FakeProvider::scripted::<Reply>(Wire::OpenAi, []).await;
    let gateway = Gateway::builder().provider(&first).provider(&second).start().await;
    let shown = Client::connect(&gateway).await.ask("Hello?").await;
    assert_eq!(shown.error()["code"], -32004);
    assert_eq!(shown.text(), "I was saying");
    assert_eq!((first.count(), second.count()), (1, 0));
}
