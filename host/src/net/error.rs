//! Why a call of a web service failed before its answer was there.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why the network, and not the service, failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetError {
    /// The owner's certificate file is of no use.
    #[error("`[net] ca_file` {}: {reason}; it must hold PEM certificates", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody to trust.
    #[error(
        "no root certificates: {reason}; install the system's (`ca-certificates`) or name a file in `[net] ca_file`"
    )]
    NoRoots {
        /// Where they were sought, and with what success.
        reason: String,
    },
    /// No connection.
    #[error("could not connect to {origin}: {reason}")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// What the system said.
        reason: String,
    },
    /// A deadline passed.
    #[error("{origin}: {phase} took longer than {after:?}")]
    Timeout {
        /// Scheme, host and port.
        origin: String,
        /// What took too long.
        phase: TimeoutPhase,
        /// The deadline.
        after: Duration,
    },
    /// The connection broke before the answer's head was whole.
    #[error("the connection to {origin} broke: {reason}")]
    Broken {
        /// Scheme, host and port.
        origin: String,
        /// How.
        reason: String,
    },
}

/// What a deadline was set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeoutPhase {
    /// Name, TCP and TLS.
    Connect,
    /// From the request to the answer's head.
    Response,
    /// Silence within the answer.
    Idle,
}

impl fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Response => "the answer's first byte",
            Self::Idle => "the answer's next byte",
        })
    }
}

/// An error with its causes, each said once.
pub(crate) fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
