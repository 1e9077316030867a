//! What a guest is told of a failure: the code of `wasi:http`, and nothing that the host knows
//! beyond it.

use wasmtime_wasi_http::Error;

use super::MAX_FIELDS;
use crate::net::{Fault, TimeoutPhase};

/// Before the head of the response was there.
pub(super) fn before_head(fault: &Fault) -> Error {
    match fault {
        Fault::NotGranted => Error::HttpRequestDenied,
        Fault::Name(_) => Error::DnsError { rcode: Some("address not available".to_owned()), info_code: None },
        Fault::Prohibited { .. } => Error::DestinationIpProhibited,
        Fault::Refused => Error::ConnectionRefused,
        Fault::Unreachable(_) => Error::DestinationUnavailable,
        Fault::Certificate(_) => Error::TlsCertificateError,
        Fault::Tls(_) => Error::TlsProtocolError,
        Fault::Trust(_) => Error::ConfigurationError,
        Fault::Timeout { phase: TimeoutPhase::Connect, .. } => Error::ConnectionTimeout,
        // As Wasmtime's own client has it, for the head and for the body.
        Fault::Timeout { .. } => Error::ConnectionReadTimeout,
        Fault::Busy => Error::ConnectionLimitReached,
        Fault::HeadTooLarge => Error::HttpResponseHeaderSectionSize(Some(MAX_FIELDS as u32)),
        Fault::Broken(_) => Error::ConnectionTerminated,
        Fault::Protocol(_) => Error::HttpProtocolError,
    }
}

/// Within the body of the response.
pub(super) fn in_body(fault: &Fault) -> Error {
    match fault {
        Fault::Broken(_) => Error::HttpResponseIncomplete,
        other => before_head(other),
    }
}
