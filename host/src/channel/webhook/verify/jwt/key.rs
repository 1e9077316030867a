//! A platform's published keys (RFC 7517, 7518).

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// The most keys that are looked at.
const MAX_KEYS: usize = 64;

/// How tokens may be signed. No other way counts: not `none`, and nothing with a key that is no
/// secret, which a published one is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, of 2048 bits and more.
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// As tokens and keys name it (RFC 7518, section 3.1).
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// One key. Its type decides what it verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// Modulus and exponent, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// A point, uncompressed (SEC 1, section 2.3.3).
    P256([u8; 65]),
}

impl Key {
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
        }
    }

    pub(super) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, text, signature).is_ok()
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(text, signature).is_ok()
            }
        }
    }
}

/// The keys that tokens can be signed with, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Keys(Vec<(String, Key)>);

impl Keys {
    /// A set of keys. What is for something else, or cannot be read, is left out.
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(json)?;
        let read = |value| serde_json::from_value::<Published>(value).ok()?.key();
        Ok(Self(set.keys.into_iter().take(MAX_KEYS).filter_map(read).collect()))
    }

    pub(super) fn find(&self, name: &str, algorithm: Algorithm) -> Option<&Key> {
        self.0.iter().find(|(other, key)| other == name && key.algorithm() == algorithm).map(|(_, key)| key)
    }
}

/// A key as it is published.
#[derive(Deserialize)]
struct Published {
    kid: String,
    kty: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Published {
    fn key(self) -> Option<(String, Key)> {
        let decode = |text: Option<String>| BASE64URL_NOPAD.decode(text?.as_bytes()).ok();
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Key::Rsa { n: without_zeros(decode(self.n)?), e: without_zeros(decode(self.e)?) },
            ("EC", Some("P-256")) => {
                let (x, y): ([u8; 32], [u8; 32]) = (decode(self.x)?.try_into().ok()?, decode(self.y)?.try_into().ok()?);
                let mut point = [4; 65];
                point.iter_mut().skip(1).zip(x.into_iter().chain(y)).for_each(|(to, from)| *to = from);
                Key::P256(point)
            }
            _ => return None,
        };
        let meant = self.usage.is_none_or(|usage| usage == "sig")
            && self.alg.is_none_or(|name| Algorithm::parse(&name) == Some(key.algorithm()));
        meant.then_some((self.kid, key))
    }
}

/// Some write the sign's byte, as DER does.
fn without_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}
