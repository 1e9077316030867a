//! What is read from a provider's prompt cache and not paid in full again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Builder, Client, FakeProvider, Gateway, PromptCache, Reply, Request};

const MINUTE: Duration = Duration::from_secs(60);

/// The shortest prompt that is kept, in tokens.
const MINIMUM: u64 = 512;

/// What one call consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Consumed {
    input: u64,
    read: u64,
    write: u64,
    write_1h: u64,
}

impl Consumed {
    fn of(usage: &Value) -> Self {
        let count = |name: &str| usage[name].as_u64().expect("a count");
        Self {
            input: count("input_tokens"),
            read: count("cache_read_tokens"),
            write: count("cache_write_tokens"),
            write_1h: count("cache_write_1h_tokens"),
        }
    }

    /// All of the prompt.
    fn prompt(self) -> u64 {
        self.input + self.read + self.write
    }

    /// What it costs, in hundredths of the price of plain input.
    fn cost(self) -> u64 {
        100 * self.input + 10 * self.read + 125 * (self.write - self.write_1h) + 200 * self.write_1h
    }
}

/// A model that looks up everything that ends with a question mark.
async fn provider(cache: &PromptCache) -> FakeProvider {
    FakeProvider::caching(cache, |request: &Request| {
        let number = request.messages().len();
        match request.question().ends_with('?') && request.results().is_empty() {
            true => Reply::text("Let me see.").call(
                &format!("toolu_{number}"),
                "echo",
                &json!({"text": format!("This is result {number}.")}),
            ),
            false => Reply::text(format!("That is all about number {number}. {}", "word ".repeat(40))),
        }
    })
    .await
}

/// A gateway whose agent has a system prompt that is long enough to be kept.
fn builder(provider: &FakeProvider) -> Builder {
    let system = format!("Be brief. {}", "Never say more than is needed. ".repeat(100));
    Gateway::builder().provider(provider).bundled_tools().agent(&format!("system = \"{system}\""))
}

async fn ask(client: &mut Client, content: &str) -> Vec<Consumed> {
    client.ask(content).await.of("usage").into_iter().map(Consumed::of).collect()
}

#[tokio::test]
async fn the_second_step_of_a_turn_and_the_second_turn_read_all_of_what_was_sent_before() {
    let cache = PromptCache::new(MINIMUM);
    let provider = provider(&cache).await;
    let gateway = builder(&provider).start().await;
    let mut client = Client::connect(&gateway).await;

    let [first, second] = ask(&mut client, "What is it?").await[..] else { panic!("two steps") };
    assert_eq!((first.read, first.input), (0, 0), "all of it is kept: {first:?}");
    assert_eq!(second.read, first.prompt());
    assert!(second.write > 0 && second.prompt() > second.read, "{second:?}");
    let [third] = ask(&mut client, "Thanks.").await[..] else { panic!("one step") };
    assert_eq!(third.read, second.prompt());
    assert_eq!([first, second, third].map(|usage| usage.write_1h), [0; 3]);

    // Another session has tools and system prompt in common with it.
    let turn = client.send_to("another", "Hello.").await;
    let shown = client.finish(&turn).await;
    let other = Consumed::of(shown.one("usage"));
    assert!(other.read > MINIMUM && other.read < first.prompt(), "{other:?} {first:?}");
}

#[tokio::test]
async fn a_conversation_that_goes_on_after_a_restart_is_still_read_from_the_cache() {
    let cache = PromptCache::new(MINIMUM);
    let provider = provider(&cache).await;
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let mut before = None;
    for question in ["What is it?", "And what is that?", "And this?"] {
        let mut gateway = builder(&provider).home(&home).start().await;
        let calls = ask(&mut Client::connect(&gateway).await, question).await;
        let read = calls.first().expect("a step").read;
        assert_eq!(read, before.map_or(0, Consumed::prompt), "tools and messages are written as before");
        before = calls.last().copied();
        gateway.terminate();
        assert_eq!(gateway.ended().await.0, Some(0));
    }
}

#[tokio::test]
async fn what_is_kept_for_five_minutes_is_kept_for_as_long_as_it_is_used_and_no_longer() {
    let cache = PromptCache::new(MINIMUM);
    let provider = provider(&cache).await;
    let gateway = builder(&provider).start().await;
    let mut client = Client::connect(&gateway).await;
    let mut before = ask(&mut client, "One.").await[0];
    for _ in 0..3 {
        cache.advance(4 * MINUTE);
        let now = ask(&mut client, "And on.").await[0];
        assert_eq!(now.read, before.prompt(), "each use renews the time");
        before = now;
    }
    cache.advance(6 * MINUTE);
    let late = ask(&mut client, "Still there.").await[0];
    assert_eq!((late.read, late.input), (0, 0), "{late:?}");
}

#[tokio::test]
async fn an_hour_is_asked_for_where_the_owner_wants_it_once_a_session_is_active() {
    let cache = PromptCache::new(MINIMUM);
    let provider = provider(&cache).await;
    let gateway = builder(&provider).agent("prompt_cache = \"1h\"").start().await;
    let mut client = Client::connect(&gateway).await;
    let first = ask(&mut client, "One.").await[0];
    assert!(first.write_1h > MINIMUM && first.write_1h < first.write, "tools and system prompt: {first:?}");
    let second = ask(&mut client, "Two.").await[0];
    assert!(second.write > 0 && second.write_1h == second.write, "{second:?}");
    cache.advance(50 * MINUTE);
    let third = ask(&mut client, "Three.").await[0];
    assert_eq!(third.read, second.prompt());
}

#[tokio::test]
async fn a_long_conversation_costs_less_than_half_though_its_beginning_is_cut_off() {
    let cache = PromptCache::new(MINIMUM);
    let provider = provider(&cache).await;
    // About seventy tokens a turn.
    let gateway = builder(&provider).agent("context_tokens = 1000").start().await;
    let mut client = Client::connect(&gateway).await;
    let mut calls = Vec::new();
    for turn in 0..60 {
        calls.extend(ask(&mut client, &format!("Number {turn}.")).await);
    }
    let shown = provider.bodies().pop().map(|body| body["messages"].as_array().map_or(0, Vec::len));
    assert!(shown < Some(60), "the beginning was cut off: {shown:?}");
    let cost = calls.iter().map(|call| call.cost()).sum::<u64>() / 100;
    let plain: u64 = calls.iter().map(|call| call.prompt()).sum();
    assert!(2 * cost < plain, "{cost} of {plain}");
    // Where the beginning was cut off, the rest of the conversation is written anew.
    let cuts = calls.iter().filter(|call| call.write > 400).count();
    assert!((2..=12).contains(&cuts), "{cuts} cuts; {cost} of {plain}");
}

#[tokio::test]
async fn an_agent_that_keeps_nothing_marks_nothing() {
    let cache = PromptCache::new(MINIMUM);
    let provider = provider(&cache).await;
    let gateway = builder(&provider).agent("prompt_cache = \"off\"").start().await;
    let mut client = Client::connect(&gateway).await;
    for call in ask(&mut client, "What is it?").await {
        assert_eq!((call.read, call.write), (0, 0));
    }
    assert!(provider.bodies().iter().all(|body| !body.to_string().contains("cache_control")));
}
