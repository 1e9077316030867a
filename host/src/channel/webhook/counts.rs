//! What a webhook was called for, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::Serialize;

/// Counts calls by how they ended.
#[derive(Debug, Default)]
pub(super) struct WebhookCounts {
    taken: AtomicU64,
    challenges: AtomicU64,
    replays: AtomicU64,
    refused: AtomicU64,
    malformed: AtomicU64,
    unavailable: AtomicU64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Taken,
    Challenge,
    Replay,
    Refused,
    Malformed,
    Unavailable,
}

/// Calls of a webhook since the channel started, by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookReading {
    /// The channel took them: what came of them is stored.
    pub taken: u64,
    /// The platform asked who answers, and was told.
    pub challenges: u64,
    /// A signature that was used before; answered, and not heard.
    pub replays: u64,
    /// Not the platform's, or not in a way that is served.
    pub refused: u64,
    /// Too large, too slow, broken off, or nothing that the channel can read.
    pub malformed: u64,
    /// They were told to come again.
    pub unavailable: u64,
}

impl WebhookCounts {
    pub(super) fn count(&self, ending: Ending) {
        let counter = match ending {
            Ending::Taken => &self.taken,
            Ending::Challenge => &self.challenges,
            Ending::Replay => &self.replays,
            Ending::Refused => &self.refused,
            Ending::Malformed => &self.malformed,
            Ending::Unavailable => &self.unavailable,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reading(&self) -> WebhookReading {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WebhookReading {
            taken: read(&self.taken),
            challenges: read(&self.challenges),
            replays: read(&self.replays),
            refused: read(&self.refused),
            malformed: read(&self.malformed),
            unavailable: read(&self.unavailable),
        }
    }
}
