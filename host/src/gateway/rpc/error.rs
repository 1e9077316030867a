//! Errors as a JSON-RPC client gets them.

use serde::Serialize;
use serde_json::Value;

use crate::agent::SubmitError;
use crate::store::{ErrorCode, StoreError};

/// JSON-RPC 2.0, section 5.1.
pub(super) const PARSE_ERROR: i32 = -32700;
/// JSON-RPC 2.0, section 5.1.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC 2.0, section 5.1.
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC 2.0, section 5.1.
pub(super) const INVALID_PARAMS: i32 = -32602;

/// Longer messages are cut: they may quote what the client sent.
const MAX_MESSAGE: usize = 500;

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::gateway) struct RpcError {
    code: i32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

impl RpcError {
    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            message.push('…');
        }
        Self { code, message, data: None }
    }

    pub(super) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(INVALID_REQUEST, message)
    }

    pub(super) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    pub(in crate::gateway) fn unauthorised(message: impl Into<String>) -> Self {
        Self::application(ErrorCode::Unauthorised, message)
    }

    pub(in crate::gateway) fn application(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(code.number(), message)
    }

    pub(super) fn with_data(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> i32 {
        self.code
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Whether the connection is closed after it.
    pub(in crate::gateway) fn is_unauthorised(&self) -> bool {
        self.code == ErrorCode::Unauthorised.number()
    }
}

impl From<StoreError> for RpcError {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Full { .. } | StoreError::Sick(_) | StoreError::Closed => ErrorCode::Busy,
            StoreError::NoSession(_) | StoreError::NoTurn(_) => ErrorCode::NotFound,
            StoreError::TooLarge { .. } | StoreError::TooMany { .. } => ErrorCode::TooLarge,
            StoreError::Superseded { .. } | StoreError::Corrupt { .. } | StoreError::BadRecord { .. } => {
                ErrorCode::Internal
            }
        };
        Self::application(code, error.to_string())
    }
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        match error.code() {
            Some(code) => Self::application(code, error.to_string()),
            None => Self::invalid_params(error.to_string()),
        }
    }
}
