//! The gateway over real sockets, with a client that speaks WebSocket as others do.

mod access;
mod channels;
mod events;
mod protocol;
mod rpc;
mod webhook;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::agent::{Dispatcher, Parts};
use crate::bus::Topic;
use crate::channel::{ChannelDirectory, NoChannels};
use crate::config::{Config, GatewayConfig};
use crate::provider::{Jitter, Providers};
use crate::runtime::{Readings, Registry};
use crate::secrets::Secret;
use crate::store::{Epoch, MemoryLimits, MemoryStore, Timestamp};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Far beyond what anything here takes; a test that waits for it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

struct Plugins;

impl PluginDirectory for Plugins {
    fn list(&self) -> Vec<Value> {
        vec![json!({ "name": "echo" })]
    }

    fn inspect(&self, name: &str) -> Option<Value> {
        (name == "echo").then(|| json!({ "name": "echo", "tools": ["echo"] }))
    }

    fn reload(&self, name: Option<String>) -> BoxFuture<'static, std::result::Result<ReloadReport, ReloadError>> {
        match name.as_deref() {
            Some("slow") => future::pending().boxed(),
            _ => future::ready(Ok(ReloadReport::default())).boxed(),
        }
    }

    fn readings(&self) -> Readings {
        Readings::default()
    }
}

/// A gateway at work.
struct Running {
    address: SocketAddr,
    readiness: Readiness,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    dispatcher: Dispatcher,
    topic: OnceLock<Arc<Topic>>,
}

/// A dispatcher whose agents have no model: events are published by the tests.
fn dispatcher(queue: usize) -> Dispatcher {
    let mut config = Config::default();
    config.gateway.queue = queue;
    let parts = Parts {
        config: &config,
        store: Arc::new(MemoryStore::new(MemoryLimits::default())),
        epoch: Epoch(0),
        courier: Arc::new(()),
        attachments: Arc::new(()),
        providers: &Providers::new([]),
        jitter: Arc::new(Jitter::seeded(1)),
        tools: &Registry::default(),
    };
    Dispatcher::new(parts).expect("the defaults fit together")
}

fn config() -> GatewayConfig {
    GatewayConfig { port: 0, ..GatewayConfig::default() }
}

fn state(dispatcher: Dispatcher) -> GatewayState {
    state_with(dispatcher, Arc::new(NoChannels))
}

fn state_with(dispatcher: Dispatcher, channels: Arc<dyn ChannelDirectory>) -> GatewayState {
    GatewayState {
        dispatcher,
        plugins: Arc::new(Plugins),
        started_at: Timestamp::now(),
        version: "0.0.0",
        demo: None,
        storage: "memory".into(),
        post: Arc::default(),
        channels,
    }
}

fn start(config: &GatewayConfig, token: Option<&str>) -> Result<Running> {
    start_with(config, token, Arc::new(NoChannels))
}

fn start_with(config: &GatewayConfig, token: Option<&str>, channels: Arc<dyn ChannelDirectory>) -> Result<Running> {
    let dispatcher = dispatcher(config.queue);
    let token = token.map(|text| Secret::new(text.into()));
    let gateway = Gateway::bind(config, token.as_ref(), state_with(dispatcher.clone(), channels))?;
    let (address, readiness, shutdown) = (gateway.local_addr(), gateway.readiness(), CancellationToken::new());
    let task = tokio::spawn(gateway.serve(shutdown.clone()));
    Ok(Running { address, readiness, shutdown, task, dispatcher, topic: OnceLock::new() })
}

impl Running {
    async fn client(&self) -> Result<Client> {
        self.client_with(&[]).await
    }

    async fn client_with(&self, headers: &[(&'static str, &str)]) -> Result<Client> {
        let mut request = format!("ws://{}/ws", self.address).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value)?);
        }
        let stream = TcpStream::connect(self.address).await?;
        let (socket, _) = tokio::time::timeout(DEADLINE, client_async(request, stream)).await??;
        Ok(Client { socket })
    }

    /// The status of a refused handshake.
    async fn refusal(&self, headers: &[(&'static str, &str)]) -> Result<u16> {
        match self.client_with(headers).await {
            Ok(_) => Err("the handshake was accepted".into()),
            Err(error) => match error.downcast::<tungstenite::Error>().map(|error| *error) {
                Ok(tungstenite::Error::Http(response)) => Ok(response.status().as_u16()),
                Ok(error) => Err(error.into()),
                Err(error) => Err(error),
            },
        }
    }

    /// The whole answer to a request of raw bytes.
    async fn http(&self, request: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await??;
        Ok(String::from_utf8(answer)?)
    }

    async fn get(&self, path: &str) -> Result<String> {
        self.http(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)).await
    }

    async fn stop(self) -> Result {
        self.shutdown.cancel();
        Ok(tokio::time::timeout(DEADLINE, self.task).await??)
    }
}

struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    async fn send(&mut self, text: &str) -> Result {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// The next text, as it is.
    async fn text(&mut self) -> Result<String> {
        loop {
            match tokio::time::timeout(DEADLINE, self.socket.next()).await?.ok_or("the connection ended")?? {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => return Err(format!("{other:?} instead of a text").into()),
            }
        }
    }

    async fn next(&mut self) -> Result<Value> {
        Ok(serde_json::from_str(&self.text().await?)?)
    }

    /// Sends a text and returns the next message.
    async fn ask(&mut self, text: &str) -> Result<Value> {
        self.send(text).await?;
        self.next().await
    }

    /// Calls a method and returns the result or the error.
    async fn call(&mut self, method: &str, params: Value) -> Result<std::result::Result<Value, Value>> {
        let request = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
        let mut answer = self.ask(&request.to_string()).await?;
        assert_eq!(answer["id"], method);
        Ok(match answer["error"].take() {
            Value::Null => Ok(answer["result"].take()),
            error => Err(error),
        })
    }

    /// Calls a method that must succeed.
    async fn result(&mut self, method: &str, params: Value) -> Result<Value> {
        self.call(method, params).await?.map_err(|error| format!("{method}: {error}").into())
    }

    /// The code with which the gateway closes, after whatever it still sends.
    async fn closed(&mut self) -> Result<u16> {
        loop {
            match tokio::time::timeout(DEADLINE, self.socket.next()).await?.ok_or("ended without a close")?? {
                Message::Close(Some(CloseFrame { code, .. })) => return Ok(code.into()),
                Message::Close(None) => return Err("a close without a code".into()),
                _ => {}
            }
        }
    }

    async fn raw(&mut self, bytes: &[u8]) -> Result {
        Ok(self.socket.get_mut().write_all(bytes).await?)
    }
}
