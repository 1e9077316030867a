//! Where a key is found.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Secret;
use crate::home::{Home, Lookup};

/// The longest key, in bytes. Longer than any service's, and than a header may be.
pub(super) const MAX_KEY: usize = 8 << 10;

/// Why a key that is there cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Somebody else could read the file, or what stands in its folder.
    #[error("{what} {} is open to others (mode {mode:04o}); run `chmod {wanted:o} {}` and think of the key as known", path.display(), quoted(path))]
    Open {
        /// `the file` or `the folder`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// The file cannot be read.
    #[error("cannot read the key in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Nothing but blanks.
    #[error("{origin} is empty; put the key into it, or remove it")]
    Empty {
        /// The variable or the file.
        origin: String,
    },
    /// What is there is no key.
    #[error("what {origin} holds is no key: expected one line of visible text, at most 8 KiB")]
    Malformed {
        /// The variable or the file.
        origin: String,
    },
    /// A name that would lead out of the folder.
    #[error("`{0}` cannot name a credentials file")]
    Name(String),
}

/// The key `name`: from the environment variable `variable`, else from
/// `~/.exoclaw/credentials/NAME.key`. None where neither is there; an empty variable is as if it
/// were not set.
///
/// Reads a small file: call it at start, not for every request.
///
/// # Errors
/// The file may be read by others than its owner, cannot be read, or holds no key.
pub fn load(name: &str, variable: &str, home: &Home) -> Result<Option<Secret>, SecretError> {
    load_from(name, variable, home, &|name| std::env::var_os(name))
}

fn load_from(name: &str, variable: &str, home: &Home, lookup: Lookup<'_>) -> Result<Option<Secret>, SecretError> {
    let value: Option<OsString> = if variable.is_empty() { None } else { lookup(variable) };
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        let origin = || format!("the variable {variable}");
        let text = value.into_string().map_err(|_| SecretError::Malformed { origin: origin() })?;
        return key(Zeroizing::new(text), origin).map(Some);
    }
    match home.credentials() {
        Some(folder) => from_file(&folder, name),
        None => Ok(None),
    }
}

fn from_file(folder: &Path, name: &str) -> Result<Option<Secret>, SecretError> {
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name.starts_with('.') {
        return Err(SecretError::Name(crate::text::one_line(name, 80)));
    }
    let path = folder.join(format!("{name}.key"));
    let failed = |source| SecretError::Read { path: path.clone(), source };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    // Asked of the open file, so that what is read is what was checked.
    owners_alone("the file", &path, &file.metadata().map_err(failed)?, 0o600)?;
    owners_alone("the folder", folder, &fs::metadata(folder).map_err(failed)?, 0o700)?;
    // Room for all of it: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_KEY + 1));
    let origin = || format!("the file {}", path.display());
    match file.take(MAX_KEY as u64 + 1).read_to_string(&mut text) {
        Ok(_) => key(text, origin).map(Some),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(SecretError::Malformed { origin: origin() }),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(unix)]
fn owners_alone(what: &'static str, path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), SecretError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SecretError::Open { what, path: path.to_owned(), mode, wanted }) }
}

#[cfg(not(unix))]
fn owners_alone(_: &'static str, _: &Path, _: &fs::Metadata, _: u32) -> Result<(), SecretError> {
    Ok(())
}

/// A text without the line end that editors add.
pub(crate) fn key(text: Zeroizing<String>, origin: impl Fn() -> String) -> Result<Secret, SecretError> {
    let trimmed = text.trim_end_matches(['\n', '\r']);
    if trimmed.trim().is_empty() {
        return Err(SecretError::Empty { origin: origin() });
    }
    if trimmed.len() > MAX_KEY || trimmed.chars().any(char::is_control) {
        return Err(SecretError::Malformed { origin: origin() });
    }
    Ok(Secret::new(trimmed.to_owned()))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '~')) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    type Result = std::result::Result<(), Box<dyn std::error::Error>>;

    struct Folder {
        _root: tempfile::TempDir,
        home: Home,
        credentials: PathBuf,
    }

    fn folder() -> std::result::Result<Folder, Box<dyn std::error::Error>> {
        let root = tempfile::tempdir()?;
        let home = Home::find(&|name| (name == "EXOCLAW_HOME").then(|| root.path().into()));
        let credentials = root.path().join("credentials");
        fs::create_dir(&credentials)?;
        mode(&credentials, 0o700)?;
        Ok(Folder { _root: root, home, credentials })
    }

    fn mode(path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn find(folder: &Folder, variable: Option<&str>) -> std::result::Result<Option<String>, String> {
        let found = load_from("work", "WORK_KEY", &folder.home, &|name| {
            variable.filter(|_| name == "WORK_KEY").map(Into::into)
        });
        found.map(|secret| secret.map(|secret| secret.expose().to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_comes_before_the_file_and_neither_is_needed() -> Result {
        let folder = folder()?;
        assert_eq!(find(&folder, None), Ok(None));
        assert_eq!(find(&folder, Some("from-env")), Ok(Some("from-env".into())));
        let file = folder.credentials.join("work.key");
        fs::write(&file, "from-file\r\n")?;
        mode(&file, 0o400)?;
        assert_eq!(find(&folder, None), Ok(Some("from-file".into())));
        assert_eq!(find(&folder, Some("")), Ok(Some("from-file".into())));
        assert_eq!(find(&folder, Some("from-env")), Ok(Some("from-env".into())));
        Ok(())
    }

    #[test]
    fn what_others_can_read_is_refused_with_the_command_that_helps() -> Result {
        let folder = folder()?;
        let file = folder.credentials.join("work.key");
        fs::write(&file, "key")?;
        mode(&file, 0o640)?;
        let refused = find(&folder, None).expect_err("an open file");
        assert!(
            refused.contains("mode 0640") && refused.contains(&format!("chmod 600 {}", file.display())),
            "{refused}"
        );
        mode(&file, 0o600)?;
        mode(&folder.credentials, 0o711)?;
        let refused = find(&folder, None).expect_err("an open folder");
        assert!(refused.contains(&format!("chmod 700 {}", folder.credentials.display())), "{refused}");
        mode(&folder.credentials, 0o700)?;
        assert_eq!(find(&folder, None), Ok(Some("key".into())));
        Ok(())
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() -> Result {
        let folder = folder()?;
        let file = folder.credentials.join("work.key");
        fs::write(&file, "")?;
        mode(&file, 0o600)?;
        for (content, says) in [
            (&b"\n"[..], "is empty"),
            (b"hunter2\nhunter3", "no key"),
            (b"hunter2\xff", "no key"),
            (&vec![b'k'; 9000][..], "no key"),
        ] {
            fs::write(&file, content)?;
            let refused = find(&folder, None).expect_err(says);
            assert!(refused.contains(says) && !refused.contains("hunter"), "{refused}");
        }
        assert!(find(&folder, Some("a\nb")).is_err());
        Ok(())
    }

    #[test]
    fn names_do_not_lead_out_of_the_folder() -> Result {
        let folder = folder()?;
        for name in ["../x", "", "/etc/x", ".."] {
            assert!(load_from(name, "", &folder.home, &|_| None).is_err(), "{name}");
        }
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
        Ok(())
    }
}
