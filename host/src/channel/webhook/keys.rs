//! A channel's way to its platform's published keys: its own way out, within its grants.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::{Method, Uri};

use super::super::outward::{NoFiles, Outward};
use super::verify::{JwksError, JwksSource};
use crate::config::Origin;
use crate::runtime::ChannelPlugin;
use crate::runtime::bindings::channel::{Body, Outbound, Piece, TransportError};
use crate::runtime::channel_out::ChannelOut;

/// How long the keys may take to come, in milliseconds.
const TIMEOUT: u32 = 5_000;

/// Asks as the channel would.
pub(super) struct ChannelKeys {
    out: ChannelOut,
    outward: Arc<Outward>,
}

impl ChannelKeys {
    /// Nothing where the keys' address is none; the verifier says so. The setup names it where it says how calls are
    /// verified, so that it need not stand among the origins that the plugin itself reaches.
    pub(super) fn of(plugin: &ChannelPlugin, jwks_url: &str) -> Option<Arc<dyn JwksSource>> {
        let origin = Origin::of(&jwks_url.parse().ok()?)?;
        let outward = Outward::new(plugin.out(), &[origin.to_string()]).ok()?;
        Some(Arc::new(Self { out: plugin.out(), outward }))
    }
}

impl JwksSource for ChannelKeys {
    fn allows(&self, url: &Uri) -> bool {
        Origin::of(url).is_some_and(|origin| self.out.allows(&Method::GET, &origin, url.path()))
    }

    fn fetch(&self, url: &Uri) -> BoxFuture<'static, Result<Bytes, JwksError>> {
        let outward = Arc::clone(&self.outward);
        let request = Outbound {
            method: "GET".to_owned(),
            url: vec![Piece::Text(url.to_string())],
            headers: vec![("accept".to_owned(), vec![Piece::Text("application/json".to_owned())])],
            body: Body::Bytes(Vec::new()),
            timeout_ms: TIMEOUT,
        };
        async move {
            match outward.send(&request, &NoFiles).await {
                Ok(response) if response.status == 200 => Ok(response.body.into()),
                Ok(response) => Err(JwksError(format!("the answer has status {}", response.status))),
                Err(TransportError::NotSent(reason) | TransportError::Unanswered(reason)) => Err(JwksError(reason)),
            }
        }
        .boxed()
    }
}
