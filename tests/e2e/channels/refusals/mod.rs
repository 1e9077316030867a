//! The servers that act as platforms refuse what the platforms refuse: a test that passes against them says something.

mod discord;
mod github;
mod irc;
mod slack;
mod telegram;
mod whatsapp;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use exoclaw::config::NetConfig;
use exoclaw::net::{Client, Deadlines};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::within;
use crate::platform::CA_FILE;

/// What a platform answered.
#[derive(Debug)]
struct Answered {
    status: u16,
    headers: hyper::HeaderMap,
    body: Bytes,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A request over TLS.
async fn ask(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answered, exoclaw::net::NetError> {
    let client = Client::new(&NetConfig { ca_file: Some(PathBuf::from(CA_FILE)) }).expect("an authority");
    let mut request = hyper::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    let patient = Deadlines { connect: Duration::from_secs(60), response: Duration::from_secs(60) };
    let (head, body) = client.send(request, patient).await?.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Ok(Answered { status: head.status.as_u16(), headers: head.headers, body })
}

/// A form of these parts: name, file name, content.
fn form(parts: &[(&str, Option<&str>, &str)]) -> (String, String) {
    let boundary = "b0undary";
    let mut body = String::new();
    for (name, filename, content) in parts {
        body.push_str(&format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\""));
        if let Some(filename) = filename {
            body.push_str(&format!("; filename=\"{filename}\"\r\ncontent-type: text/plain"));
        }
        body.push_str(&format!("\r\n\r\n{content}\r\n"));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// A WebSocket of a bot's.
struct Bot(WebSocketStream<TcpStream>);

impl Bot {
    /// Connects, or returns the status with which it is refused.
    async fn connect(url: &str) -> Result<Self, u16> {
        let address = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).expect("a ws: URL");
        let stream = TcpStream::connect(address).await.expect("a connection");
        match within("an upgrade", tokio_tungstenite::client_async(url, stream)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    async fn send(&mut self, payload: &Value) {
        self.0.send(Message::text(payload.to_string())).await.expect("an open connection");
    }

    async fn read(&mut self) -> Value {
        loop {
            match within("a frame", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(text.as_str()).expect("JSON"),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no payload but {other:?}"),
            }
        }
    }

    /// The code with which the platform closes, or `None` where it only went away.
    async fn closed(&mut self) -> Option<u16> {
        loop {
            match within("the end of a connection", self.0.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
