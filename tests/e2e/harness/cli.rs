//! The binary as a command that ends by itself.

use std::path::Path;
use std::process::{Command, Stdio};

use super::gateway::exoclaw_in;
use super::within;

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) async fn of(command: Command) -> Self {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = within("a command ends", command.output()).await.expect("the binary starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Its standard output, where it ended well.
    #[track_caller]
    pub(crate) fn stdout(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }
}

/// Runs `exoclaw` with `home` as its owner's folder.
pub(crate) async fn exoclaw(home: &Path, arguments: &[&str]) -> Finished {
    let mut command = exoclaw_in(home);
    command.args(arguments);
    Finished::of(command).await
}
