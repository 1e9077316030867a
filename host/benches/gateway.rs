//! `ping` through the gateway, beside a bare tungstenite server that echoes: the same client, the
//! same process, the same bytes. DESIGN §9 asks for at least 0.8 of its rate.
#![allow(missing_docs, clippy::expect_used)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

const PING: Utf8Bytes = Utf8Bytes::from_static(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);

/// Requests that are on their way at once, in the case that is named after it.
const PIPELINE: u64 = 64;

/// Connections, in the case that is named after them.
const CONNECTIONS: u64 = 64;

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("an open socket");
            tokio::spawn(async move {
                let mut socket = accept_async(stream).await.expect("a handshake");
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() && socket.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a server");
        stream.set_nodelay(true).expect("an open socket");
        Self(client_async(format!("ws://{address}/ws"), stream).await.expect("a handshake").0)
    }

    async fn receive(&mut self) {
        while !self.0.next().await.expect("an answer").expect("an answer").is_text() {}
    }

    async fn sequential(&mut self, count: u64) {
        for _ in 0..count {
            self.0.send(Message::Text(PING)).await.expect("an open socket");
            self.receive().await;
        }
    }

    async fn pipelined(&mut self, rounds: u64) {
        for _ in 0..rounds {
            for _ in 0..PIPELINE {
                self.0.feed(Message::Text(PING)).await.expect("an open socket");
            }
            self.0.flush().await.expect("an open socket");
            for _ in 0..PIPELINE {
                self.receive().await;
            }
        }
    }
}

async fn sequential(address: SocketAddr, count: u64) -> Duration {
    let mut client = Client::connect(address).await;
    client.sequential(100).await;
    let start = Instant::now();
    client.sequential(count).await;
    start.elapsed()
}

async fn pipelined(address: SocketAddr, rounds: u64) -> Duration {
    let mut client = Client::connect(address).await;
    client.pipelined(10).await;
    let start = Instant::now();
    client.pipelined(rounds).await;
    start.elapsed()
}

async fn side_by_side(address: SocketAddr, rounds: u64) -> Duration {
    let mut clients = join_all((0..CONNECTIONS).map(|_| Client::connect(address))).await;
    let start = Instant::now();
    let tasks = clients.drain(..).map(|mut client| tokio::spawn(async move { client.sequential(rounds).await }));
    for ended in join_all(tasks).await {
        ended.expect("a client that ends");
    }
    start.elapsed()
}

fn ping(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (bare, gateway) = runtime.block_on(async { (echo().await, support::gateway()) });
    for (name, address) in [("bare", bare), ("gateway", gateway)] {
        let mut group = criterion.benchmark_group("ping");
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("sequential/{name}"), |bencher| {
            bencher.to_async(&runtime).iter_custom(|count| sequential(address, count));
        });
        group.throughput(Throughput::Elements(PIPELINE));
        group.bench_function(format!("pipelined/{name}"), |bencher| {
            bencher.to_async(&runtime).iter_custom(|rounds| pipelined(address, rounds));
        });
        group.throughput(Throughput::Elements(CONNECTIONS));
        group.bench_function(format!("connections/{name}"), |bencher| {
            bencher.to_async(&runtime).iter_custom(|rounds| side_by_side(address, rounds));
        });
        group.finish();
    }
}

criterion_group!(benches, ping);
criterion_main!(benches);
