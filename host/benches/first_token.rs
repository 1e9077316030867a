//! What the gateway adds to a model's first token: a message over WebSocket through the whole
//! gateway, beside a bare hyper client of a scripted server, interleaved in one process. The gateway is
//! there three times: it keeps what it has in memory, in a file that outlives the process, and in one
//! that outlives the loss of power.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use exoclaw::provider::scripted::ScriptedModel;
use exoclaw::store::sqlite::Durability;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Rounds that the medians are taken of.
const ROUNDS: usize = 1_000;

/// The ways to the same model: by hand, and through gateways on stores of several kinds.
struct Bench {
    url: String,
    bare: legacy::Client<HttpConnector, Full<Bytes>>,
    gateways: [Gateway; 3],
    _folders: [TempDir; 2],
}

/// A connection to a gateway.
struct Gateway {
    store: &'static str,
    model: ScriptedModel,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    sent: u64,
}

impl Gateway {
    async fn new(store: &'static str, (model, address): (ScriptedModel, SocketAddr)) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async_with_config(format!("ws://{address}/ws"), None, true)
            .await
            .expect("the gateway");
        Self { store, model, socket, sent: 0 }
    }

    /// From `chat.send` to the first `text` event.
    async fn first(&mut self) -> Duration {
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

impl Bench {
    async fn new() -> Self {
        let folders = [support::folder(), support::folder()];
        let process = support::in_file(folders[0].path(), Durability::Process);
        let power = support::in_file(folders[1].path(), Durability::Power);
        let gateways = [
            Gateway::new("memory", support::scripted().await).await,
            Gateway::new("SQLite, process", support::scripted_on(process).await).await,
            Gateway::new("SQLite, power", support::scripted_on(power).await).await,
        ];
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let bare = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { url: format!("{}/v1/messages", gateways[0].model.base_url()), bare, gateways, _folders: folders }
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
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn first_token(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut bench = runtime.block_on(Bench::new());

    for index in 0..bench.gateways.len() {
        // Each beside a bare client of its own: what one gateway's disk does slows down the next client, whoever it is.
        let (mut bare, mut through) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS + ROUNDS / 10 {
            runtime.block_on(async {
                let pair = (bench.bare().await, bench.gateways[index].first().await);
                // The first tenth warms up.
                if round >= ROUNDS / 10 {
                    bare.push(pair.0);
                    through.push(pair.1);
                }
            });
        }
        let (bare, through, store) = (median(bare), median(through), bench.gateways[index].store);
        let added = through.saturating_sub(bare);
        println!("first token, medians of {ROUNDS}, {store}: bare {bare:?}, gateway {through:?}, added {added:?}");
    }

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
    for gateway in &mut bench.gateways {
        group.bench_function(format!("through the gateway ({})", gateway.store), |bencher| {
            bencher.iter_custom(|count| {
                runtime.block_on(async {
                    let mut total = Duration::ZERO;
                    for _ in 0..count {
                        total += gateway.first().await;
                    }
                    total
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, first_token);
criterion_main!(benches);
