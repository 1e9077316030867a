//! Why a guarded request came to nothing.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hyper_util::client::legacy;

use crate::config::Origin;
use crate::net::error::reason;
use crate::net::{AddressKind, NetError, TimeoutPhase};

/// Why a request came to nothing. Its text names the origin, and neither path nor query.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{origin}: {fault}")]
pub struct OutError {
    /// Where it was to go.
    pub origin: Origin,
    /// What happened.
    pub fault: Fault,
}

/// What happened to a request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The policy has no such origin.
    #[error("it is not granted")]
    NotGranted,
    /// Its name leads nowhere.
    #[error("its name was not resolved: {0}")]
    Name(String),
    /// Of all addresses of its name, none may be connected to.
    #[error("its only addresses are forbidden: {address} is {kind}{}", hint(*kind))]
    Prohibited {
        /// The first of them.
        address: IpAddr,
        /// What that is.
        kind: AddressKind,
    },
    /// Nobody listens there.
    #[error("the connection was refused")]
    Refused,
    /// No way there, by what the system said of the last address.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Whoever answered is not who was called.
    #[error("its certificate is not believed: {0}")]
    Certificate(String),
    /// Another failure of TLS.
    #[error("no TLS: {0}")]
    Tls(String),
    /// There is nobody to believe.
    #[error(transparent)]
    Trust(NetError),
    /// A deadline passed.
    #[error("{phase} took longer than {after:?}")]
    Timeout {
        /// What took too long.
        phase: TimeoutPhase,
        /// The deadline.
        after: Duration,
    },
    /// All of the connections that there may be are in use.
    #[error("no connection was free")]
    Busy,
    /// The head of the response is larger than is read.
    #[error("the head of its answer is too large")]
    HeadTooLarge,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// What came over the connection was not HTTP.
    #[error("what it answered is not HTTP: {0}")]
    Protocol(String),
}

impl Fault {
    /// Whether it happened before anything of the request was sent.
    #[must_use]
    pub fn is_before_sending(&self) -> bool {
        match self {
            Self::NotGranted
            | Self::Name(_)
            | Self::Prohibited { .. }
            | Self::Refused
            | Self::Unreachable(_)
            | Self::Certificate(_)
            | Self::Tls(_)
            | Self::Trust(_)
            | Self::Timeout { phase: TimeoutPhase::Connect, .. }
            | Self::Busy => true,
            Self::Timeout { .. } | Self::HeadTooLarge | Self::Broken(_) | Self::Protocol(_) => false,
        }
    }
}

fn hint(kind: AddressKind) -> &'static str {
    if kind.is_local() { "; `private = true` in its grant would allow it" } else { "" }
}

impl Fault {
    /// What the system said to an attempt to connect.
    pub(super) fn of_connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            _ => Self::Unreachable(reason(error)),
        }
    }

    /// What a handshake ended with.
    pub(super) fn of_tls(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            // An I/O error does not name the error within it among its sources.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(rustls::Error::InvalidCertificate(certificate)) =
                inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref())
            {
                return Self::Certificate(reason(&rustls::Error::InvalidCertificate(certificate.clone())));
            }
            cause = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
        }
        Self::Tls(reason(error))
    }

    pub(super) fn of_request(error: &legacy::Error) -> Self {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(fault) = error.downcast_ref::<Self>() {
                return fault.clone();
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                return Self::of_http(error);
            }
            cause = error.source();
        }
        Self::Broken(reason(error))
    }

    pub(super) fn of_http(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::HeadTooLarge
        } else if error.is_parse() {
            Self::Protocol(reason(error))
        } else {
            Self::Broken(reason(error))
        }
    }
}
