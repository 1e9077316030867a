//! Resident memory of an idle connection: `cargo bench --bench connections [-- COUNT]`.
//!
//! Starts itself once more as the server, so that the clients' memory is not counted. DESIGN §9
//! asks for at most 10 KiB each at 10,000, which takes as many file descriptors: `ulimit -n 11000`.
#![allow(missing_docs, clippy::expect_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// By which the second process knows what it is.
const SERVE: &str = "--serve-connections";

fn main() {
    if std::env::args().any(|argument| argument == SERVE) {
        return serve();
    }
    let count = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let program = std::env::current_exe().expect("a path");
    let mut server = Command::new(program).arg(SERVE).stdout(Stdio::piped()).spawn().expect("a second process");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut line).expect("an address");
    let before = resident(server.id());
    Runtime::new().expect("a runtime").block_on(async {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(client(line.trim()).await);
        }
        let after = resident(server.id());
        println!("{count} idle connections: {before} KiB before, {after} KiB after");
        println!("{:.2} KiB each", (after as f64 - before as f64) / count as f64);
    });
    server.kill().expect("a process to end");
    server.wait().expect("its end");
}

fn serve() {
    Runtime::new().expect("a runtime").block_on(async {
        println!("{}", support::gateway());
        std::future::pending::<()>().await;
    });
}

/// A client that was answered once, so that every buffer exists.
async fn client(address: &str) -> impl Sized {
    let stream = TcpStream::connect(address).await.expect("a server; is `ulimit -n` high enough?");
    let config = WebSocketConfig::default().read_buffer_size(512);
    let (mut socket, _) =
        client_async_with_config(format!("ws://{address}/ws"), stream, Some(config)).await.expect("a handshake");
    socket.send(Message::text(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)).await.expect("an open socket");
    socket.next().await.expect("an answer").expect("an answer");
    socket
}

/// In KiB, as Linux counts it.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux's /proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}
