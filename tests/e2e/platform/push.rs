//! A platform as a client: it calls the gateway's webhooks, and signs what it says.

use std::net::SocketAddr;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::within;

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Pushed {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Where a channel's webhook is: the public host name that the platform was told, and where the gateway listens
/// behind whatever ends TLS for it.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) gateway: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
}

impl Hook {
    /// The webhook of the channel with this name, by the gateway's own address.
    pub(crate) fn of(gateway: SocketAddr, channel: &str) -> Self {
        Self { gateway, host: gateway.to_string(), path: format!("/webhook/{channel}") }
    }

    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Result<Pushed, String> {
        self.call("POST", "", headers, body.into()).await
    }

    pub(crate) async fn get(&self, query: &str) -> Result<Pushed, String> {
        self.call("GET", query, &[], Vec::new()).await
    }

    /// One call on a connection of its own; the error where no answer came.
    pub(crate) async fn call(
        &self,
        method: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Pushed, String> {
        let mut request = hyper::Request::builder().method(method).uri(format!("{}{query}", self.path));
        request = request.header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let exchange = async {
            let stream = TcpStream::connect(self.gateway).await.map_err(|error| error.to_string())?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes().to_vec();
            let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            Ok(Pushed { status: head.status.as_u16(), headers, body })
        };
        within("the gateway answers its webhook", exchange).await
    }
}

/// An HMAC-SHA256 in hexadecimal.
pub(crate) fn hmac_sha256(secret: &str, text: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    HEXLOWER.encode(hmac::sign(&key, text).as_ref())
}

/// A platform's own key.
pub(crate) struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    pub(crate) fn from_seed(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed of 32 bytes"))
    }

    /// In hexadecimal, as Discord's portal shows it.
    pub(crate) fn public(&self) -> String {
        HEXLOWER.encode(self.0.public_key().as_ref())
    }

    pub(crate) fn sign(&self, text: &[u8]) -> String {
        HEXLOWER.encode(self.0.sign(text).as_ref())
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs()
}
