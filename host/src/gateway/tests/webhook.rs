//! Webhooks over real sockets, with a driver that a test plays.

use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::HEXLOWER;
use tokio::sync::mpsc;

use super::*;
use crate::channel::webhook::{Endpoint, EndpointParts, Verifier, WebhookAnswer, WebhookCall, Webhooks, verify};
use crate::channel::{ChannelStatus, ReplayError};
use crate::runtime::bindings::channel::{self, Encoding, Hash, Verification};
use crate::runtime::bindings::types;
use crate::store::SetAside;

/// One channel, `hook`.
struct Hook(Endpoint);

impl Webhooks for Hook {
    fn endpoint(&self, channel: &str) -> Option<Endpoint> {
        (channel == "hook").then(|| self.0.clone())
    }
}

impl ChannelDirectory for Hook {
    fn channels(&self) -> Vec<ChannelStatus> {
        Vec::new()
    }

    fn replay(&self, event: SetAside) -> BoxFuture<'static, std::result::Result<(), ReplayError>> {
        future::ready(Err(ReplayError::NoChannel(event.channel))).boxed()
    }
}

const SECRET: &str = "It's a Secret to Everybody";

/// As GitHub signs, and with a challenge as Meta's.
fn signed() -> channel::Webhook {
    let hmac = channel::Hmac {
        hash: Hash::Sha256,
        secret: "secret".into(),
        header: "X-Hub-Signature-256".into(),
        prefix: "sha256=".into(),
        encoding: Encoding::Hex,
        template: "{body}".into(),
        timestamp: None,
    };
    let challenge = channel::Challenge {
        token_parameter: "hub.verify_token".into(),
        secret: "token".into(),
        echo_parameter: "hub.challenge".into(),
    };
    channel::Webhook { verification: Verification::Hmac(hmac), challenge: Some(challenge) }
}

fn shared_secret() -> channel::Webhook {
    let place = channel::Place::Header("x-token".into());
    let secret = channel::SharedSecret { secret: "token".into(), place };
    channel::Webhook { verification: Verification::SharedSecret(secret), challenge: None }
}

fn serve(webhook: &channel::Webhook, token: Option<&str>) -> Result<(Running, mpsc::Receiver<WebhookCall>)> {
    let secret = |name: &str| Some(Secret::new(if name == "token" { "t0ken-t0ken".into() } else { SECRET.into() }));
    let parts = verify::VerifierParts { secret: &secret, webhook_url: None, unsigned: false, jwks: None };
    let (calls, driver) = mpsc::channel(64);
    let endpoint = Endpoint::new(EndpointParts {
        channel: "hook".parse()?,
        verifier: Verifier::new(webhook, &parts)?,
        calls,
        webhook_url: Some("https://bot.example/hooks/1".into()),
        max_body: 64 << 10,
    });
    Ok((start_with(&config(), token, Arc::new(Hook(endpoint)))?, driver))
}

fn signature(body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("x-hub-signature-256: sha256={}\r\n", HEXLOWER.encode(ring::hmac::sign(&key, body).as_ref()))
}

impl Running {
    /// A call of the webhook. `headers` are whole lines.
    async fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Result<String> {
        let host = self.address;
        let length = body.len();
        self.http(&format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
        .await
    }

    async fn post(&self, body: &str) -> Result<String> {
        self.call("POST", "/webhook/hook", &signature(body.as_bytes()), body).await
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_platform_is_answered_when_the_driver_has_answered_and_by_its_words() -> Result {
    // The gateway's own token is no matter of the platform's.
    let (gateway, mut calls) = serve(&signed(), Some("right"))?;
    let stored = Arc::new(AtomicUsize::new(0));
    let driver = tokio::spawn({
        let stored = Arc::clone(&stored);
        async move {
            let call = calls.recv().await.ok_or("no call")?;
            tokio::task::yield_now().await;
            stored.fetch_add(1, Ordering::SeqCst);
            let headers = vec![
                types::Header { name: "content-type".into(), value: "application/json".into() },
                types::Header { name: "set-cookie".into(), value: "a=b".into() },
            ];
            let reply = types::Response { status: 202, headers, body: br#"{"ok":true}"#.to_vec() };
            let _ = call.answer.send(WebhookAnswer::Reply(Some(reply)));
            Ok::<_, &'static str>(call.request)
        }
    });
    let answer = gateway.post("Hello, World!").await?;
    assert_eq!(stored.load(Ordering::SeqCst), 1, "it was answered before");
    assert_eq!(status(&answer), 202, "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"ok\":true}") && !answer.contains("set-cookie"), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    let request = driver.await??;
    assert_eq!((request.url.as_str(), request.body.as_slice()), ("https://bot.example/hooks/1", &b"Hello, World!"[..]));
    gateway.stop().await
}

#[tokio::test]
async fn what_the_driver_says_is_a_status() -> Result {
    let (gateway, mut calls) = serve(&signed(), None)?;
    let retry_in = Duration::from_millis(1500);
    let answers = [
        (Some(WebhookAnswer::Reply(None)), 200),
        (Some(WebhookAnswer::Unsupported), 200),
        (Some(WebhookAnswer::SetAside), 200),
        (Some(WebhookAnswer::InvalidInput), 400),
        (Some(WebhookAnswer::Unavailable { retry_in }), 503),
        (None, 503),
    ];
    for (answer, expected) in answers {
        let play = async {
            let call = calls.recv().await.ok_or("no call")?;
            // A driver that ends lets the call fall.
            if let Some(answer) = answer {
                let _ = call.answer.send(answer);
            }
            Ok::<_, &'static str>(())
        };
        let (answered, played) = tokio::join!(gateway.post("{}"), play);
        played?;
        let answered = answered?;
        assert_eq!(status(&answered), expected, "{answered}");
        assert_eq!(answered.contains("retry-after: "), expected == 503, "{answered}");
        if expected == 503 {
            assert!(
                ["retry-after: 2\r\n", "retry-after: 5\r\n"].iter().any(|line| answered.contains(line)),
                "{answered}"
            );
        }
    }
    gateway.stop().await
}

#[tokio::test]
async fn every_refusal_looks_the_same_and_the_driver_hears_of_none() -> Result {
    let (gateway, mut calls) = serve(&signed(), None)?;
    let right = signature(b"{}");
    let mut seen = Vec::new();
    for headers in [
        String::new(),
        "x-hub-signature-256: sha256=\r\n".to_owned(),
        signature(b"{ }"),
        right.to_uppercase(),
        format!("{right}{right}"),
        "authorization: Bearer right\r\n".to_owned(),
        "x-hub-signature: sha1=00\r\n".to_owned(),
    ] {
        let answer = gateway.call("POST", "/webhook/hook", &headers, "{}").await?;
        assert_eq!(status(&answer), 401, "{headers}: {answer}");
        seen.push(answer.lines().filter(|line| !line.starts_with("date:")).map(str::to_owned).collect::<Vec<_>>());
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(calls.try_recv().is_err());
    gateway.stop().await
}

#[tokio::test]
async fn other_methods_and_paths_are_not_served() -> Result {
    let (gateway, mut calls) = serve(&signed(), None)?;
    let headers = signature(b"{}");
    for method in ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = gateway.call(method, "/webhook/hook", &headers, "{}").await?;
        assert!(status(&answer) == 405 && answer.contains("allow: GET, POST\r\n"), "{method}: {answer}");
    }
    for path in ["/webhook/other", "/webhook/", "/webhook", "/webhook/hook/", "/webhook/%68ook", "/webhook/HOOK"] {
        let answer = gateway.call("POST", path, &headers, "{}").await?;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
    }
    let (plain, _driver) = serve(&shared_secret(), None)?;
    let answer = plain.call("GET", "/webhook/hook", "x-token: t0ken-t0ken\r\n", "").await?;
    assert!(status(&answer) == 405 && answer.contains("allow: POST\r\n"), "{answer}");
    assert!(calls.try_recv().is_err());
    plain.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn a_challenge_is_echoed_as_plain_text_to_who_knows_the_token() -> Result {
    let (gateway, _calls) = serve(&signed(), None)?;
    let ask = |query: &'static str| gateway.get(query);
    let right = ask("/webhook/hook?hub.verify_token=t0ken-t0ken&hub.challenge=%3Cscript%3E1").await?;
    assert!(status(&right) == 200 && right.ends_with("\r\n\r\n<script>1"), "{right}");
    for header in ["content-type: text/plain; charset=utf-8\r\n", "x-content-type-options: nosniff\r\n", "sandbox"] {
        assert!(right.contains(header), "{header}: {right}");
    }
    for wrong in
        ["/webhook/hook", "/webhook/hook?hub.challenge=1", "/webhook/hook?hub.verify_token=t0ken&hub.challenge=1"]
    {
        assert_eq!(status(&ask(wrong).await?), 401, "{wrong}");
    }
    gateway.stop().await
}

#[tokio::test]
async fn the_platforms_host_is_known_and_what_a_proxy_adds_is_no_matter() -> Result {
    let (gateway, mut calls) = serve(&signed(), None)?;
    let driver = tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            let _ = call.answer.send(WebhookAnswer::Reply(None));
        }
    });
    let call = |host: &'static str, more: &'static str| {
        let head = format!("POST /webhook/hook HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 2\r\n");
        let request = format!("{head}{}{more}\r\n{{}}", signature(b"{}"));
        let gateway = &gateway;
        async move { gateway.http(&request).await }
    };
    for host in ["bot.example", "bot.example:443", "BOT.example", "127.0.0.1"] {
        let forwarded = "x-forwarded-for: 203.0.113.7\r\nforwarded: for=203.0.113.7\r\norigin: https://any.example\r\n";
        assert_eq!(status(&call(host, forwarded).await?), 200, "{host}");
    }
    for host in ["evil.example", "bot.example.evil.example", "xbot.example"] {
        assert_eq!(status(&call(host, "").await?), 403, "{host}");
    }
    // That host is the webhook's alone.
    let other = gateway.http("GET /livez HTTP/1.1\r\nhost: bot.example\r\nconnection: close\r\n\r\n").await?;
    assert_eq!(status(&other), 403);
    gateway.stop().await?;
    driver.await?;
    Ok(())
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_framed() -> Result {
    let (gateway, mut calls) = serve(&signed(), None)?;
    let head = format!("POST /webhook/hook HTTP/1.1\r\nhost: {}\r\n{}", gateway.address, signature(b"x"));
    // Announced, and not sent.
    let announced = gateway.http(&format!("{head}content-length: 65537\r\n\r\n")).await?;
    assert!(status(&announced) == 413 && announced.contains("65536"), "{announced}");
    // In chunks, each of them small.
    let chunk = format!("400\r\n{}\r\n", "a".repeat(1024));
    let chunked = gateway.http(&format!("{head}transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(65))).await?;
    assert_eq!(status(&chunked), 413, "{chunked}");
    assert!(calls.try_recv().is_err());
    gateway.stop().await
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_call() -> Result {
    let (gateway, mut calls) = serve(&signed(), None)?;
    let mut stream = TcpStream::connect(gateway.address).await?;
    let head = format!("POST /webhook/hook HTTP/1.1\r\nhost: {}\r\n{}", gateway.address, signature(b"{}"));
    stream.write_all(format!("{head}content-length: 3\r\n\r\n{{}}").as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await??;
    assert!(answer.is_empty() || status(&answer) == 400, "{answer}");
    assert!(calls.try_recv().is_err());
    gateway.stop().await
}

#[tokio::test]
async fn a_wrong_secret_is_refused_before_the_body_is_asked_for() -> Result {
    let (gateway, mut calls) = serve(&shared_secret(), None)?;
    let head = |token: &str| {
        format!(
            "POST /webhook/hook HTTP/1.1\r\nhost: {}\r\nexpect: 100-continue\r\ncontent-length: 2\r\nx-token: {token}\r\n\
             connection: close\r\n\r\n",
            gateway.address
        )
    };
    // The body is never sent, and the answer comes all the same.
    let refused = gateway.http(&head("wrong")).await?;
    assert_eq!(status(&refused), 401, "{refused}");
    let mut stream = TcpStream::connect(gateway.address).await?;
    stream.write_all(head("t0ken-t0ken").as_bytes()).await?;
    let mut asked = [0; 12];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut asked)).await??;
    assert_eq!(&asked, b"HTTP/1.1 100");
    stream.write_all(b"{}").await?;
    let call = calls.recv().await.ok_or("no call")?;
    assert!(!format!("{:?}", call.request).contains("t0ken"), "{:?}", call.request);
    gateway.stop().await
}

#[tokio::test]
async fn a_hundred_calls_at_once_are_all_answered_and_a_bounded_number_waits() -> Result {
    let (gateway, mut calls) = serve(&signed(), None)?;
    let most = Arc::new(AtomicUsize::new(0));
    let driver = tokio::spawn({
        let most = Arc::clone(&most);
        async move {
            let mut heard = 0;
            while let Some(call) = calls.recv().await {
                most.fetch_max(calls.len() + 1, Ordering::SeqCst);
                heard += 1;
                let _ = call.answer.send(WebhookAnswer::Reply(None));
            }
            heard
        }
    });
    let bodies: Vec<String> = (0..100).map(|n| format!("{{\"n\":{n}}}")).collect();
    let answers = future::join_all(bodies.iter().map(|body| gateway.post(body))).await;
    for answer in answers {
        assert_eq!(status(&answer?), 200);
    }
    assert!(most.load(Ordering::SeqCst) <= 64);
    gateway.stop().await?;
    assert_eq!(driver.await?, 100);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_goes_down_takes_no_calls() -> Result {
    let (gateway, mut calls) = serve(&signed(), None)?;
    gateway.readiness.drain();
    let answer = gateway.post("{}").await?;
    assert!(status(&answer) == 503 && answer.contains("retry-after: 5\r\n"), "{answer}");
    assert!(calls.try_recv().is_err());
    gateway.stop().await
}
