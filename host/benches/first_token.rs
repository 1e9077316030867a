//! What the gateway adds to a model's first token: a message over WebSocket through the whole
//! gateway, beside a bare hyper client of the same scripted server, interleaved in one process.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use exoclaw::provider::scripted::ScriptedModel;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Pairs that the median is taken of.
const PAIRS: usize = 1_000;

/// Both ways to the same model.
struct Bench {
    _model: ScriptedModel,
    url: String,
    bare: legacy::Client<HttpConnector, Full<Bytes>>,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    sent: u64,
}

impl Bench {
    async fn new() -> Self {
        let (model, address) = support::scripted().await;
        let (socket, _) = tokio_tungstenite::connect_async_with_config(format!("ws://{address}/ws"), None, true)
            .await
            .expect("the gateway");
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let bare = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { url: format!("{}/v1/messages", model.base_url()), _model: model, bare, socket, sent: 0 }
    }

    /// From the request to the first delta of text, by a client that does nothing else.
    async fn bare(&mut self) -> Duration {
        let body = json!({
            "model": "scripted-1", "max_tokens": 4096, "stream": true,
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hello" }] }],
        });
        let request = hyper::Request::post(&self.url)
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .body(Full::from(body.to_string()))
            .expect("a request");
        let start = Instant::now();
        let mut response = self.bare.request(request).await.expect("an answer").into_body();
        let mut first = None;
        while let Some(frame) = response.frame().await {
            let frame = frame.expect("a frame");
            let has = |data: &Bytes| data.windows(10).any(|window| window == b"text_delta");
            if first.is_none() && frame.data_ref().is_some_and(has) {
                first = Some(start.elapsed());
            }
        }
        first.expect("a text")
    }

    /// From `chat.send` to the first `text` event.
    async fn gateway(&mut self) -> Duration {
        self.sent += 1;
        let params = json!({ "content": "Hello", "peer": format!("peer-{}", self.sent) });
        let request = json!({ "jsonrpc": "2.0", "id": self.sent, "method": "chat.send", "params": params });
        let request = Message::text(request.to_string());
        let start = Instant::now();
        self.socket.send(request).await.expect("sent");
        let mut first = None;
        while let Some(message) = self.socket.next().await {
            let message = message.expect("a message").into_text().expect("text");
            if first.is_none() && message.contains(r#""type":"text""#) {
                first = Some(start.elapsed());
            }
            if message.contains(r#""type":"done""#) {
                break;
            }
        }
        first.expect("a text")
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn first_token(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut bench = runtime.block_on(Bench::new());

    let (mut bare, mut gateway) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS + PAIRS / 10 {
        let times = runtime.block_on(async { (bench.bare().await, bench.gateway().await) });
        // The first tenth warms up.
        if pair >= PAIRS / 10 {
            bare.push(times.0);
            gateway.push(times.1);
        }
    }
    let (bare, gateway) = (median(bare), median(gateway));
    println!(
        "first token, median of {PAIRS}: bare {bare:?}, gateway {gateway:?}, added {:?}",
        gateway.saturating_sub(bare)
    );

    let mut group = criterion.benchmark_group("first_token");
    group.sample_size(20);
    group.bench_function("bare hyper client", |bencher| {
        bencher.iter_custom(|count| {
            runtime.block_on(async {
                let mut total = Duration::ZERO;
                for _ in 0..count {
                    total += bench.bare().await;
                }
                total
            })
        });
    });
    group.bench_function("through the gateway", |bencher| {
        bencher.iter_custom(|count| {
            runtime.block_on(async {
                let mut total = Duration::ZERO;
                for _ in 0..count {
                    total += bench.gateway().await;
                }
                total
            })
        });
    });
    group.finish();
}

criterion_group!(benches, first_token);
criterion_main!(benches);
