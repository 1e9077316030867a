//! Anthropic Messages, streaming.
//!
//! Written after the API's reference and the events that it documents under "Streaming
//! Messages"; [`encode`] says what is asked, [`breakpoints`] what of it is to be kept,
//! [`decode`] reads what is answered.

mod breakpoints;
mod decode;
mod encode;
mod usage;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::header::{HeaderName, HeaderValue};

use super::endpoint::{Endpoint, KeyHeader};
use super::{EventStream, Provider, ProviderError, Request, stream};
use crate::config::ProviderConfig;
use crate::net::Client;
use crate::secrets::Secret;

/// The version of the API; the only one since 2023.
const VERSION: &str = "2023-06-01";

/// A service that speaks Anthropic Messages.
pub(super) struct Anthropic {
    endpoint: Endpoint,
    max_retries: u32,
}

impl Anthropic {
    pub(super) fn new(
        name: &str,
        config: &ProviderConfig,
        client: Client,
        key: Option<Secret>,
    ) -> Result<Self, ProviderError> {
        let header = KeyHeader { name: HeaderName::from_static("x-api-key"), prefix: "" };
        let version = (HeaderName::from_static("anthropic-version"), HeaderValue::from_static(VERSION));
        let endpoint =
            Endpoint::new(name, config, "/v1/messages", client, key, header)?.with_header(version.0, version.1);
        Ok(Self { endpoint, max_retries: config.max_retries })
    }
}

impl Provider for Anthropic {
    fn name(&self) -> &str {
        self.endpoint.provider()
    }

    fn max_retries(&self) -> u32 {
        self.max_retries
    }

    fn open<'a>(&'a self, model: &'a str, request: &'a Request) -> BoxFuture<'a, Result<EventStream, ProviderError>> {
        async move {
            let response = self.endpoint.post(&encode::Body::new(model, request)).await?;
            let provider = Arc::clone(self.endpoint.provider());
            Ok(stream::events(provider, response.into_body(), decode::Decoder::default(), self.endpoint.idle()))
        }
        .boxed()
    }
}
