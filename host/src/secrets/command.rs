//! A secret that a program prints: `pass show example`, `op read op://...`.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::credentials::MAX_KEY;

/// How long a program may take. A person may have to touch a key or unlock a safe meanwhile.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Why a program gave no secret.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It is not there, or cannot be run.
    #[error("it cannot be started: {0}")]
    Start(#[source] io::Error),
    /// Its output broke off, or the system lost it.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It says itself that it failed. What it wrote to standard error is not kept.
    #[error("it ended with {0}; run it yourself to see why")]
    Failed(ExitStatus),
    /// It did not end.
    #[error("it did not end within {0:?} and was stopped; it must not ask anything, its standard input is empty")]
    Late(Duration),
    /// Its first line does not end.
    #[error("its first line is longer than 8 KiB")]
    Long,
    /// Not text.
    #[error("its first line is not UTF-8")]
    Encoding,
}

/// The first line that a program prints, without its line end. There is no shell in between: the
/// first item is the program, the others are its arguments as they stand.
///
/// The program and whatever it started end with this call, also when the call is dropped.
pub(crate) async fn first_line(argv: &[String], deadline: Duration) -> Result<Zeroizing<String>, CommandError> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| CommandError::Start(io::Error::new(io::ErrorKind::InvalidInput, "no program is named")))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let child = command.spawn().map_err(CommandError::Start)?;
    let mut running = Running { child };
    match tokio::time::timeout(deadline, running.first_line()).await {
        Ok(line) => line,
        Err(_) => Err(CommandError::Late(deadline)),
    }
}

/// A program that ends when this is dropped, and its whole process group with it.
struct Running {
    child: Child,
}

impl Running {
    async fn first_line(&mut self) -> Result<Zeroizing<String>, CommandError> {
        let line = match self.child.stdout.take() {
            Some(output) => head(output).await.map_err(CommandError::Read)?,
            None => Zeroizing::new(Vec::new()),
        };
        let status = self.child.wait().await.map_err(CommandError::Read)?;
        if !status.success() {
            return Err(CommandError::Failed(status));
        }
        let end = line.iter().position(|byte| *byte == b'\n');
        if end.is_none() && line.len() > MAX_KEY {
            return Err(CommandError::Long);
        }
        let line = &line[..end.unwrap_or(line.len())];
        let line = std::str::from_utf8(line).map_err(|_| CommandError::Encoding)?;
        Ok(Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An id only while the program was not waited for, so that it can be nobody else's. What
        // has ended and left children behind is the owner's own doing.
        #[cfg(unix)]
        if let Some(group) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            // It may just have ended; then there is nothing to do.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// The beginning of what a program prints: one byte more than a secret may have. The rest is read
/// and forgotten, since a program whose output nobody reads fails.
async fn head(mut output: impl AsyncRead + Unpin) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it: bytes that move leave copies behind.
    let mut head = Zeroizing::new(Vec::with_capacity(MAX_KEY + 1));
    let mut piece = Zeroizing::new([0; 4096]);
    loop {
        let count = output.read(piece.as_mut_slice()).await?;
        if count == 0 {
            return Ok(head);
        }
        let room = MAX_KEY + 1 - head.len();
        head.extend_from_slice(&piece[..count.min(room)]);
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    async fn run(script: &str, deadline: Duration) -> Result<String, CommandError> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        first_line(&argv, deadline).await.map(|line| line.to_string())
    }

    #[tokio::test]
    async fn a_program_gives_its_first_line_and_may_print_more() {
        assert_eq!(run("echo one two; echo three", DEADLINE).await.unwrap(), "one two");
        assert_eq!(run(r"printf 'one\r\n'", DEADLINE).await.unwrap(), "one");
        assert_eq!(run("printf one", DEADLINE).await.unwrap(), "one");
        // More than a pipe holds: the program would wait, or fail, were it not read.
        assert_eq!(run("echo one; head -c 1000000 /dev/zero", DEADLINE).await.unwrap(), "one");
    }

    #[tokio::test]
    async fn a_program_that_gives_none_says_why() {
        assert!(matches!(run("echo one; exit 3", DEADLINE).await, Err(CommandError::Failed(_))));
        assert!(matches!(run("head -c 9000 /dev/zero", DEADLINE).await, Err(CommandError::Long)));
        assert!(matches!(run(r"printf '\377\n'", DEADLINE).await, Err(CommandError::Encoding)));
        let nobody = ["/nonexistent/program".to_owned()];
        assert!(matches!(first_line(&nobody, DEADLINE).await, Err(CommandError::Start(_))));
        assert!(matches!(first_line(&[], DEADLINE).await, Err(CommandError::Start(_))));
    }

    #[tokio::test]
    async fn arguments_pass_no_shell() {
        let argv = ["printf", "%s", "$HOME; `id` *"].map(str::to_owned);
        assert_eq!(first_line(&argv, DEADLINE).await.unwrap().as_str(), "$HOME; `id` *");
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_stopped_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        // The child holds standard output open too; its id is known before the deadline can pass.
        let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
        let argv = ["sh".to_owned(), "-c".to_owned(), script];
        let call = tokio::spawn(async move { first_line(&argv, Duration::from_secs(600)).await });
        let child = loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                break rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        rustix::process::test_kill_process(child).unwrap();
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        // Whoever adopted it has to collect it first.
        while rustix::process::test_kill_process(child).is_ok() && !is_zombie(child) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        let late = run("sleep 600", Duration::from_millis(50)).await;
        assert!(matches!(late, Err(CommandError::Late(_))), "{late:?}");
    }

    fn is_zombie(process: rustix::process::Pid) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
    }
}
