//! One owner a store: a file beside it that is locked while it is in use. The system lets go of it when the
//! process ends, however it ends; the file stays, since to remove it would let two owners in.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::OpenError;

/// The longest text that is read of a lock file, in bytes: ours has under 400.
const MAX_TEXT: u64 = 4_096;

/// How often, and how long apart, the text of a held lock is looked for: its holder writes it just after it
/// got the lock.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Who owns a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// The id of the process, where it could be read.
    pub pid: Option<u32>,
    /// Its machine, as it names itself.
    pub host: Option<String>,
    /// Since when, in RFC 3339.
    pub since: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => f.write_str("another process")?,
        }
        if let Some(host) = &self.host {
            write!(f, " on {host}")?;
        }
        if let Some(since) = &self.since {
            write!(f, " since {since}")?;
        }
        Ok(())
    }
}

impl Holder {
    fn this_process() -> Self {
        let now = jiff::Timestamp::now();
        let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self { pid: Some(std::process::id()), host: host(), since: Some(now.to_string()) }
    }

    fn read(text: &str) -> Self {
        let mut holder = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            // Another process wrote it: no more than a name's worth of it goes into a message.
            let value: String = value.chars().filter(|char| !char.is_control()).take(255).collect();
            match name {
                "pid" => holder.pid = value.parse().ok(),
                "host" => holder.host = Some(value),
                "since" => holder.since = Some(value),
                _ => {}
            }
        }
        holder
    }

    fn text(&self) -> String {
        let line =
            |name: &str, value: Option<String>| value.map_or_else(String::new, |value| format!("{name} {value}\n"));
        [
            line("pid", self.pid.map(|pid| pid.to_string())),
            line("host", self.host.clone()),
            line("since", self.since.clone()),
        ]
        .concat()
    }
}

/// The name that this machine gives itself: for a person to know it by, where a folder is shared.
fn host() -> Option<String> {
    let kept = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let name =
        kept.iter().find_map(|path| std::fs::read_to_string(path).ok()).or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The lock of a store, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the store at `path`.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let beside = beside(path);
        let failed = |error: &std::io::Error| OpenError::io(path, &format!("its lock {}", beside.display()), error);
        let mut how = OpenOptions::new();
        how.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
        let mut file = how.open(&beside).map_err(|error| match error.kind() {
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
                OpenError::ReadOnly { path: path.to_owned() }
            }
            _ => failed(&error),
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: path.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        // The text is for people. On a full disk the lock holds without it.
        let text = Holder::this_process().text();
        let written = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::debug!(path = %beside.display(), %error, "the lock has no text");
        }
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // So that whoever finds the lock free, and is asked a moment later, does not name this process.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

/// Who holds the lock.
fn holder(file: &mut File) -> Holder {
    let mut holder = Holder::default();
    for _ in 0..LOOKS {
        let mut text = String::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(MAX_TEXT).read_to_string(&mut text));
        holder = Holder::read(&text);
        if read.is_err() || holder.pid.is_some() {
            break;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    holder
}

/// The lock file of a store.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_with_the_name_of_the_first_until_that_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exoclaw.db");
        let first = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err();
        let OpenError::InUse { holder, .. } = &refused else { panic!("{refused}") };
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(holder.since.as_ref().is_some_and(|since| since.parse::<jiff::Timestamp>().is_ok()), "{holder}");
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn what_a_process_that_was_killed_left_behind_locks_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exoclaw.db");
        std::fs::write(beside(&path), "pid 1\nhost elsewhere\nsince 2020-01-01T00:00:00Z\n").unwrap();
        let lock = Lock::take(&path).unwrap();
        let text = std::fs::read_to_string(beside(&path)).unwrap();
        assert_eq!(Holder::read(&text).pid, Some(std::process::id()));
        drop(lock);
    }

    #[test]
    fn any_text_of_a_lock_can_be_read() {
        assert_eq!(Holder::read("").to_string(), "another process");
        assert_eq!(Holder::read("pid x\nhost\u{7}\n\nhost a\u{7}b").to_string(), "another process on ab");
        let holder = Holder::this_process();
        assert_eq!(Holder::read(&holder.text()), holder);
    }
}
