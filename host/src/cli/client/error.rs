//! Why a gateway could not be asked.

use std::io;

use hyper::StatusCode;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::super::Exit;
use super::{RpcError, Target};

/// Why a gateway could not be asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// `--url`, or what the config says in its place.
    #[error("{0}")]
    Url(String),
    /// Nobody listens.
    #[error("no gateway answers at {url}; start one with `exoclaw gateway`")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The token is missing or wrong.
    #[error(
        "the gateway at {url} wants another token than it was shown; set {variable} to the one that the gateway has"
    )]
    Unauthorised {
        /// Where.
        url: String,
        /// The variable that holds the token.
        variable: String,
    },
    /// The token cannot be sent.
    #[error("the gateway's token holds characters that cannot be sent; use letters and digits")]
    Token,
    /// The gateway refuses the connection.
    #[error("the gateway at {url} refuses the connection: {status}{}", after_colon(.says))]
    Refused {
        /// Where.
        url: String,
        /// With which status.
        status: StatusCode,
        /// In which words.
        says: String,
    },
    /// Somebody else listens.
    #[error("what answers at {url} is no exoclaw gateway")]
    NoGateway {
        /// Where.
        url: String,
        /// What it did wrong.
        #[source]
        source: Box<WsError>,
    },
    /// The connection broke or was closed.
    #[error("the connection to the gateway was lost: {0}")]
    Lost(String),
    /// Nothing came for 40 s, not even a pong.
    #[error("the gateway has gone silent; is it still running?")]
    Silent,
    /// No answer in time.
    #[error("the gateway does not answer `{method}` in time; try again, or look at its log")]
    Late {
        /// What was asked.
        method: String,
    },
    /// Too much came before an answer.
    #[error("the gateway sends notifications but no answer")]
    Flooded,
    /// The gateway answered with an error.
    #[error(transparent)]
    Rpc(RpcError),
    /// The gateway's answer is not what the protocol says.
    #[error("the gateway's answer cannot be understood; have it and this client the same version?")]
    Answer(#[source] serde_json::Error),
}

impl ClientError {
    pub(super) fn lost(error: WsError) -> Self {
        match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => Self::closed(),
            error => Self::Lost(error.to_string()),
        }
    }

    pub(in crate::cli) fn closed() -> Self {
        Self::Lost("the gateway closed it".into())
    }

    pub(super) fn closed_with(frame: Option<&CloseFrame>) -> Self {
        match frame {
            Some(frame) if !frame.reason.is_empty() => {
                Self::Lost(format!("the gateway closed it ({}: {})", frame.code, frame.reason))
            }
            Some(frame) => Self::Lost(format!("the gateway closed it ({})", frame.code)),
            None => Self::closed(),
        }
    }

    /// Whether a new connection may go on where this one ended.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Lost(_) | Self::Silent | Self::Late { .. })
            || matches!(self, Self::Refused { status, .. } if *status == StatusCode::SERVICE_UNAVAILABLE)
    }

    /// How a command ends with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Url(_) | Self::Token => Exit::Usage,
            error if error.is_passing() => Exit::Unreachable,
            _ => Exit::Failed,
        }
    }
}

/// Why a handshake failed.
pub(super) fn handshake(target: &Target, error: WsError) -> ClientError {
    let url = target.shown().to_owned();
    match error {
        WsError::Http(response) => match response.status() {
            StatusCode::UNAUTHORIZED => ClientError::Unauthorised { url, variable: target.variable().to_owned() },
            status @ (StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
                let body = response.body().as_deref().unwrap_or_default();
                ClientError::Refused { url, status, says: crate::text::one_line(&String::from_utf8_lossy(body), 200) }
            }
            _ => ClientError::NoGateway { url, source: Box::new(WsError::Http(response)) },
        },
        WsError::Io(source) => ClientError::Unreachable { url, source },
        error => ClientError::NoGateway { url, source: Box::new(error) },
    }
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
