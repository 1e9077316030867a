//! Calls of which a header carries an Ed25519 signature (RFC 8032).

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hyper::header::HeaderName;
use ring::digest;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::hmac::name;
use super::template::Template;
use super::timestamp::SignedTimestamp;
use super::{Head, Refusal, VerifierError, header_name, only};
use crate::runtime::bindings::channel;
use crate::store::Timestamp;

/// The points of small order, without the sign: for them, who has no key at all can sign
/// (D. Jackson et al., "Seems Legit", CCS 2019, table 5; libsodium's `ge25519_has_small_order`).
/// The key of an example, 64 zeros, is among them.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// The length of a signature, in bytes (RFC 8032, section 5.1.6).
const SIGNATURE: usize = 64;

/// A public key, and where its signatures stand.
#[derive(Debug)]
pub(super) struct Ed25519 {
    key: [u8; 32],
    header: HeaderName,
    template: Template,
    timestamp: Option<SignedTimestamp>,
}

impl Ed25519 {
    pub(super) fn new(declared: &channel::Ed25519, webhook_url: Option<&str>) -> Result<Self, VerifierError> {
        let shown = || crate::text::one_line(&declared.public_key, 80);
        // It is the owner's, who may copy it in either case.
        let key = HEXLOWER_PERMISSIVE.decode(declared.public_key.as_bytes()).ok();
        let key: [u8; 32] = key.and_then(|key| key.try_into().ok()).ok_or_else(|| VerifierError::PublicKey(shown()))?;
        let mut unsigned = key;
        unsigned[31] &= 0x7f;
        if SMALL_ORDER.contains(&HEXLOWER.encode(&unsigned).as_str()) {
            return Err(VerifierError::WeakKey(shown()));
        }
        let template = Template::parse(&declared.template, webhook_url)?;
        let timestamp = declared.timestamp.as_ref().map(|declared| SignedTimestamp::new(declared, &template));
        Ok(Self { key, header: header_name(&declared.header)?, timestamp: timestamp.transpose()?, template })
    }

    /// Whether there is a signature of the right form and time.
    pub(super) fn check_head(&self, head: &Head<'_>) -> Result<Option<Timestamp>, Refusal> {
        self.signature(head)?;
        self.template.check_head(head)?;
        self.timestamp.as_ref().map(|timestamp| timestamp.check(head)).transpose()
    }

    /// Whether the signature is of this body. Returns what names the signed text.
    pub(super) fn check_body(&self, head: &Head<'_>, body: &[u8]) -> Result<[u8; 16], Refusal> {
        let signature = self.signature(head)?;
        let mut text = Vec::with_capacity(body.len() + 256);
        self.template.fill(head, body, |piece| text.extend_from_slice(piece))?;
        // Ring takes no signature whose `s` is not reduced, which would be another one of the same text.
        match UnparsedPublicKey::new(&ED25519, &self.key).verify(&text, &signature) {
            Ok(()) => Ok(name(&digest::digest(&digest::SHA256, &text))),
            Err(_) => Err(Refusal::Wrong("the signature")),
        }
    }

    fn signature(&self, head: &Head<'_>) -> Result<Vec<u8>, Refusal> {
        let shown = only(head.headers, &self.header)?.as_bytes();
        let signature = HEXLOWER.decode(shown).ok().filter(|signature| signature.len() == SIGNATURE);
        signature.ok_or(Refusal::Malformed("the signature"))
    }
}
