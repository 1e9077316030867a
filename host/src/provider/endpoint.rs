//! One service's address: sends a request there, and sees to it that an event stream comes back.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};

use super::ProviderError;
use super::refusal::{Refusal, bounded, describe};
use crate::config::ProviderConfig;
use crate::net::{Client, Deadlines, Request, Response, read_bounded};
use crate::secrets::Secret;

/// What is read of a refusal, and for how long.
const REFUSAL_LIMIT: usize = 64 << 10;
const REFUSAL_DEADLINE: Duration = Duration::from_secs(5);

/// The header that carries a key.
pub(super) struct KeyHeader {
    pub(super) name: HeaderName,
    /// What stands before the key.
    pub(super) prefix: &'static str,
}

/// The key of a service, as far as there is one.
enum Key {
    /// The service needs none.
    None,
    /// It needs one, and none was found.
    Missing,
    /// No header can carry it.
    Unusable,
    Header(HeaderName, HeaderValue, Secret),
}

/// One service's address, its key and its deadlines.
pub(super) struct Endpoint {
    provider: Arc<str>,
    client: Client,
    url: Uri,
    key: Key,
    key_variable: String,
    deadlines: Deadlines,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Endpoint {
    /// The endpoint at `path` below the config's `base_url`. Its version segment may stand in
    /// either.
    pub(super) fn new(
        provider: &str,
        config: &ProviderConfig,
        path: &str,
        client: Client,
        key: Option<Secret>,
        header: KeyHeader,
    ) -> Result<Self, ProviderError> {
        let provider: Arc<str> = provider.into();
        let url = url(&config.base_url, path).map_err(|reason| ProviderError::BadUrl {
            provider: Arc::clone(&provider),
            url: bounded(&config.base_url),
            reason,
        })?;
        let key = match key {
            Some(key) => match HeaderValue::from_str(&format!("{}{}", header.prefix, key.expose())) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    Key::Header(header.name, value, key)
                }
                Err(_) => Key::Unusable,
            },
            None if config.api_key_env.is_empty() => Key::None,
            None => Key::Missing,
        };
        Ok(Self {
            provider,
            client,
            url,
            key,
            key_variable: config.api_key_env.clone(),
            deadlines: Deadlines { connect: config.connect_timeout, response: config.idle_timeout },
            headers: Vec::new(),
        })
    }

    /// The same, with a header on every request.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn provider(&self) -> &Arc<str> {
        &self.provider
    }

    /// The name or address of the machine.
    pub(super) fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// How long the service may be silent.
    pub(super) fn idle(&self) -> Duration {
        self.deadlines.response
    }

    /// Posts `body`, the JSON of a request, and returns the response whose body is the stream.
    pub(super) async fn post(&self, body: &impl serde::Serialize) -> Result<Response, ProviderError> {
        let request = self.request(body)?;
        let sent = self.client.send(request, self.deadlines).await;
        let response = sent.map_err(|error| ProviderError::Net { provider: Arc::clone(&self.provider), error })?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let content_type = response.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
        match content_type {
            Some(kind) if is_event_stream(&kind) => Ok(response),
            other => {
                let content_type =
                    other.map_or_else(|| "of no type".to_owned(), |kind| format!("`{}`", bounded(&kind)));
                let beginning = read_bounded(response.into_body(), REFUSAL_LIMIT, REFUSAL_DEADLINE).await;
                let beginning = Refusal::said(None, describe(&beginning.bytes)).without(self.key()).message;
                Err(ProviderError::NotEventStream { provider: Arc::clone(&self.provider), content_type, beginning })
            }
        }
    }

    fn request(&self, body: &impl serde::Serialize) -> Result<Request, ProviderError> {
        let provider = || Arc::clone(&self.provider);
        let key = match &self.key {
            Key::None => None,
            Key::Missing => {
                return Err(ProviderError::MissingKey { provider: provider(), variable: self.key_variable.clone() });
            }
            Key::Unusable => {
                return Err(ProviderError::BadKey { provider: provider(), variable: self.key_variable.clone() });
            }
            Key::Header(name, value, _) => Some((name, value)),
        };
        let encode = |reason: String| ProviderError::Encode { provider: provider(), reason };
        let body = serde_json::to_vec(body).map_err(|error| encode(error.to_string()))?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("exoclaw/", env!("CARGO_PKG_VERSION"))));
        let own = self.headers.iter().map(|(name, value)| (name, value));
        for (name, value) in own.chain(key) {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }

    async fn refused(&self, response: Response) -> ProviderError {
        let (head, body) = response.into_parts();
        let body = read_bounded(body, REFUSAL_LIMIT, REFUSAL_DEADLINE).await;
        let refusal = Refusal::from_response(head.status, &head.headers, &body.bytes, SystemTime::now());
        let refusal = Box::new(refusal.without(self.key()));
        ProviderError::Refused { provider: Arc::clone(&self.provider), refusal }
    }

    fn key(&self) -> &str {
        match &self.key {
            Key::Header(_, _, key) => key.expose(),
            _ => "",
        }
    }
}

fn is_event_stream(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
}

/// Joins `base` and `path`. A query of the base stays behind the path, and `/v1` at the base's
/// end and the path's start are one.
fn url(base: &str, path: &str) -> Result<Uri, String> {
    let (base, query) = base.split_once('?').map_or((base, None), |(base, query)| (base, Some(query)));
    let base = base.trim_end_matches('/');
    let path = match base.ends_with("/v1") {
        true => path.strip_prefix("/v1").unwrap_or(path),
        false => path,
    };
    let text = query.map_or_else(|| format!("{base}{path}"), |query| format!("{base}{path}?{query}"));
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (url.scheme_str(), url.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            Err("a user or password has no place in it; keys come from the environment".into())
        }
        (Some("http" | "https"), Some(_)) => Ok(url),
        _ => Err("it must begin with http:// or https:// and a host".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_and_a_path_join_however_the_base_ends() {
        let cases = [
            ("https://api.anthropic.com", "/v1/messages", "https://api.anthropic.com/v1/messages"),
            ("https://api.anthropic.com/v1/", "/v1/messages", "https://api.anthropic.com/v1/messages"),
            ("http://localhost:11434/v1", "/chat/completions", "http://localhost:11434/v1/chat/completions"),
            ("https://x.example/a?v=1", "/chat/completions", "https://x.example/a/chat/completions?v=1"),
        ];
        for (base, path, whole) in cases {
            assert_eq!(url(base, path).map(|url| url.to_string()), Ok(whole.to_owned()));
        }
        for wrong in ["", "localhost:11434", "ftp://x", "https://", "https://user:pass@x.example", "http://a b"] {
            assert!(url(wrong, "/v1/messages").is_err(), "{wrong}");
        }
    }
}
