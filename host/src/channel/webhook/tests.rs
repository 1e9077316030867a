//! A webhook without sockets: what the driver gets, and when; time stands where a test puts it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body_util::Full;
use hyper::Request;
use hyper::body::{Body, Frame, SizeHint};
use hyper::http::request::Parts;
use tokio::sync::mpsc;

use super::verify::VerifierParts;
use super::*;
use crate::runtime::bindings::channel::{self, Encoding, Hash, Place, Verification};
use crate::secrets::Secret;
use crate::store::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const MAX: usize = 1 << 20;

fn signed() -> Verification {
    Verification::Hmac(channel::Hmac {
        hash: Hash::Sha256,
        secret: "key".into(),
        header: "x-signature".into(),
        prefix: "v0=".into(),
        encoding: Encoding::Hex,
        template: "v0:{header:x-time}:{body}".into(),
        timestamp: Some(channel::SignedTimestamp { header: "x-time".into(), tolerance_seconds: 300 }),
    })
}

fn parts(verification: Verification, calls: mpsc::Sender<WebhookCall>) -> EndpointParts {
    let secret = |_: &str| Some(Secret::new("a-long-secret".into()));
    let url = "https://bot.example/webhook/slack";
    let with = VerifierParts { secret: &secret, webhook_url: Some(url), unsigned: true, jwks: None };
    let webhook = channel::Webhook { verification, challenge: None };
    EndpointParts {
        channel: "slack".parse().expect("a name"),
        verifier: Verifier::new(&webhook, &with).expect("a verifier"),
        calls,
        webhook_url: Some(url.into()),
        max_body: MAX,
    }
}

fn endpoint(verification: Verification) -> (Endpoint, mpsc::Receiver<WebhookCall>) {
    let (calls, driver) = mpsc::channel(64);
    (Endpoint::new(parts(verification, calls)), driver)
}

fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::post(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

/// A call that is signed now.
fn call(body: &str) -> Parts {
    let seconds = NOW.0 / 1000;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"a-long-secret");
    let tag = ring::hmac::sign(&key, format!("v0:{seconds}:{body}").as_bytes());
    let signature = format!("v0={}", HEXLOWER.encode(tag.as_ref()));
    head("/webhook/slack", &[("x-time", &seconds.to_string()), ("x-signature", &signature)])
}

async fn send(endpoint: &Endpoint, head: &Parts, body: &str) -> Outcome {
    endpoint.receive(head, Full::new(Bytes::copy_from_slice(body.as_bytes())), MAX, NOW).await
}

/// Answers calls one after the other, and returns how many there were.
async fn driver(mut calls: mpsc::Receiver<WebhookCall>, answers: Vec<WebhookAnswer>) -> usize {
    let mut heard = 0;
    let mut answers = answers.into_iter();
    while let Some(call) = calls.recv().await {
        heard += 1;
        if let Some(answer) = answers.next() {
            let _ = call.answer.send(answer);
        }
    }
    heard
}

/// A body that begins, and does not end.
struct Endless(Option<Bytes>);

impl Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        self.0.take().map_or(Poll::Pending, |data| Poll::Ready(Some(Ok(Frame::data(data)))))
    }
}

/// A body that says what it has, and must not be read.
struct Announced(u64);

impl Body for Announced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        panic!("it was read")
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_used_signature_is_answered_and_not_heard_again() {
    let (endpoint, calls) = endpoint(signed());
    let reply = types::Response { status: 202, headers: Vec::new(), body: b"taken".to_vec() };
    let driver = tokio::spawn(driver(calls, vec![WebhookAnswer::Reply(Some(reply.clone()))]));
    assert_eq!(send(&endpoint, &call("one"), "one").await, Outcome::Done(Some(reply)));
    assert_eq!(send(&endpoint, &call("one"), "one").await, Outcome::Done(None));
    // Its channel is configured anew, and the signature stays used.
    let (calls, _driver) = mpsc::channel(1);
    let changed = endpoint.changed(parts(signed(), calls));
    assert_eq!(send(&changed, &call("one"), "one").await, Outcome::Done(None));
    let reading = changed.reading();
    assert_eq!((reading.taken, reading.replays), (1, 2));
    drop((endpoint, changed));
    assert_eq!(driver.await.expect("it ends"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_to_come_again_may_come_again_with_the_same_signature() {
    let (endpoint, calls) = endpoint(signed());
    let not_now = WebhookAnswer::Unavailable { retry_in: Duration::from_secs(7) };
    let answers = vec![not_now, WebhookAnswer::InvalidInput, WebhookAnswer::SetAside];
    let driver = tokio::spawn(driver(calls, answers));
    let outcomes = [
        Outcome::Unavailable { retry_in: Duration::from_secs(7) },
        Outcome::Malformed,
        Outcome::Done(None),
        Outcome::Done(None),
    ];
    for outcome in outcomes {
        assert_eq!(send(&endpoint, &call("one"), "one").await, outcome);
    }
    drop(endpoint);
    assert_eq!(driver.await.expect("it ends"), 3, "the fourth is a replay");
}

#[tokio::test(start_paused = true)]
async fn the_same_signature_twice_at_once_is_heard_once() {
    let (endpoint, mut calls) = endpoint(signed());
    let head = call("one");
    let first = tokio::spawn({
        let (endpoint, head) = (endpoint.clone(), head.clone());
        async move { send(&endpoint, &head, "one").await }
    });
    let heard = calls.recv().await.expect("a call");
    assert!(matches!(send(&endpoint, &head, "one").await, Outcome::Unavailable { .. }));
    heard.answer.send(WebhookAnswer::Unsupported).expect("somebody waits");
    assert_eq!(first.await.expect("an outcome"), Outcome::Done(None));
    assert!(calls.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_given_up_and_one_that_is_too_large_not_read() {
    let (endpoint, _calls) = endpoint(signed());
    let begun = Endless(Some(Bytes::from_static(b"begun")));
    assert_eq!(endpoint.receive(&call("x"), begun, MAX, NOW).await, Outcome::TooSlow);
    let announced = Announced(MAX as u64 + 1);
    assert_eq!(endpoint.receive(&call("x"), announced, MAX, NOW).await, Outcome::TooLarge { limit: MAX });
    // The gateway's own limit counts too, also where nothing was announced.
    let large = Endless(Some(Bytes::from_static(b"eleven bytes")));
    assert_eq!(endpoint.receive(&call("x"), large, 10, NOW).await, Outcome::TooLarge { limit: 10 });
    assert_eq!(endpoint.reading().malformed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_refused_before_the_body_is_read() {
    let shared = |place| Verification::SharedSecret(channel::SharedSecret { secret: "key".into(), place });
    let (endpoint, _calls) = endpoint(shared(Place::Header("x-token".into())));
    for headers in [&[("x-token", "wrong")][..], &[], &[("x-token", "a-long-secret"), ("x-token", "a-long-secret")]] {
        let refused = endpoint.receive(&head("/webhook/x", headers), Announced(1), MAX, NOW).await;
        assert_eq!(refused, Outcome::Refused, "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_channel_is_given_the_call_without_what_lets_it_in() {
    let shared = |place| Verification::SharedSecret(channel::SharedSecret { secret: "key".into(), place });
    for (place, uri, header) in [
        (Place::Header("x-token".into()), "/webhook/slack?a=1", ("x-token", "a-long-secret")),
        (Place::Query("key".into()), "/webhook/slack?key=a-long-secret&a=1", ("authorization", "a-long-secret")),
    ] {
        let (endpoint, mut calls) = endpoint(shared(place));
        let head = head(uri, &[header, ("content-type", "application/json")]);
        let sent = tokio::spawn(async move { send(&endpoint, &head, "{}").await });
        let WebhookCall { request, answer } = calls.recv().await.expect("a call");
        assert!(!format!("{request:?}").contains("a-long-secret"), "{request:?}");
        assert_eq!(request.url, "https://bot.example/webhook/slack?a=1");
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", &b"{}"[..]));
        let content_type = request.headers.iter().any(|header| header.name == "content-type");
        assert!(content_type, "{request:?}");
        answer.send(WebhookAnswer::Reply(None)).expect("somebody waits");
        assert_eq!(sent.await.expect("an outcome"), Outcome::Done(None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_web_page_does_not_call_a_webhook_that_nobody_signs() {
    let (endpoint, calls) = endpoint(Verification::None);
    let driver = tokio::spawn(driver(calls, vec![WebhookAnswer::Reply(None)]));
    let page = head("/webhook/x", &[("origin", "https://evil.example")]);
    assert_eq!(send(&endpoint, &page, "{}").await, Outcome::Refused);
    assert_eq!(send(&endpoint, &head("/webhook/x", &[]), "{}").await, Outcome::Done(None));
    drop(endpoint);
    assert_eq!(driver.await.expect("it ends"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_gone_or_silent_is_no_answer() {
    let (endpoint, mut calls) = endpoint(signed());
    // It lets the call fall, it says nothing, and it is no longer there.
    let fallen = tokio::spawn({
        let endpoint = endpoint.clone();
        async move { send(&endpoint, &call("a"), "a").await }
    });
    drop(calls.recv().await.expect("a call"));
    assert!(matches!(fallen.await.expect("an outcome"), Outcome::Unavailable { .. }));
    assert!(matches!(send(&endpoint, &call("b"), "b").await, Outcome::Unavailable { .. }));
    drop(calls);
    assert!(matches!(send(&endpoint, &call("c"), "c").await, Outcome::Unavailable { .. }));
    assert_eq!(endpoint.reading().unavailable, 3);
}
