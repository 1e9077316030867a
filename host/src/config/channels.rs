//! `[channels.NAME]` and `[delivery]`: what the host decides about channels.

use std::time::Duration;

/// `[channels.NAME]`, where NAME is the name of a channel's plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Who may write to the agent directly.
    pub direct: WhoMayWrite,
    /// Who may write to it in groups. Being let in directly says nothing here.
    pub group: WhoMayWrite,
    /// Whether posts in broadcast channels are heard: of those in `group_allow`, or of all.
    pub broadcast: WhoMayWrite,
    /// Senders who may write directly under `allowlist`: the platform's ids. Empty lets in nobody.
    pub allow: Vec<String>,
    /// Senders, or groups as the platform numbers them, who may write in groups under `allowlist`.
    pub group_allow: Vec<String>,
    /// In groups, the agent hears only what mentions it.
    pub mention: bool,
    /// Reactions to messages are told to the agent, which then answers: a turn for each.
    pub reactions: bool,
    /// An answer is shown while it grows, where the platform can.
    pub drafts: bool,
    /// Where the platform reaches this channel's webhook, for channels that tell it so.
    pub webhook_url: Option<String>,
    /// A webhook whose calls nobody signs is served all the same.
    pub unsigned_webhook: bool,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            direct: WhoMayWrite::Pairing,
            group: WhoMayWrite::Off,
            broadcast: WhoMayWrite::Off,
            allow: Vec::new(),
            group_allow: Vec::new(),
            mention: true,
            reactions: false,
            drafts: true,
            webhook_url: None,
            unsigned_webhook: false,
        }
    }
}

/// Who may write to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhoMayWrite {
    /// Who shows the owner a code that the owner approves.
    Pairing,
    /// Who is named in the config.
    Allowlist,
    /// Everyone.
    Open,
    /// Nobody.
    Off,
}

/// `[delivery]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// What becomes of an answer that may have been sent, where the platform cannot tell.
    pub unknown: UnknownDelivery,
    /// How long an answer is tried before it is a dead letter.
    pub give_up_after: Duration,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self { unknown: UnknownDelivery::Resend, give_up_after: Duration::from_secs(24 * 60 * 60) }
    }
}

/// What becomes of an answer that may have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnknownDelivery {
    /// It is sent again: perhaps twice, never lost.
    Resend,
    /// It is left to the owner: `exoclaw outbox`.
    Hold,
}
