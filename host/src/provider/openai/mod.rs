//! OpenAI Chat Completions, streaming, and what is compatible with it.
//!
//! Written after OpenAI's reference and what compatible servers (Ollama, vLLM, Gemini's) do
//! otherwise; [`encode`] says what is asked, [`decode`] reads what is answered.

mod decode;
mod encode;
mod usage;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::header::AUTHORIZATION;

use super::endpoint::{Endpoint, KeyHeader};
use super::{EventStream, Provider, ProviderError, Request, stream};
use crate::config::ProviderConfig;
use crate::net::Client;
use crate::secrets::Secret;

/// A service that speaks Chat Completions.
pub(super) struct OpenAi {
    endpoint: Endpoint,
    dialect: encode::Dialect,
    max_retries: u32,
}

impl OpenAi {
    pub(super) fn new(
        name: &str,
        config: &ProviderConfig,
        client: Client,
        key: Option<Secret>,
    ) -> Result<Self, ProviderError> {
        let header = KeyHeader { name: AUTHORIZATION, prefix: "Bearer " };
        let endpoint = Endpoint::new(name, config, "/chat/completions", client, key, header)?;
        let dialect = encode::Dialect::of_host(endpoint.host());
        Ok(Self { endpoint, dialect, max_retries: config.max_retries })
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        self.endpoint.provider()
    }

    fn max_retries(&self) -> u32 {
        self.max_retries
    }

    fn open<'a>(&'a self, model: &'a str, request: &'a Request) -> BoxFuture<'a, Result<EventStream, ProviderError>> {
        async move {
            let response = self.endpoint.post(&encode::Body::new(model, request, self.dialect)).await?;
            let provider = Arc::clone(self.endpoint.provider());
            let decoder = decode::Decoder::new(getrandom::u64().unwrap_or_default());
            Ok(stream::events(provider, response.into_body(), decoder, self.endpoint.idle()))
        }
        .boxed()
    }
}
