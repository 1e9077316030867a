//! Calls of which a header carries an HMAC (RFC 2104).

use data_encoding::{BASE64, Encoding, HEXLOWER};
use hyper::header::{HeaderName, HeaderValue};
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

use super::template::Template;
use super::timestamp::SignedTimestamp;
use super::{Head, Refusal, VerifierError, VerifierParts, header_name, only, secret};
use crate::runtime::bindings::channel;
use crate::store::Timestamp;

/// A key, and how its digests are written.
#[derive(Debug)]
pub(super) struct Hmac {
    key: hmac::Key,
    header: HeaderName,
    prefix: String,
    encoding: Encoding,
    template: Template,
    timestamp: Option<SignedTimestamp>,
}

impl Hmac {
    pub(super) fn new(declared: &channel::Hmac, parts: &VerifierParts<'_>) -> Result<Self, VerifierError> {
        let algorithm = match declared.hash {
            // SHA-1 is broken for signatures, and not for this.
            channel::Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            channel::Hash::Sha256 => hmac::HMAC_SHA256,
        };
        // One spelling of each: lower case, and padding with no bits set besides.
        let encoding = match declared.encoding {
            channel::Encoding::Hex => HEXLOWER,
            channel::Encoding::Base64 => BASE64,
        };
        // A header's value has no blanks around it.
        if HeaderValue::from_str(&declared.prefix).is_err() || declared.prefix.starts_with([' ', '\t']) {
            return Err(VerifierError::Prefix(crate::text::one_line(&declared.prefix, 40)));
        }
        let template = Template::parse(&declared.template, parts.webhook_url)?;
        let timestamp = declared.timestamp.as_ref().map(|declared| SignedTimestamp::new(declared, &template));
        let secret = secret(&declared.secret, parts.secret)?;
        Ok(Self {
            key: hmac::Key::new(algorithm, secret.expose().as_bytes()),
            header: header_name(&declared.header)?,
            prefix: declared.prefix.clone(),
            encoding,
            timestamp: timestamp.transpose()?,
            template,
        })
    }

    /// Whether there is a signature of the right form and time.
    pub(super) fn check_head(&self, head: &Head<'_>) -> Result<Option<Timestamp>, Refusal> {
        let shown = only(head.headers, &self.header)?.as_bytes();
        let length = self.key.algorithm().digest_algorithm().output_len();
        let digest = shown.strip_prefix(self.prefix.as_bytes()).and_then(|text| self.encoding.decode(text).ok());
        if digest.is_none_or(|digest| digest.len() != length) {
            return Err(Refusal::Malformed("the signature"));
        }
        self.template.check_head(head)?;
        self.timestamp.as_ref().map(|timestamp| timestamp.check(head)).transpose()
    }

    /// Whether the signature is of this body. Returns what names the signed text.
    pub(super) fn check_body(&self, head: &Head<'_>, body: &[u8]) -> Result<[u8; 16], Refusal> {
        let shown = only(head.headers, &self.header)?.as_bytes();
        let mut context = hmac::Context::with_key(&self.key);
        self.template.fill(head, body, |piece| context.update(piece))?;
        let tag = context.sign();
        let mut right = self.prefix.clone();
        self.encoding.encode_append(tag.as_ref(), &mut right);
        match bool::from(right.as_bytes().ct_eq(shown)) {
            true => Ok(name(&digest::digest(&digest::SHA256, tag.as_ref()))),
            false => Err(Refusal::Wrong("the signature")),
        }
    }
}

/// The first half of a digest, which is enough to tell two texts apart.
pub(super) fn name(digest: &digest::Digest) -> [u8; 16] {
    let mut name = [0; 16];
    name.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    name
}
