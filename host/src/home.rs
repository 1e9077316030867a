//! Where exoclaw keeps what is its owner's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How a process's environment is asked, so that tests can answer.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The owner's folders: `~/.exoclaw`, or what `EXOCLAW_HOME` says in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Home {
    user: Option<PathBuf>,
    exoclaw: Option<PathBuf>,
}

impl Home {
    /// As the environment says. Without `HOME` and `EXOCLAW_HOME` there is none.
    #[must_use]
    pub fn from_env() -> Self {
        Self::find(&|name| std::env::var_os(name))
    }

    /// As some environment says.
    #[must_use]
    pub fn find(lookup: Lookup<'_>) -> Self {
        let path = |name| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user = path("HOME");
        let exoclaw = path("EXOCLAW_HOME").or_else(|| user.as_ref().map(|user| user.join(".exoclaw")));
        Self { user, exoclaw }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.exoclaw.as_deref()
    }

    /// `config.toml` in it.
    #[must_use]
    pub fn config_file(&self) -> Option<PathBuf> {
        self.exoclaw.as_ref().map(|home| home.join("config.toml"))
    }

    /// `credentials` in it.
    #[must_use]
    pub fn credentials(&self) -> Option<PathBuf> {
        self.exoclaw.as_ref().map(|home| home.join("credentials"))
    }

    /// `exoclaw.db` in it: the store, where the config names no other.
    #[must_use]
    pub fn store(&self) -> Option<PathBuf> {
        self.exoclaw.as_ref().map(|home| home.join("exoclaw.db"))
    }

    /// `cache/code` in it, for compiled plugins. What is there may be removed at any time.
    #[must_use]
    pub fn code_cache(&self) -> Option<PathBuf> {
        self.exoclaw.as_ref().map(|home| home.join("cache").join("code"))
    }

    /// A path as a person writes it: `~/` is the user's own folder, and what is relative starts
    /// at `base`.
    #[must_use]
    pub fn resolve(&self, text: &str, base: &Path) -> PathBuf {
        match (text.strip_prefix("~/"), &self.user) {
            (Some(rest), Some(user)) => user.join(rest),
            _ => base.join(text),
        }
    }
}
