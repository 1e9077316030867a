//! A token: what is signed, and what it says (RFC 7515, 7519).

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::super::Refusal;
use super::key::{Algorithm, Key};
use crate::store::Timestamp;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 8 << 10;

/// How far the platform's clock may be from ours, in seconds.
const SKEW: f64 = 60.0;

/// A token that is not verified yet. Nothing of what it says is to be had before that.
pub(super) struct Token<'a> {
    algorithm: Algorithm,
    key: String,
    /// Header and claims, as they were signed.
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

/// What a token says.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Some(Vec<String>),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// What must be understood for the signature to count. Nothing of it is.
    crit: Option<IgnoredAny>,
}

impl<'a> Token<'a> {
    /// The compact form (RFC 7515, section 7.1): three parts in base64, without padding.
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let malformed = || Refusal::Malformed("the token");
        let (signed, signature) = text.rsplit_once('.').filter(|_| text.len() <= MAX_TOKEN).ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let header: Header = read(header)?;
        let algorithm = Algorithm::parse(&header.alg).filter(|_| header.crit.is_none()).ok_or(Refusal::Algorithm)?;
        let key = header.kid.ok_or(Refusal::Missing("the name of the token's key"))?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| malformed())?;
        Ok(Self { algorithm, key, signed, claims, signature })
    }

    /// The name of the key that signed it, by its own word.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// How it is signed, by its own word.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What it says, if the key signed it.
    pub(super) fn verify(self, key: &Key) -> Result<Claims, Refusal> {
        if key.algorithm() != self.algorithm {
            return Err(Refusal::Algorithm);
        }
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(Refusal::Wrong("the token's signature"));
        }
        read(self.claims)
    }
}

impl Claims {
    /// Whether it counts here and now.
    pub(super) fn check(&self, issuer: &str, audience: &str, now: Timestamp) -> Result<(), Refusal> {
        if self.iss != issuer {
            return Err(Refusal::TokenClaim("issuer"));
        }
        let meant = match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Some(some) => some.iter().any(|one| one == audience),
        };
        if !meant {
            return Err(Refusal::TokenClaim("audience"));
        }
        // Whole milliseconds until the year 287396: no bit is lost.
        #[allow(clippy::cast_precision_loss, reason = "52 bits are enough for a time")]
        let now = now.0 as f64 / 1000.0;
        if now >= self.exp + SKEW {
            return Err(Refusal::TokenTime("no longer valid"));
        }
        if self.nbf.is_some_and(|from| now < from - SKEW) {
            return Err(Refusal::TokenTime("not yet valid"));
        }
        Ok(())
    }
}

/// Of two members with one name, which two readers could take differently, none counts.
fn read<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let json = BASE64URL_NOPAD.decode(part.as_bytes()).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok()).ok_or(Refusal::Malformed("the token"))
}
