//! Whether the gateway is fit for work, as whoever asks is told.

use schemars::JsonSchema;
use serde::Serialize;

use crate::channel::{ChannelHealth, ChannelStatus};
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

/// What a gateway says that is ready: that, and how those channels are that are not.
///
/// It is ready all the same: whoever asks decides whether clients are sent here, and those who come by
/// another channel, or by none, must not suffer for one whose token was refused. The channel's own
/// words are for the owner, in `status`.
pub(super) fn ready(channels: &[ChannelStatus]) -> String {
    let mut lines = "ready".to_owned();
    for channel in channels.iter().filter(|channel| channel.health != ChannelHealth::Ready) {
        lines.push_str(&format!("\nchannel {}: {}", channel.name, channel.health.name()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Received, Sent};
    use crate::store::Timestamp;

    #[test]
    fn a_channel_that_is_not_well_is_named_without_what_it_says() {
        let status = |name: &str, health| ChannelStatus {
            name: name.to_owned(),
            platform: "x".to_owned(),
            health,
            since: Timestamp(0),
            webhook: None,
            received: Received::default(),
            sent: Sent::default(),
        };
        let detail = || "401 for ann@example.com".to_owned();
        let channels = [
            status("a", ChannelHealth::Ready),
            status("b", ChannelHealth::Degraded { detail: detail() }),
            status("c", ChannelHealth::Failed { detail: detail() }),
            status("d", ChannelHealth::Quarantined { until: Timestamp(1), detail: detail() }),
            status("e", ChannelHealth::Connecting { detail: detail() }),
        ];
        assert_eq!(
            ready(&channels),
            "ready\nchannel b: degraded\nchannel c: failed\nchannel d: quarantined\nchannel e: connecting"
        );
        assert_eq!(ready(&channels[..1]), "ready");
    }

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
