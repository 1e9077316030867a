//! Why a call of a model failed, and what may be done about it.

use std::sync::Arc;
use std::time::Duration;

use super::refusal::Refusal;
use crate::net::{NetError, TimeoutPhase};

/// Why a call of a model failed. No message holds a key, and what a service said is bounded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProviderError {
    /// The agent names no model and no key says which service to take.
    #[error("no model can be asked: {}name one in `[agent] models`", set_one(variables))]
    NoModel {
        /// The environment variables that would decide.
        variables: Vec<String>,
    },
    /// A model of a provider that is not configured.
    #[error("there is no provider `{name}`; `[providers]` has {}", known.join(", "))]
    UnknownProvider {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The provider's address is none.
    #[error("`[providers.{provider}] base_url` is `{url}`: {reason}")]
    BadUrl {
        /// The provider.
        provider: Arc<str>,
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No key was found.
    #[error(
        "{provider}: no API key; set {variable} in the environment, or put it into \
         ~/.exoclaw/credentials/{provider}.key"
    )]
    MissingKey {
        /// The provider.
        provider: Arc<str>,
        /// The environment variable.
        variable: String,
    },
    /// The key holds what no HTTP header can.
    #[error("{provider}: the API key in {variable} (or its file) holds characters that no key has; copy it again")]
    BadKey {
        /// The provider.
        provider: Arc<str>,
        /// The environment variable.
        variable: String,
    },
    /// The request could not be put into the provider's format.
    #[error("{provider}: the request could not be written: {reason}")]
    Encode {
        /// The provider.
        provider: Arc<str>,
        /// Why.
        reason: String,
    },
    /// The network failed before an answer was there.
    #[error("{provider}: {error}")]
    Net {
        /// The provider.
        provider: Arc<str>,
        /// How.
        error: NetError,
    },
    /// The service fell silent within its answer.
    #[error("{provider}: nothing came for {after:?} in the middle of the answer (`idle_timeout`)")]
    Stalled {
        /// The provider.
        provider: Arc<str>,
        /// The deadline.
        after: Duration,
    },
    /// The service said no, before its answer or within it.
    #[error("{provider}: {refusal}")]
    Refused {
        /// The provider.
        provider: Arc<str>,
        /// What it said.
        refusal: Box<Refusal>,
    },
    /// Something answered, but no model.
    #[error(
        "{provider}: the answer is {content_type}, not an event stream ({beginning}); check `base_url`, and \
         whether a proxy or a login page stands before the service"
    )]
    NotEventStream {
        /// The provider.
        provider: Arc<str>,
        /// What the answer says that it is.
        content_type: String,
        /// How it begins.
        beginning: String,
    },
    /// The answer ended before the model did.
    #[error("{provider}: the answer was cut off: {reason}")]
    Cut {
        /// The provider.
        provider: Arc<str>,
        /// How.
        reason: String,
    },
    /// The answer breaks the protocol.
    #[error("{provider}: the answer makes no sense: {reason}")]
    Malformed {
        /// The provider.
        provider: Arc<str>,
        /// Where.
        reason: String,
    },
    /// A part of the answer is larger than is accepted.
    #[error("{provider}: {part} of the answer has more than {limit} bytes")]
    TooLarge {
        /// The provider.
        provider: Arc<str>,
        /// The part.
        part: &'static str,
        /// The limit.
        limit: usize,
    },
}

fn set_one(variables: &[String]) -> String {
    match variables {
        [] => String::new(),
        _ => format!("set {} in the environment, or ", variables.join(" or ")),
    }
}

impl ProviderError {
    /// Whether the same call of the same model may succeed when it is made again.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Net { error, .. } => {
                matches!(error, NetError::Connect { .. } | NetError::Timeout { .. } | NetError::Broken { .. })
            }
            Self::Stalled { .. } | Self::Cut { .. } | Self::Malformed { .. } => true,
            Self::Refused { refusal, .. } => refusal.retryable(),
            Self::NoModel { .. }
            | Self::UnknownProvider { .. }
            | Self::BadUrl { .. }
            | Self::MissingKey { .. }
            | Self::BadKey { .. }
            | Self::Encode { .. }
            | Self::NotEventStream { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// Whether another model may answer where this one did not: always, unless the request
    /// itself was at fault.
    #[must_use]
    pub fn allows_fallback(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => !refusal.blames_request(),
            Self::Encode { .. } | Self::NoModel { .. } => false,
            _ => true,
        }
    }

    /// How long the service asks to wait before the next attempt.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { refusal, .. } => refusal.retry_after,
            _ => None,
        }
    }

    /// The deadline that passed, where one did.
    #[must_use]
    pub fn timeout(&self) -> Option<TimeoutPhase> {
        match self {
            Self::Net { error: NetError::Timeout { phase, .. }, .. } => Some(*phase),
            Self::Stalled { .. } => Some(TimeoutPhase::Idle),
            _ => None,
        }
    }
}
