//! Whether a sender may write, by the channel's table and by who was let in.

use crate::config::WhoMayWrite;
use crate::runtime::bindings::channel::{Conversation, Message};
use crate::store::{PairingState, StoreError, Timestamp, Writer, WriterKind};

use super::super::line::Line;

/// What a sender may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Write.
    Allowed,
    /// Nothing.
    Refused,
    /// Ask to be let in, as this writer.
    MayAsk(Writer),
}

/// What the sender of a message may do. Direct messages, groups and broadcasts are apart: a yes for
/// one says nothing of the others.
pub(super) async fn standing(
    line: &Line,
    message: &Message,
    account: &str,
    now: Timestamp,
) -> Result<Standing, StoreError> {
    let config = &line.config;
    let (rule, kind, id, named) = match message.conversation {
        Conversation::Direct => {
            let sender = &message.sender.id;
            (config.direct, WriterKind::Direct, sender, config.allow.contains(sender))
        }
        Conversation::Group => {
            let group = &message.address.peer;
            let named = [group, &message.sender.id].into_iter().any(|id| config.group_allow.contains(id));
            (config.group, WriterKind::Group, group, named)
        }
        Conversation::Broadcast => {
            let group = &message.address.peer;
            (config.broadcast, WriterKind::Group, group, config.group_allow.contains(group))
        }
    };
    Ok(match rule {
        WhoMayWrite::Open => Standing::Allowed,
        WhoMayWrite::Off => Standing::Refused,
        WhoMayWrite::Allowlist if named => Standing::Allowed,
        WhoMayWrite::Allowlist => Standing::Refused,
        // Who is named need not ask.
        WhoMayWrite::Pairing if named => Standing::Allowed,
        WhoMayWrite::Pairing => {
            let writer = Writer { channel: line.name.to_string(), account: account.to_owned(), kind, id: id.clone() };
            match line.store.pairing(&writer, now).await?.map(|pairing| pairing.state) {
                Some(PairingState::Approved { .. }) => Standing::Allowed,
                // They have their code.
                Some(PairingState::Pending { .. }) => Standing::Refused,
                None => Standing::MayAsk(writer),
            }
        }
    })
}
