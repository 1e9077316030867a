//! Why a channel's request came to nothing, and whether anything of it reached the platform.

use hyper::Method;

use super::FileSourceError;
use crate::config::Origin;
use crate::net::OutError;
use crate::runtime::bindings::channel::TransportError;
use crate::runtime::egress_secrets::{Encoded, TemplateError};

/// An origin of a channel's setup is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its setup names {origin:?}, which is no origin; an origin is a scheme, a host and a port, without a path")]
pub struct SetupError {
    pub(super) origin: String,
}

/// Why a request was not sent. None of these shows a secret, a path or a query.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::channel) enum Unsent {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("its method is none that a channel's request may have")]
    Method,
    #[error("the address is none that a request can go to")]
    Address,
    #[error("a request goes to `https:` or `http:`, and a connection to `wss:`, `ws:`, `tls:` or `tcp:` besides")]
    Scheme,
    #[error("a connection of lines has no path")]
    PathOfLines,
    #[error("the address is longer than {} KiB", super::MAX_TARGET >> 10)]
    AddressTooLong,
    #[error("{0} is not among the origins that the channel's setup names")]
    NotNamed(String),
    #[error("no grant allows {method} requests like this one to {origin}; `[plugins.grants] http` may")]
    NotGranted { method: Method, origin: Origin },
    #[error("there is no way out to {0}: the channel has no grant, or the gateway no client")]
    NoWay(Origin),
    #[error("{0:?} is no name of a header")]
    HeaderName(String),
    #[error("its headers are larger than {} KiB", crate::runtime::channel_out::MAX_FIELDS >> 10)]
    HeadTooLarge,
    #[error("its body is larger than {limit} bytes, which `[plugins.limits] body` allows")]
    BodyTooLarge { limit: u64 },
    #[error("its form has more than {} fields", super::multipart::MAX_FIELDS)]
    TooManyFields,
    #[error("its form has a field with a name or media type that cannot be written")]
    Field,
    #[error("the file {file:?}: {error}")]
    File { file: String, error: FileSourceError },
    #[error("the files that it sends could not be opened within its timeout")]
    FilesLate,
    #[error("the system gave no random bits")]
    NoChance,
}

/// Why a request has no answer, or none that could be used.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::channel) enum OutwardError {
    #[error(transparent)]
    Unsent(#[from] Unsent),
    #[error(transparent)]
    Network(#[from] OutError),
    #[error("{0}")]
    Broken(String),
    #[error(transparent)]
    Encoded(#[from] Encoded),
    #[error("the answer's headers are larger than {} KiB", crate::runtime::channel_out::MAX_FIELDS >> 10)]
    HeadTooLarge,
    #[error("the answer is larger than {limit} bytes")]
    AnswerTooLarge { limit: u64 },
}

impl OutwardError {
    /// Whether nothing reached the platform.
    pub(in crate::channel) fn is_unsent(&self) -> bool {
        match self {
            Self::Unsent(_) => true,
            Self::Network(error) => error.fault.is_before_sending(),
            Self::Broken(_) | Self::Encoded(_) | Self::HeadTooLarge | Self::AnswerTooLarge { .. } => false,
        }
    }

    /// As the channel is told.
    pub(super) fn told(&self) -> TransportError {
        match self.is_unsent() {
            true => TransportError::NotSent(self.to_string()),
            false => TransportError::Unanswered(self.to_string()),
        }
    }
}
