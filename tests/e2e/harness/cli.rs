//! The binary as a command that ends by itself.

use std::path::Path;
use std::process::{Command, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Child;

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
        Running::start(command).end("").await
    }

    /// Its standard output, where it ended well.
    #[track_caller]
    pub(crate) fn stdout(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }
}

/// A command that runs.
pub(crate) struct Running(Child);

impl Running {
    fn start(command: Command) -> Self {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self(command.spawn().expect("the binary starts"))
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let id = self.0.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    }

    /// Types `input` and the end of it, and waits for the end of the command.
    pub(crate) async fn end(mut self, input: &str) -> Finished {
        let mut stdin = self.0.stdin.take().expect("piped");
        // Who has ended reads nothing.
        let _ = within("a command reads its input", stdin.write_all(input.as_bytes())).await;
        drop(stdin);
        let output = within("a command ends", self.0.wait_with_output()).await.expect("our child");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Starts `exoclaw` with `home` as its owner's folder.
pub(crate) fn start(home: &Path, arguments: &[&str]) -> Running {
    let mut command = exoclaw_in(home);
    command.args(arguments);
    Running::start(command)
}

/// Runs `exoclaw` with `home` as its owner's folder, and nothing to read.
pub(crate) async fn exoclaw(home: &Path, arguments: &[&str]) -> Finished {
    start(home, arguments).end("").await
}
