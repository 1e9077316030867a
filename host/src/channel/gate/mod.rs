//! Who may write, and what becomes of what they wrote: every kind of message passes here.
//!
//! A message that may pass becomes a submission for the agent, or a command that the host answers
//! itself. One that may not leaves nothing but its event's id; whoever may ask to be let in is told
//! a code for the owner.

mod admission;
mod command;
mod pairing;
mod words;

#[cfg(test)]
mod tests;

use crate::agent::{LetterContent, Peer, Submission};
use crate::runtime::bindings::channel::{Conversation, Kind, Message};
use crate::store::{DeliveryId, EventId, NewDelivery, NewPairing, StoreError, Timestamp, TurnId};

use super::attachments;
use super::line::{Line, chance};
use super::route::Route;
use admission::Standing;
pub(super) use command::Command;

/// A message, judged.
#[derive(Debug)]
pub(super) struct Judged {
    /// Its id, under which a repeat is dropped.
    pub(super) event: EventId,
    /// Where answers to it go.
    pub(super) route: Route,
    /// What becomes of it.
    pub(super) fate: Fate,
}

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is for the agent.
    Submit(Submission),
    /// The host answers it.
    Command(Command, Submission),
    /// Its sender is told how to be let in.
    Pair(NewPairing, &'static str),
    /// Nothing of it is kept but its id.
    Ignore(Ignored),
}

/// Why a message is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ignored {
    /// A program wrote it, perhaps the agent itself.
    Bot,
    /// Its sender may not write.
    NotAllowed,
    /// In a group, it is not meant for the agent.
    NotMentioned,
    /// There is nothing in it that the agent is to answer.
    Silent,
    /// Its address is longer than can be kept.
    Address,
}

/// Decides on one message. Asks the store only where it must.
///
/// # Errors
/// The store failed: nothing is decided.
pub(super) async fn judge(line: &Line, message: &Message, now: Timestamp) -> Result<Judged, StoreError> {
    let account = message.address.account.clone().unwrap_or_else(|| line.name.to_string());
    let event = EventId { account: account.clone(), id: message.event_id.clone() };
    let route = Route::of(message, message.conversation != Conversation::Direct);
    let fate = fate(line, message, account, &route, now).await?;
    Ok(Judged { event, route, fate })
}

async fn fate(
    line: &Line,
    message: &Message,
    account: String,
    route: &Route,
    now: Timestamp,
) -> Result<Fate, StoreError> {
    if message.sender.bot {
        return Ok(Fate::Ignore(Ignored::Bot));
    }
    match admission::standing(line, message, &account, now).await? {
        Standing::Allowed => {}
        Standing::Refused => return Ok(Fate::Ignore(Ignored::NotAllowed)),
        // Only words that were meant for the agent are answered by a code.
        Standing::MayAsk(writer) if is_meant(line, message) && message.kind == Kind::New => {
            return Ok(match pairing::ask(line, message, writer, now).await? {
                Some(asked) => Fate::Pair(asked, words::of_pairing(message.conversation)),
                None => Fate::Ignore(Ignored::NotAllowed),
            });
        }
        Standing::MayAsk(_) => return Ok(Fate::Ignore(Ignored::NotAllowed)),
    }
    if !is_meant(line, message) {
        return Ok(Fate::Ignore(Ignored::NotMentioned));
    }
    let Some(content) = words::content(line, message) else { return Ok(Fate::Ignore(Ignored::Silent)) };
    let Some(destination) = route.destination(line.name.as_str()) else {
        return Ok(Fate::Ignore(Ignored::Address));
    };
    let submission = Submission {
        peer: peer(line, message, account),
        agent: None,
        content,
        attachments: attachments::kept(line.name.as_str(), &message.attachments),
        destination: Some(destination),
        idempotency_key: None,
    };
    Ok(match Command::of(message) {
        Some(command) => Fate::Command(command, submission),
        None => Fate::Submit(submission),
    })
}

/// Whether a message is meant for the agent: in a group, it mentions it, unless the owner wants all.
fn is_meant(line: &Line, message: &Message) -> bool {
    message.conversation != Conversation::Group || message.mentions_agent || !line.config.mention
}

/// Who is answered, and in which session: the conversation, and the thread where it has some.
fn peer(line: &Line, message: &Message, account: String) -> Peer {
    let address = &message.address;
    let peer = match &address.thread {
        Some(thread) => format!("{}/{thread}", address.peer),
        None => address.peer.clone(),
    };
    Peer { channel: line.name.to_string(), account, peer, guild: address.guild.clone(), team: address.team.clone() }
}

/// What the host itself says, as a delivery. It belongs to no session: who was not let in has none.
pub(super) fn reply(line: &Line, route: &Route, text: String, now: Timestamp) -> Option<NewDelivery> {
    let destination = route.destination(line.name.as_str())?;
    let letter = crate::agent::Letter { address: destination.address, content: LetterContent::Markdown { text } };
    Some(NewDelivery {
        id: DeliveryId(TurnId::new(now, chance())),
        session: None,
        channel: destination.channel,
        conversation: destination.conversation,
        content: letter.to_bytes(),
        draft: false,
        epoch: line.epoch,
        now,
    })
}
