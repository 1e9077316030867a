//! When a call was signed.

use std::time::Duration;

use hyper::header::HeaderName;

use super::template::Template;
use super::{Head, Refusal, VerifierError, header_name, only};
use crate::runtime::bindings::channel;
use crate::store::Timestamp;

/// Where the time stands, in seconds since the Unix epoch, and how far it may be from now.
#[derive(Debug)]
pub(super) struct SignedTimestamp {
    header: HeaderName,
    tolerance: Duration,
}

impl SignedTimestamp {
    /// The time has to be signed itself.
    pub(super) fn new(declared: &channel::SignedTimestamp, template: &Template) -> Result<Self, VerifierError> {
        let header = header_name(&declared.header)?;
        if !template.has_header(&header) {
            return Err(VerifierError::TimeUnsigned(header));
        }
        Ok(Self { header, tolerance: Duration::from_secs(declared.tolerance_seconds.into()) })
    }

    /// Until when the signature will be taken.
    pub(super) fn check(&self, head: &Head<'_>) -> Result<Timestamp, Refusal> {
        let malformed = || Refusal::Malformed("the time");
        let text = only(head.headers, &self.header)?.to_str().map_err(|_| malformed())?;
        // `u64` would take a `+`, and leading zeros.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        let seconds: u64 = if plain { text.parse().map_err(|_| malformed())? } else { return Err(malformed()) };
        let signed = seconds.checked_mul(1000).ok_or_else(malformed)?;
        let tolerance = u64::try_from(self.tolerance.as_millis()).unwrap_or(u64::MAX);
        let away = signed.abs_diff(head.now.0);
        if away > tolerance {
            return Err(Refusal::Stale(away.div_ceil(1000)));
        }
        Ok(Timestamp(signed.saturating_add(tolerance)))
    }
}
