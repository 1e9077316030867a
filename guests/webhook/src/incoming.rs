//! From the platform to the agent: the first rule that fits makes a message of an event.

use std::collections::BTreeMap;

use exoclaw_guest::channel::{Action, Address, Conversation, Event, Health, Kind, Message, Received, Sender};
use exoclaw_guest::{Error, failed, invalid, unsupported};
use serde_json::Value;

use crate::settings::{ConversationName, Rule, WebhookSettings};
use crate::template::{self, Reading};

/// The longest id, in bytes: the host keeps no longer ones.
const MAX_ID: usize = 1 << 10;
/// The most of an event that is kept for its answer, in bytes.
const MAX_HANDLE: usize = 32 << 10;

pub fn receive(settings: &WebhookSettings, event: Event) -> Result<Received<()>, Error> {
    let request = match event {
        Event::Webhook(request) => request,
        // A webhook waits by itself.
        Event::Start(_) => {
            return Ok(Received { actions: vec![Action::Report(Health::Ready)], ..Received::default() });
        }
        Event::Stop => return Ok(Received::default()),
        _ => return Err(unsupported("this channel is reached by webhook only")),
    };
    let body: Value = serde_json::from_slice(&request.body)?;
    let event = template::Event { body: &body, headers: &request.headers };
    let fits = |rule: &&Rule| rule.when.hold(&event) && !rule.unless.any(&event);
    let Some(rule) = settings.events.iter().find(fits) else { return Ok(Received::default()) };
    let message = message(settings, rule, &event)?;
    // What says nothing needs no answer.
    let messages: Vec<_> = Some(message).filter(|message| !message.text.trim().is_empty()).into_iter().collect();
    Ok(Received { state: (!messages.is_empty()).then_some(()), messages, ..Received::default() })
}

fn message(settings: &WebhookSettings, rule: &Rule, event: &template::Event<'_>) -> Result<Message, Error> {
    let id = |what: &str, reading: &Reading| match reading.of(event) {
        id if id.is_empty() => Err(invalid(format_args!("the event has no {what}"))),
        id if id.len() > MAX_ID => Err(invalid(format_args!("the event's {what} has more than {MAX_ID} bytes"))),
        id => Ok(id),
    };
    let some =
        |reading: &Option<Reading>| reading.as_ref().map(|reading| reading.of(event)).filter(|text| !text.is_empty());
    let event_id = id("event id", &rule.event_id)?;
    let conversation = match rule.conversation {
        ConversationName::Direct => Conversation::Direct,
        ConversationName::Group => Conversation::Group,
        ConversationName::Broadcast => Conversation::Broadcast,
    };
    let text = rule.text.of(event);
    let is_called = rule.mention.as_ref().is_some_and(|mention| mentions(&text, mention));
    let sender = Sender {
        id: id("sender", &rule.sender)?,
        name: some(&rule.sender_name),
        bot: !rule.bot.is_empty() && rule.bot.hold(event),
    };
    let address =
        Address { account: None, peer: id("peer", &rule.peer)?, guild: None, team: None, thread: some(&rule.thread) };
    Ok(Message {
        id: some(&rule.message_id).unwrap_or_else(|| event_id.clone()),
        event_id,
        kind: Kind::New,
        address,
        sender,
        text,
        attachments: vec![],
        reply_to: None,
        conversation,
        mentions_agent: is_called || rule.conversation == ConversationName::Direct,
        sent_at: None,
        handle: handle(settings, event)?,
    })
}

/// The parts of the event that its answer will be made of, and no others.
fn handle(settings: &WebhookSettings, event: &template::Event<'_>) -> Result<Vec<u8>, Error> {
    let references = settings.reply.iter().flat_map(|reply| reply.references());
    let parts: BTreeMap<String, Value> =
        references.filter_map(|reference| Some((reference.to_string(), event.get(reference)?))).collect();
    let handle = serde_json::to_vec(&parts).map_err(failed)?;
    if handle.len() > MAX_HANDLE {
        return Err(invalid(format_args!(
            "the parts of the event that `reply` names have more than {MAX_HANDLE} bytes"
        )));
    }
    Ok(handle)
}

/// Whether a text has the word, whatever its case; `@exo` is not in `@exotic`, nor `exo` in `rexo`.
fn mentions(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let is_part = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-');
    text.match_indices(&word).any(|(at, found)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|tail| tail.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_is_a_whole_word() {
        for text in ["@exo hi", "hi @EXO", "(@exo)", "@exo", "İ @exo: x"] {
            assert!(mentions(text, "@exo"), "{text}");
        }
        for text in ["@exotic", "a@exo", "@exo-2", "exo", ""] {
            assert!(!mentions(text, "@exo"), "{text}");
        }
    }
}
