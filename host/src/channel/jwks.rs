//! A platform's published keys, fetched by the channel's own way out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use hyper::Uri;

use super::outward::Outward;
use super::webhook::verify::{JwksError, JwksSource, MAX_JWKS};
use crate::runtime::bindings::channel::{Body, Outbound, Piece};

/// How long the keys may take, in milliseconds: a call waits for them.
const TIMEOUT_MS: u32 = 5_000;

/// The way to a channel's keys, within its grants and its setup's origins.
pub(super) struct Jwks(pub(super) Arc<Outward>);

fn url(url: &Uri) -> Vec<Piece> {
    vec![Piece::Text(url.to_string())]
}

impl JwksSource for Jwks {
    fn allows(&self, at: &Uri) -> bool {
        self.0.address(&url(at)).is_ok()
    }

    fn fetch(&self, at: &Uri) -> BoxFuture<'static, Result<Bytes, JwksError>> {
        let out = Arc::clone(&self.0);
        let asked = Outbound {
            method: "GET".to_owned(),
            url: url(at),
            headers: Vec::new(),
            body: Body::Bytes(Vec::new()),
            timeout_ms: TIMEOUT_MS,
        };
        async move {
            let failed = |error: String| JwksError(error);
            let answer = out.download(&asked, MAX_JWKS as u64).await.map_err(|error| failed(format!("{error:?}")))?;
            if answer.status != 200 {
                return Err(JwksError(format!("the platform answered with {}", answer.status)));
            }
            let mut body = answer.body;
            let mut keys = BytesMut::new();
            while let Some(piece) = body.next().await {
                keys.extend_from_slice(&piece.map_err(|error| failed(error.to_string()))?);
            }
            Ok(keys.freeze())
        }
        .boxed()
    }
}
