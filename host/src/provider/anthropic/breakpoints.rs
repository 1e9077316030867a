//! Where a request is marked, so that Anthropic keeps what stands before.
//!
//! The prompt is read in the order tools, system, messages. A mark has the prompt up to its block kept, and lets
//! what was kept up to there be read; from each mark the API also looks back over 20 blocks for the end of what was
//! kept earlier. At most four blocks may be marked, those that a later request is sure to have at the same place:
//!
//! 1. the last tool, up to which all agents with the same tools agree;
//! 2. the system prompt, up to which all sessions of an agent agree;
//! 3. the end of the user's last message but one, which is where the request before this one ended: a step with
//!    more blocks than the API looks back over would else be read from the system prompt only;
//! 4. the end of the last message, from which the next step and the next turn go on.
//!
//! A mark itself costs nothing, and what is shorter than the API keeps is not kept and not charged.

use serde::Serialize;

use super::encode::{Body, Piece, System, Turn};
use crate::provider::{CacheLifetime, CachePolicy};
use crate::store::Role;

/// The least bytes that a token is assumed to have, so that a prompt is marked when in doubt. English has about
/// four, JSON and code three.
const BYTES_PER_TOKEN: usize = 2;

/// The mark on a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "ephemeral")]
pub(super) struct CacheControl {
    /// Five minutes where it is left out, which is what all compatible services understand.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Ttl>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Ttl {
    #[serde(rename = "1h")]
    OneHour,
}

impl From<CacheLifetime> for CacheControl {
    fn from(lifetime: CacheLifetime) -> Self {
        Self { ttl: (lifetime == CacheLifetime::OneHour).then_some(Ttl::OneHour) }
    }
}

/// Marks a request by a policy.
pub(super) fn place(body: &mut Body<'_>, policy: &CachePolicy) {
    let enough = minimum(body.model()) * BYTES_PER_TOKEN;
    let mut bytes: usize = body.tools.iter().map(|tool| tool.bytes()).sum();
    if let Some(lifetime) = policy.shared {
        if let Some(tool) = body.tools.last_mut().filter(|_| bytes >= enough) {
            tool.cache_control = Some(lifetime.into());
        }
        if let Some(System::Text(text)) = body.system {
            bytes += text.len();
            if bytes >= enough {
                let content = super::encode::Content::Text { text: text.into() };
                body.system = Some(System::List([Piece { content, cache_control: Some(lifetime.into()) }]));
            }
        }
    }
    if let Some(lifetime) = policy.conversation {
        conversation(&mut body.messages, bytes, enough, lifetime);
    }
}

/// Marks the end of this request and that of the one before it, where `bytes` and what follows them are enough.
fn conversation(messages: &mut [Turn<'_>], bytes: usize, enough: usize, lifetime: CacheLifetime) {
    let Some(last) = messages.len().checked_sub(1) else { return };
    let before = messages.iter().take(last).rposition(|message| message.role == Role::User);
    let mut bytes = bytes;
    for (index, message) in messages.iter_mut().enumerate() {
        bytes += message.content.iter().map(|piece| piece.content.bytes()).sum::<usize>();
        if bytes < enough || (index != last && Some(index) != before) {
            continue;
        }
        // The API refuses a mark on thinking. Empty texts, which it refuses too, are never sent.
        if let Some(piece) = message.content.iter_mut().rfind(|piece| !piece.content.is_thinking()) {
            piece.cache_control = Some(lifetime.into());
        }
    }
}

/// The shortest prompt that the API keeps for a model, in tokens, by its documentation of prompt caching (August
/// 2026); where two versions of it differ, the lower number. For models that it does not name, the lowest: a
/// mark that was of no use costs nothing.
fn minimum(model: &str) -> usize {
    const LOWEST: usize = 512;
    // A name is that of the first line whose beginning it has; dates and the like may follow.
    const BY_NAME: &[(&str, usize)] = &[
        ("claude-opus-5", LOWEST),
        ("claude-fable-5", LOWEST),
        ("claude-mythos-5", LOWEST),
        ("claude-mythos-preview", 4096),
        ("claude-opus-4-8", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-opus-4-6", 4096),
        ("claude-opus-4-5", 4096),
        ("claude-opus-4", 1024),
        ("claude-sonnet-5", 1024),
        ("claude-sonnet-4", 1024),
        ("claude-haiku-4-5", 4096),
        ("claude-3-7-sonnet", 1024),
        ("claude-3-5-sonnet", 1024),
        ("claude-3-5-haiku", 2048),
        ("claude-3-opus", 1024),
        ("claude-3-haiku", 2048),
    ];
    BY_NAME.iter().find(|(name, _)| model.starts_with(name)).map_or(LOWEST, |(_, minimum)| *minimum)
}

#[cfg(test)]
mod tests;
