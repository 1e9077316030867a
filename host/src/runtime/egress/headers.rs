//! Headers that are the host's: a guest neither sets nor sees them.

use hyper::HeaderMap;
use hyper::header::{self, HeaderName};
use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

/// Besides Wasmtime's list (connection, keep-alive, the proxy headers, transfer-encoding, upgrade,
/// host, http2-settings): what else is between two hops (RFC 9110, section 7.6.1), and what would
/// have the host wait for an interim response (section 10.1.1).
const FORBIDDEN: [HeaderName; 3] = [header::TE, header::TRAILER, header::EXPECT];

/// Whether a header is the host's.
pub(in crate::runtime) fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name) || FORBIDDEN.contains(name) || name.as_str().starts_with("proxy-")
}

/// Takes out what is the host's.
pub(in crate::runtime) fn strip(headers: &mut HeaderMap) {
    let forbidden: Vec<_> = headers.keys().filter(|name| is_forbidden(name)).cloned().collect();
    for name in forbidden {
        headers.remove(name);
    }
}

/// What headers take in HTTP/1.1: name, colon, space, value, end of line.
pub(in crate::runtime) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn what_is_between_two_hops_is_the_hosts_and_the_rest_is_the_guests() {
        let hosts = [
            "connection",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "proxy-status",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "host",
            "http2-settings",
            "expect",
        ];
        let guests = ["accept", "authorization", "content-length", "content-type", "cookie", "user-agent", "x-proxy-a"];
        let mut headers = HeaderMap::new();
        for name in hosts.iter().chain(&guests) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, guests);
    }
}
