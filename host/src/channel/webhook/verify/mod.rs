//! Whether a webhook call is the platform's, as the channel declared that it can be told.
//!
//! A check has two steps, and none can be left out: [`Verifier::admit`] looks at the head alone,
//! before a byte of the body is read, and what it returns looks at the body. Secrets and digests are
//! compared in constant time. Everything that a stranger writes has exactly one spelling: a digest is
//! encoded by us and compared with what came, so that no other encoding of it is ever taken, and a
//! header or parameter that a check is about may not stand there twice.

mod challenge;
mod ed25519;
mod error;
mod hmac;
mod jwt;
mod query;
mod shared_secret;
mod template;
mod timestamp;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION};

pub use error::{Refusal, VerifierError};
pub use jwt::{JwksError, JwksSource, MAX_JWKS};

use self::challenge::Challenge;
use self::ed25519::Ed25519;
use self::hmac::Hmac;
use self::jwt::Jwt;
use self::shared_secret::SharedSecret;
use crate::runtime::bindings::channel;
use crate::secrets::Secret;
use crate::store::Timestamp;

/// Tells a platform's calls from everyone else's. Made once for each configuration of a channel.
#[derive(Debug)]
pub struct Verifier {
    scheme: Scheme,
    challenge: Option<Challenge>,
}

#[derive(Debug)]
enum Scheme {
    SharedSecret(SharedSecret),
    Hmac(Hmac),
    Ed25519(Ed25519),
    Jwt(Jwt),
    /// The platform signs nothing, and the owner knows.
    Unsigned,
}

/// What a [`Verifier`] needs besides what the channel declared.
pub struct VerifierParts<'a> {
    /// The plugin's secrets, by its own names for them.
    pub secret: &'a dyn Fn(&str) -> Option<Secret>,
    /// Where the platform reaches the webhook: `[channels.NAME] webhook_url`.
    pub webhook_url: Option<&'a str>,
    /// `[channels.NAME] unsigned_webhook`.
    pub unsigned: bool,
    /// Where a platform's published keys are fetched; nothing where no request may leave.
    pub jwks: Option<Arc<dyn JwksSource>>,
}

/// What is there of a call before its body.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Behind the `?`.
    pub query: Option<&'a str>,
    /// When it came.
    pub now: Timestamp,
}

/// A call whose head is right.
#[derive(Debug)]
#[must_use = "the body is not checked yet"]
pub struct Admitted<'a> {
    verifier: &'a Verifier,
    head: Head<'a>,
    /// Until when the signature would be taken again, of those that say when they were made.
    until: Option<Timestamp>,
}

/// A call that is the platform's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// By which a replay is told; absent where the verification carries no time, and so could not
    /// tell it from a repeat that is meant.
    pub replay: Option<ReplayKey>,
}

/// Names a signed text, until its signature is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayKey {
    /// Of what was signed, so that no other spelling of its signature is another.
    pub digest: [u8; 16],
    /// After that it is refused anyway.
    pub until: Timestamp,
}

impl Verifier {
    /// As a channel declared it.
    ///
    /// # Errors
    /// What is declared cannot be checked, or would let anyone in: a secret that is missing or
    /// empty, a template that leaves out the body, no signature at all where the owner did not say so.
    pub fn new(webhook: &channel::Webhook, parts: &VerifierParts<'_>) -> Result<Self, VerifierError> {
        let scheme = match &webhook.verification {
            channel::Verification::SharedSecret(declared) => {
                Scheme::SharedSecret(SharedSecret::new(declared, parts.secret)?)
            }
            channel::Verification::Hmac(declared) => Scheme::Hmac(Hmac::new(declared, parts)?),
            channel::Verification::Ed25519(declared) => Scheme::Ed25519(Ed25519::new(declared, parts.webhook_url)?),
            channel::Verification::Jwt(declared) => Scheme::Jwt(Jwt::new(declared, parts.jwks.clone())?),
            channel::Verification::None if parts.unsigned => Scheme::Unsigned,
            channel::Verification::None => return Err(VerifierError::Unsigned),
        };
        let challenge =
            webhook.challenge.as_ref().map(|declared| Challenge::new(declared, parts.secret)).transpose()?;
        Ok(Self { scheme, challenge })
    }

    /// Whether anyone could make a call that passes.
    #[must_use]
    pub fn is_unsigned(&self) -> bool {
        matches!(self.scheme, Scheme::Unsigned)
    }

    /// Whether the platform asks by GET who answers.
    #[must_use]
    pub fn has_challenge(&self) -> bool {
        self.challenge.is_some()
    }

    /// What to echo to a platform that asks who answers.
    ///
    /// # Errors
    /// It asks with a wrong token, or not as declared.
    pub fn challenge(&self, query: Option<&str>) -> Result<String, Refusal> {
        self.challenge.as_ref().ok_or(Refusal::Missing("the challenge"))?.answer(query)
    }

    /// Checks what can be checked before the body is read: the whole of a secret that the call
    /// carries itself, the form and the time of a signature.
    ///
    /// # Errors
    /// It is not the platform's, or, [`Refusal::Unavailable`], that cannot be told now.
    pub async fn admit<'a>(&'a self, head: Head<'a>) -> Result<Admitted<'a>, Refusal> {
        let until = match &self.scheme {
            Scheme::SharedSecret(scheme) => scheme.check(&head).map(|()| None),
            Scheme::Hmac(scheme) => scheme.check_head(&head),
            Scheme::Ed25519(scheme) => scheme.check_head(&head),
            Scheme::Jwt(scheme) => scheme.check(&head).await.map(|()| None),
            Scheme::Unsigned => Ok(None),
        }?;
        Ok(Admitted { verifier: self, head, until })
    }

    /// The headers that a plugin may see: without what says who the caller is, by which anyone who
    /// reads it could call in its place.
    pub fn shown_headers<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        let secret = match &self.scheme {
            Scheme::SharedSecret(scheme) => scheme.header(),
            _ => None,
        };
        let hidden = move |name: &HeaderName| {
            [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name) || secret.is_some_and(|secret| secret == name)
        };
        headers.iter().filter(move |(name, _)| !hidden(name))
    }

    /// The query that a plugin may see: without the secret, where it stands there.
    #[must_use]
    pub fn shown_query(&self, query: &str) -> String {
        match &self.scheme {
            Scheme::SharedSecret(scheme) => scheme.without(query),
            _ => query.to_owned(),
        }
    }
}

impl Admitted<'_> {
    /// Checks the rest.
    ///
    /// # Errors
    /// The call is not the platform's.
    pub fn verify(self, body: &[u8]) -> Result<Verified, Refusal> {
        let digest = match &self.verifier.scheme {
            Scheme::Hmac(scheme) => scheme.check_body(&self.head, body)?,
            Scheme::Ed25519(scheme) => scheme.check_body(&self.head, body)?,
            // Its head was all that there is to check.
            Scheme::SharedSecret(_) | Scheme::Jwt(_) | Scheme::Unsigned => return Ok(Verified { replay: None }),
        };
        Ok(Verified { replay: self.until.map(|until| ReplayKey { digest, until }) })
    }
}

impl std::fmt::Debug for VerifierParts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifierParts").field("webhook_url", &self.webhook_url).finish_non_exhaustive()
    }
}

/// A secret that has to be there.
fn secret(name: &str, find: &dyn Fn(&str) -> Option<Secret>) -> Result<Secret, VerifierError> {
    let secret = find(name).ok_or_else(|| VerifierError::MissingSecret(name.to_owned()))?;
    match secret.expose().trim().is_empty() {
        true => Err(VerifierError::EmptySecret(name.to_owned())),
        false => Ok(secret),
    }
}

/// A header's name, as a channel declares it.
fn header_name(name: &str) -> Result<HeaderName, VerifierError> {
    name.parse().map_err(|_| VerifierError::Header(crate::text::one_line(name, 80)))
}

/// A header that has to be there, once: of two, a proxy or a library may read another one than we do.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a HeaderValue, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Refusal::NoHeader(name.clone())),
        (Some(_), Some(_)) => Err(Refusal::Twice(name.to_string())),
    }
}
