//! Retries and fallbacks over a provider that plays scripts, in paused time.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use tokio::time::Instant;

use super::*;
use crate::provider::{CachePolicy, Provider, Refusal};
use crate::store::StopReason;

type Answer = Result<Vec<Result<StreamEvent, ProviderError>>, ProviderError>;

/// Gives one answer to each call, and notes when it was called.
struct Script {
    name: &'static str,
    answers: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<Instant>>,
    /// The most that each call might write.
    most: Mutex<Vec<u32>>,
}

impl Provider for Script {
    fn name(&self) -> &str {
        self.name
    }

    fn max_retries(&self) -> u32 {
        2
    }

    fn open<'a>(&'a self, _: &'a str, request: &'a Request) -> BoxFuture<'a, Result<EventStream, ProviderError>> {
        self.most.lock().expect("not poisoned").push(request.max_tokens);
        self.calls.lock().expect("not poisoned").push(Instant::now());
        let answer = self.answers.lock().expect("not poisoned").pop_front().expect("an answer");
        async move { Ok(stream::iter(answer?).boxed()) }.boxed()
    }
}

fn script(name: &'static str, answers: impl IntoIterator<Item = Answer>) -> Arc<Script> {
    Arc::new(Script {
        name,
        answers: Mutex::new(answers.into_iter().collect()),
        calls: Mutex::default(),
        most: Mutex::default(),
    })
}

fn refused(status: u16, kind: &str, retry_after: Option<u64>) -> ProviderError {
    let refusal = Refusal {
        status: Some(status),
        retry_after: retry_after.map(Duration::from_secs),
        ..Refusal::said(Some(kind.into()), "no".into())
    };
    ProviderError::Refused { provider: "a".into(), refusal: Box::new(refusal) }
}

fn well() -> Answer {
    Ok(vec![Ok(StreamEvent::Text("well".into())), Ok(StreamEvent::Stopped(StopReason::EndTurn))])
}

fn cut() -> ProviderError {
    ProviderError::Cut { provider: "a".into(), reason: "gone".into() }
}

/// The call as words: who was asked, what came, how it ended.
async fn run(scripts: &[&Arc<Script>]) -> Vec<String> {
    let models: Vec<_> = scripts
        .iter()
        .map(|script| ModelRef { provider: Arc::clone(script) as Arc<dyn Provider>, model: "m".into() })
        .collect();
    let request = Request {
        system: None,
        messages: Vec::new(),
        tools: Arc::new([]),
        max_tokens: 1,
        thinking_tokens: None,
        temperature: None,
        cache: CachePolicy::default(),
    };
    let call = Models::new(&models, Arc::new(Jitter::seeded(7))).call(Arc::new(request));
    let word = |event| match event {
        Ok(CallEvent::Attempt { provider, .. }) => format!("ask {provider}"),
        Ok(CallEvent::Event(event)) => format!("{event:?}"),
        Ok(CallEvent::Failed { usage, .. }) => format!("failed {:?}", usage.map(|usage| usage.output_tokens)),
        Err(error) => format!("error {error}"),
    };
    call.map(word).collect().await
}

#[tokio::test(start_paused = true)]
async fn waits_grow_and_after_the_retries_the_next_model_is_asked_at_once() {
    let overloaded = || Err(refused(529, "overloaded_error", None));
    let first = script("a", [overloaded(), overloaded(), overloaded()]);
    let second = script("b", [well()]);
    let begin = Instant::now();
    let words = run(&[&first, &second]).await;
    assert_eq!(
        words,
        [
            "ask a",
            "failed None",
            "ask a",
            "failed None",
            "ask a",
            "failed None",
            "ask b",
            "Text(\"well\")",
            "Stopped(EndTurn)"
        ]
    );
    let calls = first.calls.lock().expect("not poisoned").clone();
    let waits = [calls[0] - begin, calls[1] - calls[0], calls[2] - calls[1]];
    assert_eq!(waits[0], Duration::ZERO);
    // Half a second and a second, less up to a quarter; tokio's timer rounds up to milliseconds.
    assert!((375..=501).contains(&waits[1].as_millis()) && (750..=1001).contains(&waits[2].as_millis()), "{waits:?}");
    assert!(second.calls.lock().expect("not poisoned")[0] - calls[2] < Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn a_service_is_never_asked_earlier_than_it_said_and_not_waited_for_beyond_a_minute() {
    let patient = script("a", [Err(refused(429, "rate_limit_error", Some(30))), well()]);
    run(&[&patient]).await;
    let calls = patient.calls.lock().expect("not poisoned").clone();
    assert!((calls[1] - calls[0]).as_secs() == 30, "{:?}", calls[1] - calls[0]);

    let late = script("a", [Err(refused(429, "rate_limit_error", Some(3600)))]);
    assert!(run(&[&late]).await[1].starts_with("error a: the service answered 429"));
    let late = script("a", [Err(refused(429, "rate_limit_error", Some(3600)))]);
    assert!(run(&[&late, &script("b", [well()])]).await.contains(&"ask b".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_once_text_was_shown() {
    let shown = Ok(vec![Ok(StreamEvent::Text("half".into())), Err(cut())]);
    let first = script("a", [shown]);
    let words = run(&[&first, &script("b", [well()])]).await;
    assert_eq!(words, ["ask a", "Text(\"half\")", "error a: the answer was cut off: gone"]);
}

#[tokio::test(start_paused = true)]
async fn reasoning_may_be_tried_again_and_what_it_cost_is_told() {
    let usage = TokenUsage { output_tokens: 9, ..TokenUsage::default() };
    let thought = vec![Ok(StreamEvent::Usage(usage)), Ok(StreamEvent::Thinking("hm".into())), Err(cut())];
    let words = run(&[&script("a", [Ok(thought), well()])]).await;
    assert_eq!(words[2..5], ["Thinking(\"hm\")", "failed Some(9)", "ask a"]);
    // An ending without its last event is a failure as well.
    let words = run(&[&script("a", [Ok(Vec::new()), well()])]).await;
    assert_eq!(words[..3], ["ask a", "failed None", "ask a"]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_goes_to_the_fallback_and_a_wrong_request_to_nobody() {
    let key = script("a", [Err(refused(401, "authentication_error", None))]);
    assert_eq!(run(&[&key, &script("b", [well()])]).await[..3], ["ask a", "failed None", "ask b"]);
    let quota = script("a", [Err(refused(429, "insufficient_quota", None))]);
    assert_eq!(run(&[&quota, &script("b", [well()])]).await[..3], ["ask a", "failed None", "ask b"]);
    let request = script("a", [Err(refused(400, "invalid_request_error", None))]);
    let words = run(&[&request, &script("b", [well()])]).await;
    assert!(words.len() == 2 && words[1].starts_with("error a: the service answered 400"), "{words:?}");
}

#[tokio::test(start_paused = true)]
async fn without_any_model_the_call_says_what_to_set() {
    assert!(run(&[]).await[0].starts_with("error no model can be asked"));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_may_write_what_it_was_granted_when_it_began() {
    let script = script("a", [Err(refused(529, "overloaded_error", None)), well()]);
    let request = Request {
        system: None,
        messages: Vec::new(),
        tools: Arc::new([]),
        max_tokens: 1_000,
        thinking_tokens: None,
        temperature: None,
        cache: crate::provider::CachePolicy::default(),
    };
    let model = ModelRef { provider: Arc::clone(&script) as Arc<dyn Provider>, model: "m".into() };
    let mut call = Models::new(&[model], Arc::new(Jitter::seeded(7))).call(Arc::new(request));
    let mut granted = [300, 700].into_iter();
    while let Some(event) = call.next().await {
        if let Ok(CallEvent::Attempt { .. }) = event {
            call.limit_output(granted.next().expect("two attempts"));
        }
    }
    assert_eq!(*script.most.lock().expect("not poisoned"), [300, 700]);
}
