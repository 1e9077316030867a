//! How commands fail, and the one place that tells.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use super::client::ClientError;
use crate::config::filter::FilterError;
use crate::config::{ConfigErrors, LoadError};
use crate::runtime::egress_secrets::Unresolved;
use crate::secrets::SecretError;
use crate::store::sqlite::OpenError;

/// How the process ends. The numbers are told by `exoclaw --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line or a file of the owner's is wrong.
    Usage = 2,
    /// No gateway answers.
    Unreachable = 3,
    /// The turn failed.
    Turn = 4,
    /// Stopped by Ctrl-C: 128 and SIGINT's number, as shells do it.
    Interrupted = 130,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No configuration.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// The filter for logs in `EXOCLAW_LOG`.
    #[error("EXOCLAW_LOG is wrong")]
    Filter(#[source] FilterError),
    /// A key.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Secrets of a plugin.
    #[error(transparent)]
    Secrets(#[from] Unresolved),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The gateway could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The terminal, a pipe or the runtime.
    #[error("cannot write, or not start")]
    Io(#[from] io::Error),
    /// Anything else, which says itself what it is.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
    /// What was asked for cannot be.
    #[error("{0}")]
    Usage(String),
}

impl CliError {
    /// Any error that says itself what it is.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }

    /// How the process ends with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Filter(_) | Self::Secret(_) | Self::Secrets(_) | Self::Usage(_) => Exit::Usage,
            Self::Client(error) => error.exit(),
            Self::Io(_) | Self::Store(_) | Self::Failed(_) => Exit::Failed,
        }
    }
}

/// Ends the process: prints why it failed, if it did, with every cause.
#[must_use]
pub fn report(outcome: Result<Exit, CliError>) -> ExitCode {
    let exit = match outcome {
        Ok(exit) => exit,
        // Whoever reads our output has read enough.
        Err(CliError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            // There is nobody left to tell of a closed standard error.
            let _ = io::stderr().lock().write_all(describe(&error).as_bytes());
            error.exit()
        }
    };
    ExitCode::from(exit as u8)
}

fn describe(error: &CliError) -> String {
    if let CliError::Config(LoadError::Invalid(errors)) = error {
        return format!("{}\n\n{}\n", errors, counted(errors));
    }
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("  because: {error}\n"));
        cause = error.source();
    }
    crate::text::escape(&text, &['\n']).into_owned()
}

fn counted(errors: &ConfigErrors) -> String {
    match errors.count() {
        1 => "1 mistake; config.example.toml shows every option".to_owned(),
        count => format!("{count} mistakes; config.example.toml shows every option"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_once_with_its_causes() {
        let error = CliError::Client(ClientError::Unreachable {
            url: "ws://127.0.0.1:7200".into(),
            source: io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused"),
        });
        assert_eq!(
            describe(&error),
            "error: no gateway answers at ws://127.0.0.1:7200; start one with `exoclaw gateway`\n  \
             because: connection refused\n"
        );
        assert_eq!(error.exit(), Exit::Unreachable);
        assert_eq!(describe(&CliError::failed("a\u{1b}b")), "error: a\\u{1b}b\n");
    }
}
