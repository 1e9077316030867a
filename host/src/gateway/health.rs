//! Whether the gateway is fit for work, as whoever asks is told.

use schemars::JsonSchema;
use serde::Serialize;

use crate::store::{Health, Sickness};

/// How the store is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StorageHealth {
    /// It stores what it is asked to.
    Well,
    /// There is no room.
    DiskFull,
    /// It may not be written.
    ReadOnly,
    /// Anything else.
    Failing,
}

impl StorageHealth {
    pub(super) fn of(health: &Health) -> Self {
        match health {
            Health::Well => Self::Well,
            Health::Sick(Sickness::DiskFull { .. }) => Self::DiskFull,
            Health::Sick(Sickness::ReadOnly { .. }) => Self::ReadOnly,
            Health::Sick(Sickness::Failing { .. }) => Self::Failing,
        }
    }
}

/// Why new clients had better go elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unready {
    /// The gateway ends.
    GoingDown,
    /// Nothing can be stored now.
    Storage(StorageHealth),
}

impl Unready {
    /// For whoever asks, which may be anyone: without the names of files.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::GoingDown => "the gateway is going down",
            Self::Storage(StorageHealth::DiskFull) => "the storage is full: nothing can be stored until there is room",
            Self::Storage(StorageHealth::ReadOnly) => {
                "the storage is read-only: nothing can be stored until it is writable"
            }
            Self::Storage(_) => "the storage cannot be used: nothing can be stored; `exoclaw status` says more",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_storage_is_told_without_the_names_of_files() {
        let place = || "/home/ann/secret-project.db".into();
        let told = [
            (Sickness::DiskFull { place: place() }, "\"disk_full\"", "full"),
            (Sickness::ReadOnly { place: place() }, "\"read_only\"", "read-only"),
            (Sickness::Failing { place: place(), reason: "disk I/O error".into() }, "\"failing\"", "cannot be used"),
        ];
        for (sickness, name, words) in told {
            let health = StorageHealth::of(&Health::Sick(sickness));
            assert_eq!(serde_json::to_string(&health).ok().as_deref(), Some(name));
            let reason = Unready::Storage(health).reason();
            assert!(reason.contains(words) && !reason.contains("secret-project"), "{reason}");
        }
        assert_eq!(StorageHealth::of(&Health::Well), StorageHealth::Well);
    }
}
