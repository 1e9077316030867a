//! Which file is read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Config, ConfigErrors};
use crate::home::{Home, Lookup};

/// A file longer than this is no configuration.
const MAX_FILE: u64 = 4 << 20;

/// A configuration, and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// The file; absent where there is none and the defaults hold.
    pub path: Option<PathBuf>,
    /// The owner's folders.
    pub home: Home,
}

/// Why no configuration could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that was asked for cannot be read.
    #[error("cannot read the config file {path}, which {origin} names")]
    Read {
        /// The file.
        path: String,
        /// What names it.
        origin: FileOrigin,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is too long.
    #[error("{path} is longer than 4 MiB, which no config file is; check `--config` and EXOCLAW_CONFIG")]
    Long {
        /// The file.
        path: String,
    },
    /// The file has mistakes.
    #[error(transparent)]
    Invalid(#[from] ConfigErrors),
}

/// What names the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOrigin {
    /// `--config`.
    Option,
    /// `EXOCLAW_CONFIG`.
    Variable,
    /// The owner's folder.
    Home,
    /// The gateway that was started with it.
    Running,
}

impl std::fmt::Display for FileOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Option => "the command line",
            Self::Variable => "EXOCLAW_CONFIG",
            Self::Home => "the home folder",
            Self::Running => "the running gateway",
        })
    }
}

impl Loaded {
    /// What the file says now. Where there was none, the owner's folder may have one by now; one
    /// that was there must still be.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn read_again(&self) -> Result<Config, LoadError> {
        let Some(path) = self.path.clone().or_else(|| self.home.config_file()) else { return Ok(Config::default()) };
        match read(&path) {
            Ok(Some(bytes)) => Ok(Config::parse_bytes(&bytes, &path, &self.home)?),
            Ok(None) => Err(LoadError::Long { path: path.display().to_string() }),
            Err(error) if self.path.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(Config::default()),
            Err(source) => {
                Err(LoadError::Read { path: path.display().to_string(), origin: FileOrigin::Running, source })
            }
        }
    }
}

impl Config {
    /// Reads the file that `explicit` names (`--config`), else `EXOCLAW_CONFIG`, else
    /// `~/.exoclaw/config.toml`. Only the last may be missing: then the defaults hold.
    ///
    /// # Errors
    /// A file cannot be read, or has mistakes: all of them are told.
    pub fn load(explicit: Option<PathBuf>) -> Result<Loaded, LoadError> {
        Self::load_from(explicit, &|name| std::env::var_os(name))
    }

    pub(super) fn load_from(explicit: Option<PathBuf>, lookup: Lookup<'_>) -> Result<Loaded, LoadError> {
        let home = Home::find(lookup);
        let variable = || lookup("EXOCLAW_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
        let (path, origin) = match (explicit, variable(), home.config_file()) {
            (Some(path), _, _) => (path, FileOrigin::Option),
            (None, Some(path), _) => (path, FileOrigin::Variable),
            (None, None, Some(path)) => (path, FileOrigin::Home),
            (None, None, None) => return Ok(Loaded { config: Self::default(), path: None, home }),
        };
        match read(&path) {
            Ok(Some(bytes)) => {
                let config = Self::parse_bytes(&bytes, &path, &home)?;
                Ok(Loaded { config, path: Some(path), home })
            }
            Ok(None) => Err(LoadError::Long { path: path.display().to_string() }),
            Err(error) if origin == FileOrigin::Home && error.kind() == io::ErrorKind::NotFound => {
                Ok(Loaded { config: Self::default(), path: None, home })
            }
            Err(source) => Err(LoadError::Read { path: path.display().to_string(), origin, source }),
        }
    }
}

/// The file's bytes, unless there are too many.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MAX_FILE).then_some(bytes))
}
