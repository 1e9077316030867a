//! What channels cost, on the real binary: from a webhook's call to its commit, how many calls a second with their
//! signatures verified, and a thousand conversations at once through one channel. Figures are to be read
//! beside one another, within one run.
#![allow(missing_docs, clippy::expect_used)]

#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;
#[path = "../../tests/e2e/platform/mod.rs"]
mod platform;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use harness::{FakeProvider, Gateway, Reply, Request, Wire};
use platform::whatsapp::APP_SECRET;
use platform::{Scheme, Telegram, WhatsApp, hmac_sha256, trusting};

/// Calls of which each is timed.
const TIMED: usize = 2_000;

/// Connections that call at once.
const AT_ONCE: usize = 64;

/// How long calls are counted.
const COUNTED: Duration = Duration::from_secs(3);

/// Conversations at once.
const CONVERSATIONS: usize = 1_000;

/// A connection that is kept.
struct Caller(SendRequest<Full<Bytes>>, SocketAddr);

impl Caller {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a live socket");
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        Self(sender, address)
    }

    async fn call(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) {
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", self.1.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        self.0.ready().await.expect("a connection that is kept");
        let response = self.0.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("a whole body");
    }
}

/// A signed call of WhatsApp's: its headers and its body.
struct Signed(String, Bytes);

impl Signed {
    fn new(whatsapp: &WhatsApp, from: &str, text: &str) -> Self {
        let message = whatsapp.message(from, json!({"type": "text", "text": {"body": text}}));
        let body = whatsapp.callback(from, vec![message]).to_string();
        Self(format!("sha256={}", hmac_sha256(APP_SECRET, body.as_bytes())), Bytes::from(body))
    }

    async fn send(&self, caller: &mut Caller) {
        let headers = [("content-type", "application/json"), ("x-hub-signature-256", self.0.as_str())];
        caller.call("POST", "/webhook/whatsapp", &headers, self.1.clone()).await;
    }
}

async fn model() -> FakeProvider {
    FakeProvider::start(Wire::Anthropic, |request: &Request| Reply::text(format!("You said: {}", request.question())))
        .await
}

/// From the call of a webhook to its answer, which comes after the commit; and how many of them in a second.
async fn webhooks(durability: &str) {
    let (whatsapp, provider) = (WhatsApp::start(Scheme::Plain).await, model().await);
    // Nobody may write: of a message its id is stored, and no turn follows that would be measured, too.
    let nobody = whatsapp.channel_table().table("direct = \"off\"");
    let storage = format!("[storage]\ndurability = {durability:?}\n[limits.plugin]\nrate = 10000000\n");
    let gateway = nobody.on(Gateway::builder().provider(&provider).tables(&storage)).start().await;
    let mut caller = Caller::connect(gateway.address()).await;
    let mut times = Vec::new();
    for number in 0..TIMED {
        let call = Signed::new(&whatsapp, "4915100000001", &format!("m{number}"));
        let begun = Instant::now();
        call.send(&mut caller).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!(
        "webhook to commit, {durability}: {:?} in the median, {:?} at the 99th percentile",
        times[TIMED / 2],
        times[TIMED * 99 / 100]
    );
    let (address, whatsapp) = (gateway.address(), &whatsapp);
    let verified = rate(address, async |caller| Signed::new(whatsapp, "4915100000001", "x").send(caller).await).await;
    let bare = rate(address, async |caller| caller.call("GET", "/livez", &[], Bytes::new()).await).await;
    println!(
        "webhooks over {AT_ONCE} connections, {durability}: {verified:.0} a second, verified and stored; {:.2} of \
         `/livez`, which has {bare:.0}",
        verified / bare
    );
}

/// How many of these are done in a second, over several connections.
async fn rate(address: SocketAddr, call: impl AsyncFn(&mut Caller)) -> f64 {
    let end = Instant::now() + COUNTED;
    let counts = join_all((0..AT_ONCE).map(|_| async {
        let mut caller = Caller::connect(address).await;
        let mut count = 0_u64;
        while Instant::now() < end {
            call(&mut caller).await;
            count += 1;
        }
        count
    }));
    counts.await.into_iter().sum::<u64>() as f64 / COUNTED.as_secs_f64()
}

/// As many conversations at once, from a message of each to the answer in each.
async fn conversations() {
    let (telegram, provider) = (Telegram::start(Scheme::Plain).await, model().await);
    let limits = "[limits.plugin]\nrate = 10000000\n";
    let builder = trusting(Gateway::builder().provider(&provider)).tables(limits);
    let _gateway = telegram.polled().on(builder).start().await;
    let people: Vec<_> = (0..CONVERSATIONS).map(|number| telegram.private(&format!("Person {number}"))).collect();
    // One first, so that what is done once is done.
    telegram.says(&people[0].0, &people[0].1, "at first");
    telegram.shown(&people[0].0, "You said: at first").await;
    let begun = Instant::now();
    for (chat, user) in &people {
        telegram.says(chat, user, "hello");
    }
    telegram.messages().until("all are answered", |shown| shown.len() > CONVERSATIONS).await;
    let took = begun.elapsed();
    let rate = CONVERSATIONS as f64 / took.as_secs_f64();
    println!("{CONVERSATIONS} conversations at once through one channel: {took:?}, {rate:.0} answers a second");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        // `cargo test --benches` only asks whether it starts.
        if !std::env::args().any(|argument| argument == "--bench") {
            return;
        }
        for durability in ["power", "process"] {
            webhooks(durability).await;
        }
        conversations().await;
    });
}
