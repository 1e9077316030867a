//! Errors, made of what goes wrong in a plugin.

use std::fmt::Display;

use crate::Error;

/// The input is malformed, or not what this plugin handles. Of a tool, the model reads the text.
pub fn invalid(what: impl Display) -> Error {
    Error::InvalidInput(what.to_string())
}

/// It was understood, and is deliberately not supported.
pub fn unsupported(what: impl Display) -> Error {
    Error::Unsupported(what.to_string())
}

/// Anything else. A channel's text is for the operator, a tool's for the model.
pub fn failed(what: impl Display) -> Error {
    Error::Failed(what.to_string())
}

/// What does not parse was malformed.
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        invalid(error)
    }
}

/// Bytes that should have been text were malformed.
impl From<std::str::Utf8Error> for Error {
    fn from(error: std::str::Utf8Error) -> Self {
        invalid(error)
    }
}

/// Bytes that should have been text were malformed.
impl From<std::string::FromUtf8Error> for Error {
    fn from(error: std::string::FromUtf8Error) -> Self {
        invalid(error)
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self::Failed(text.to_owned())
    }
}
