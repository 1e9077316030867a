//! Providers over real sockets, and what their decoders' tests share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use proptest::prelude::{Strategy, any};

use super::stream::{Decode, DecodeError, Flow};
use super::*;
use crate::config::{Config, ModelName, NetConfig, ProviderConfig, ProviderKind};
use crate::net::testing::{Reply, Server};
use crate::net::{Client, sse};
use crate::secrets::Secret;
use crate::store::Role;

pub(super) const ANTHROPIC: &[u8] = include_bytes!("fixtures/anthropic.sse");
pub(super) const OPENAI: &[u8] = include_bytes!("fixtures/openai.sse");

/// What a decoder makes of a stream: its events, and how it ended.
pub(super) fn decode<'a, D: Decode>(
    mut decoder: D,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, Result<StopReason, DecodeError>) {
    let mut sse = sse::Decoder::new(1 << 16);
    let mut out = VecDeque::new();
    let mut end = None;
    'stream: for mut piece in pieces {
        while let Some(event) = sse.next(&mut piece).expect("within the limit") {
            match decoder.event(event, &mut out) {
                Ok(Flow::Continue) => continue,
                Ok(Flow::Stopped(reason)) => end = Some(Ok(reason)),
                Err(error) => end = Some(Err(error)),
            }
            break 'stream;
        }
    }
    (out.iter().map(|event| format!("{event:?}")).collect(), end.unwrap_or_else(|| decoder.end()))
}

/// Holds a decoder to one meaning at every split in two, and byte by byte.
pub(super) fn at_every_split<D: Decode>(stream: &[u8], decoder: impl Fn() -> D) {
    let whole = decode(decoder(), [stream]);
    assert_eq!(decode(decoder(), stream.chunks(1)), whole);
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(decode(decoder(), [head, tail]), whole, "split at {at}");
    }
}

/// Holds a decoder to giving out no more of a cut stream than of the whole one, and to failing
/// wherever it was cut before `enough`.
pub(super) fn cut_anywhere<D: Decode>(stream: &[u8], decoder: impl Fn() -> D, enough: usize) {
    let (whole, _) = decode(decoder(), [stream]);
    for at in 0..stream.len() {
        let (events, end) = decode(decoder(), [&stream[..at]]);
        assert_eq!(events, whole[..events.len()], "cut at {at}");
        assert!(end.is_err() || at > enough, "cut at {at}: {end:?}");
    }
}

/// Anthropic's first event, whole, and half of the next.
fn beginning() -> &'static [u8] {
    let first = ANTHROPIC.windows(2).position(|bytes| bytes == b"\n\n").expect("an event");
    &ANTHROPIC[..first + 20]
}

/// Streams with a hole and some noise in it.
pub(super) fn damaged(stream: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let noise = proptest::collection::vec(any::<u8>(), 0..8);
    (any::<proptest::sample::Index>(), 0_usize..200, noise).prop_map(move |(at, lost, noise)| {
        let (head, tail) = stream.split_at(at.index(stream.len()));
        [head, &noise, &tail[lost.min(tail.len())..]].concat()
    })
}

fn request() -> Request {
    Request {
        system: None,
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::new([]),
        max_tokens: 100,
        thinking_tokens: None,
        temperature: None,
        cache: CachePolicy::default(),
    }
}

/// One model of a provider of each kind at `server`.
fn model(kind: ProviderKind, server: &Server, change: impl FnOnce(&mut ProviderConfig)) -> ModelRef {
    let mut table = ProviderConfig { base_url: server.base_url(), ..ProviderConfig::of(kind) };
    change(&mut table);
    let mut config = Config::default();
    config.providers.insert("test".into(), table);
    let client = Client::new(&NetConfig::default()).expect("a client");
    let key = |_: &str, _: &ProviderConfig| Some(Secret::new("sk-secret".into()));
    let providers = Providers::from_config(&config, &client, key).expect("providers");
    let name = ModelName { provider: "test".into(), model: "m".into() };
    providers.resolve(&[name]).expect("a model").remove(0)
}

async fn answer(model: &ModelRef) -> (Vec<String>, Option<ProviderError>) {
    let mut events = Vec::new();
    let mut stream = match model.provider.open(&model.model, &request()).await {
        Ok(stream) => stream,
        Err(error) => return (events, Some(error)),
    };
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => events.push(format!("{event:?}")),
            Err(error) => return (events, Some(error)),
        }
    }
    (events, None)
}

#[tokio::test]
async fn a_stream_that_comes_byte_by_byte_is_read_whole_and_its_connection_used_again() {
    for (kind, stream, path) in [
        (ProviderKind::Anthropic, ANTHROPIC, "POST /v1/messages HTTP/1.1"),
        (ProviderKind::OpenAi, OPENAI, "POST /chat/completions HTTP/1.1"),
    ] {
        let server = Server::start([Reply::events(stream, usize::MAX), Reply::events(stream, 1)]).await;
        let model = model(kind, &server, |_| {});
        let whole = answer(&model).await;
        assert!(whole.1.is_none() && whole.0.last().is_some_and(|last| last == "Stopped(ToolUse)"), "{whole:?}");
        let bytes = answer(&model).await;
        assert_eq!(bytes.0, whole.0);
        let requests = server.requests();
        assert_eq!(requests.iter().map(|request| request.connection).collect::<Vec<_>>(), [0, 0]);
        assert_eq!(requests[0].line, path);
        assert_eq!(requests[0].json()["stream"], true);
    }
}

#[tokio::test]
async fn each_wire_carries_its_key_in_its_own_header() {
    let replies = || [Reply::events(ANTHROPIC, usize::MAX)];
    let server = Server::start(replies()).await;
    answer(&model(ProviderKind::Anthropic, &server, |_| {})).await;
    let sent = server.requests().remove(0);
    assert_eq!(sent.header("x-api-key"), Some("sk-secret"));
    assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(sent.header("authorization"), None);

    let server = Server::start(replies()).await;
    answer(&model(ProviderKind::OpenAi, &server, |_| {})).await;
    let sent = server.requests().remove(0);
    assert_eq!(sent.header("authorization"), Some("Bearer sk-secret"));
    assert_eq!(sent.header("x-api-key"), None);
}

#[tokio::test]
async fn a_missing_key_names_the_variable_and_the_file_and_an_unneeded_one_is_not_missed() {
    let server = Server::start([Reply::events(OPENAI, usize::MAX)]).await;
    let client = Client::new(&NetConfig::default()).expect("a client");
    let mut config = Config::default();
    let local = ProviderConfig {
        base_url: server.base_url(),
        api_key_env: String::new(),
        ..ProviderConfig::of(ProviderKind::OpenAi)
    };
    config.providers.insert("local".into(), local);
    let providers = Providers::from_config(&config, &client, |_, _| None).expect("providers");
    let names = ["anthropic", "local"].map(|provider| ModelName { provider: provider.into(), model: "m".into() });
    let models = providers.resolve(&names).expect("models");

    let (_, error) = answer(&models[0]).await;
    let error = error.expect("no key");
    let text = error.to_string();
    assert!(text.contains("ANTHROPIC_API_KEY") && text.contains("~/.exoclaw/credentials/anthropic.key"), "{text}");
    assert!(!error.retryable() && error.allows_fallback());

    assert!(answer(&models[1]).await.1.is_none());
    assert_eq!(server.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_kind_its_request_and_its_wait_but_without_the_key() {
    let body =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"sk-secret is tired"},"request_id":"req_9"}"#;
    let server = Server::start([Reply::whole(529, &[("retry-after", "3")], body)]).await;
    let error = answer(&model(ProviderKind::Anthropic, &server, |_| {})).await.1.expect("refused");
    let text = error.to_string();
    assert_eq!(text, "test: the service answered 529 (overloaded_error): [key] is tired [request req_9]");
    assert!(error.retryable());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn an_answer_that_is_no_event_stream_is_no_answer() {
    let page = Reply::whole(200, &[("content-type", "text/html")], "<!DOCTYPE html><title>Sign in</title>");
    let server = Server::start([page, Reply::whole(302, &[("location", "https://x.example")], "")]).await;
    let model = model(ProviderKind::OpenAi, &server, |_| {});
    let error = answer(&model).await.1.expect("a login page");
    assert!(error.to_string().contains("`text/html`") && error.to_string().contains("base_url"), "{error}");
    let error = answer(&model).await.1.expect("a redirect");
    assert!(error.to_string().contains("302"), "{error}");
}

#[tokio::test]
async fn a_stream_that_breaks_or_ends_early_is_an_error_after_what_it_showed() {
    for (kind, stream) in [(ProviderKind::Anthropic, ANTHROPIC), (ProviderKind::OpenAi, OPENAI)] {
        // Everything up to and with the last blank line but some, so that the end is missing.
        let text = String::from_utf8_lossy(stream);
        let end = text.find("\n\n: keep-alive").or_else(|| {
            text.find("\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":3}")
        });
        let early = &stream[..end.expect("a place") + 2];
        let server = Server::start([Reply::events(early, 7), Reply::events(early, 7).cut()]).await;
        let model = model(kind, &server, |_| {});
        for how in ["ended", "broke"] {
            let (events, error) = answer(&model).await;
            assert!(matches!(error, Some(ProviderError::Cut { .. })), "{how}: {error:?}");
            assert!(events.iter().any(|event| event.contains("🦀")));
            assert!(!events.iter().any(|event| event.contains("ToolUse") || event.contains("Stopped")), "{events:?}");
        }
    }
}

#[tokio::test]
async fn silence_has_a_deadline_before_the_answer_and_within_it() {
    let server = Server::start([Reply::silence(), Reply::events(beginning(), usize::MAX).hang()]).await;
    let model = model(ProviderKind::Anthropic, &server, |table| table.idle_timeout = Duration::from_millis(20));
    let phases = [answer(&model).await.1, answer(&model).await.1].map(|error| error.and_then(|error| error.timeout()));
    use crate::net::TimeoutPhase::{Idle, Response};
    assert_eq!(phases, [Some(Response), Some(Idle)]);
}

#[tokio::test]
async fn dropping_a_stream_closes_its_connection() {
    let server = Server::start([Reply::events(beginning(), usize::MAX).hang()]).await;
    let models = Models::new(&[model(ProviderKind::Anthropic, &server, |_| {})], Arc::new(Jitter::seeded(1)));
    let mut call = models.call(Arc::new(request()));
    assert!(matches!(call.next().await, Some(Ok(CallEvent::Attempt { .. }))));
    assert!(matches!(call.next().await, Some(Ok(CallEvent::Event(StreamEvent::Started { .. })))));
    drop(call);
    server.hung_up().await;
}

#[tokio::test]
async fn an_overloaded_service_is_asked_again_when_it_said() {
    let overloaded = Reply::whole(529, &[("retry-after-ms", "1")], "{}");
    let server = Server::start([overloaded.clone(), overloaded, Reply::events(ANTHROPIC, 64)]).await;
    let models = Models::new(&[model(ProviderKind::Anthropic, &server, |_| {})], Arc::new(Jitter::seeded(1)));
    let events: Vec<_> = models.call(Arc::new(request())).collect().await;
    let failures = events.iter().filter(|event| matches!(event, Ok(CallEvent::Failed { .. }))).count();
    assert_eq!(failures, 2);
    assert!(matches!(events.last(), Some(Ok(CallEvent::Event(StreamEvent::Stopped(StopReason::ToolUse))))));
}
