//! The one place where a guest's request becomes the host's, and the host's response a guest's.
//!
//! Whatever the host adds to what a guest sends (a secret), or takes out of what a guest gets (an
//! echo of one), is added and taken out here: after the request was held against the grants, and
//! before the guest sees a byte of the response.

use hyper::Response;
use hyper::http::{request, response};
use wasmtime_wasi_http::{Error, WasiBody};

use super::super::grants::Reach;
use super::{MAX_FIELDS, headers};
use crate::config::Origin;

/// The head of a request, just before it is sent to `origin`, which was granted. What is put in
/// here has passed no check of the guest's, and is seen by nobody but the peer.
pub(super) fn outgoing(parts: &mut request::Parts, _origin: &Origin, _reach: &Reach) -> Result<(), Error> {
    // A guest can't set these; nothing else may either.
    headers::strip(&mut parts.headers);
    Ok(())
}

/// A response, before the guest sees any of it. `body` is counted and bounded already.
pub(super) fn incoming(
    head: response::Parts,
    body: WasiBody,
    _origin: &Origin,
    _reach: &Reach,
) -> Result<Response<WasiBody>, Error> {
    if headers::size(&head.headers) > MAX_FIELDS {
        return Err(Error::HttpResponseHeaderSectionSize(Some(MAX_FIELDS as u32)));
    }
    Ok(Response::from_parts(head, body))
}
