//! What `plugin.reload` says of what it did.

use schemars::JsonSchema;
use serde::Serialize;

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct ReloadReport {
    /// Each plugin that was looked at.
    pub plugins: Vec<PluginReload>,
    /// Tables of the config file that differ from those that the gateway was started with, and that
    /// only a restart brings into effect.
    pub restart: Vec<String>,
    /// Why the config file was not read. Nothing has changed then.
    pub problem: Option<String>,
}

impl ReloadReport {
    /// Whether something that should have changed did not.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.problem.is_some() || self.plugins.iter().any(|plugin| plugin.outcome == ReloadOutcome::Refused)
    }
}

/// What became of one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PluginReload {
    /// Its name.
    pub name: String,
    /// What was done.
    pub outcome: ReloadOutcome,
    /// SHA-256 of the component that runs now, in hexadecimal; null where none does.
    pub sha256: Option<String>,
    /// SHA-256 of the component that ran before; null where none did.
    pub previous_sha256: Option<String>,
    /// Why it was refused; null where it was not.
    pub reason: Option<String>,
}

/// What a reload did with a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReloadOutcome {
    /// It runs, and did not before.
    Added,
    /// It took the old one's place.
    Reloaded,
    /// It is as it was.
    Unchanged,
    /// It is gone.
    Removed,
    /// What should have changed did not, for a reason; what ran before still runs.
    Refused,
}

/// Why no reload was begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// No such plugin.
    #[error("there is no plugin `{0}`; `plugin.list` names them")]
    Unknown(String),
    /// Others wait already.
    #[error("too many reloads wait; ask again when some are done")]
    Busy,
    /// The gateway ends.
    #[error("the gateway is going down and reloads nothing")]
    Draining,
}
