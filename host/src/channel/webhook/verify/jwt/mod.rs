//! Calls that carry a token which the platform signed (RFC 7519), checked against its published
//! keys.

mod cache;
mod key;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::Uri;
use hyper::header::AUTHORIZATION;

use self::cache::KeyCache;
use self::token::Token;
use super::{Head, Refusal, VerifierError, only};
use crate::config::Origin;
use crate::runtime::bindings::channel;

/// The most bytes of a set of keys. Platforms publish a few, of half a KiB each.
pub const MAX_JWKS: usize = 256 << 10;

/// The way to a platform's keys, within the channel's grants.
pub trait JwksSource: Send + Sync + 'static {
    /// Whether a grant of the channel's allows to ask there.
    fn allows(&self, url: &Uri) -> bool;

    /// The set of keys (RFC 7517) at an address: a body of at most [`MAX_JWKS`], answered with 200.
    fn fetch(&self, url: &Uri) -> BoxFuture<'static, Result<Bytes, JwksError>>;
}

/// Why a platform's keys are not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JwksError(pub String);

/// Whose tokens count, and for whom.
#[derive(Debug)]
pub(super) struct Jwt {
    issuer: String,
    audience: String,
    keys: KeyCache,
}

impl Jwt {
    pub(super) fn new(declared: &channel::Jwt, source: Option<Arc<dyn JwksSource>>) -> Result<Self, VerifierError> {
        let channel::Jwt { jwks_url, issuer, audience } = declared;
        for (value, what) in [(issuer, "issuer"), (audience, "audience")] {
            if value.is_empty() {
                return Err(VerifierError::AnyToken(what));
            }
        }
        let shown = || crate::text::one_line(jwks_url, 200);
        let url: Uri = jwks_url.parse().map_err(|_| VerifierError::JwksUrl(shown()))?;
        if Origin::of(&url).is_none() {
            return Err(VerifierError::JwksUrl(shown()));
        }
        let source = source.filter(|source| source.allows(&url));
        let source = source.ok_or_else(|| VerifierError::JwksUnreachable(shown()))?;
        Ok(Self { issuer: issuer.clone(), audience: audience.clone(), keys: KeyCache::new(source, url) })
    }

    pub(super) async fn check(&self, head: &Head<'_>) -> Result<(), Refusal> {
        let shown = only(head.headers, &AUTHORIZATION)?.to_str().ok().and_then(|text| text.split_once(' '));
        let (scheme, text) = shown.ok_or(Refusal::Malformed("the token"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Malformed("the token"));
        }
        let token = Token::parse(text)?;
        let key = self.keys.find(token.key(), token.algorithm()).await?;
        let claims = token.verify(&key)?;
        claims.check(&self.issuer, &self.audience, head.now)
    }
}
