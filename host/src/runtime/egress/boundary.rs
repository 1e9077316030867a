//! The one place where a guest's request becomes the host's, and the host's response a guest's.
//!
//! Whatever the host adds to what a guest sends (a secret), or takes out of what a guest gets (an
//! echo of one), is added and taken out here: after the request was held against the grants, and
//! before the guest sees a byte of the response.

use http_body_util::BodyExt;
use hyper::Response;
use hyper::http::{request, response};
use wasmtime_wasi_http::{Error, WasiBody};

use super::super::egress_secrets::{Encoded, RedactedBody, Redactor};
use super::super::grants::Reach;
use super::{MAX_FIELDS, headers};
use crate::config::Origin;

/// The head of a request, just before it is sent to `origin`, which was granted. What is put in
/// here has passed no check of the guest's, and is seen by nobody but the peer; what hides it in the
/// answer is returned.
pub(super) fn outgoing(parts: &mut request::Parts, origin: &Origin, reach: &Reach) -> Result<Option<Redactor>, Error> {
    // A guest can't set these; nothing else may either.
    headers::strip(&mut parts.headers);
    reach.secrets.put(parts, origin).map_err(|error| {
        // Not a warning: a guest could fill the log with it.
        tracing::debug!(plugin = %reach.plugin, %origin, %error, "a plugin's request was not sent");
        Error::ConfigurationError
    })
}

/// A response, before the guest sees any of it. `body` is counted and bounded already.
pub(super) fn incoming(
    mut head: response::Parts,
    body: WasiBody,
    redactor: Option<&Redactor>,
) -> Result<Response<WasiBody>, Error> {
    if headers::size(&head.headers) > MAX_FIELDS {
        return Err(Error::HttpResponseHeaderSectionSize(Some(MAX_FIELDS as u32)));
    }
    let Some(redactor) = redactor else { return Ok(Response::from_parts(head, body)) };
    redactor.head(&mut head).map_err(|Encoded(coding)| Error::HttpResponseContentCoding(Some(coding)))?;
    Ok(Response::from_parts(head, RedactedBody::new(body, redactor).boxed_unsync()))
}
