//! From the platform to the agent.
//!
//! Calls are batched, come in any order, and come again until they are answered. Messages are in
//! the order in which they were written; their ids tell the host which it had.

use std::collections::BTreeSet;

use exoclaw_guest::channel::{
    Action, Address, Attachment, Conversation, Event, Health, Kind, Message, Receipt, Received, Sender, Status,
};
use exoclaw_guest::{Error, Level, log, unsupported};
use serde_json::Value;

use crate::WhatsAppSettings;
use crate::payload::{self, Content, Media, Messages, Payload};

pub fn receive(settings: &WhatsAppSettings, event: Event) -> Result<Received<()>, Error> {
    match event {
        Event::Webhook(request) => Ok(called(settings, &serde_json::from_slice(&request.body)?)),
        // A webhook waits by itself.
        Event::Start(_) => Ok(Received { actions: vec![Action::Report(Health::Ready)], ..Received::default() }),
        Event::Stop => Ok(Received::default()),
        _ => Err(unsupported("WhatsApp is reached by webhook only")),
    }
}

fn called(settings: &WhatsAppSettings, payload: &Payload) -> Received<()> {
    let changes = payload.entry.iter().flat_map(|entry| &entry.changes).filter(|change| change.field == "messages");
    let values = changes.filter_map(|change| known::<Messages>(&change.value));
    let (mut messages, mut receipts) = (vec![], vec![]);
    for value in values {
        let number = &value.metadata.phone_number_id;
        if settings.phone_number_id.as_ref().is_some_and(|ours| ours != number) {
            continue;
        }
        for problem in &value.errors {
            log(Level::Warn, &format!("WhatsApp tells of an {problem}"));
        }
        messages.extend(value.messages.iter().filter_map(known).filter_map(|message| one(&value, message)));
        receipts.extend(value.statuses.iter().filter_map(known).filter_map(receipt));
    }
    messages.sort_by_key(|message: &Message| message.sent_at);
    let mut ids = BTreeSet::new();
    messages.retain(|message| ids.insert(message.event_id.clone()));
    let carries = !messages.is_empty() || !receipts.is_empty();
    Received { state: carries.then_some(()), messages, receipts, ..Received::default() }
}

/// What is not as we know it is left out, and told.
fn known<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    let read = T::deserialize(value);
    read.inspect_err(|error| log(Level::Warn, &format!("a part of a webhook call is left out: {error}"))).ok()
}

fn one(value: &Messages, message: payload::Message) -> Option<Message> {
    let sender = message.from.as_ref().or(message.from_user_id.as_ref()).filter(|id| is_id(id))?;
    if !is_id(&message.id) || !is_id(&value.metadata.phone_number_id) {
        return None;
    }
    if message.group_id.is_some() {
        // Answered in private, it would be an answer to another conversation.
        log(Level::Info, "a message in a group is left out: groups are not supported");
        return None;
    }
    let is = |id: &Option<String>, of: &Option<String>| id.is_some() && id == of;
    let contact = value
        .contacts
        .iter()
        .find(|contact| is(&contact.wa_id, &message.from) || is(&contact.user_id, &message.from_user_id));
    let profile = contact.and_then(|contact| contact.profile.as_ref());
    let name = profile.and_then(|profile| profile.name.clone().or_else(|| profile.username.clone()));
    let seconds = message.timestamp.as_deref().and_then(|seconds| seconds.parse::<u64>().ok());
    let mut said = Message {
        event_id: message.id.clone(),
        id: message.id.clone(),
        kind: Kind::New,
        address: Address {
            account: Some(value.metadata.phone_number_id.clone()),
            peer: sender.clone(),
            guild: None,
            team: None,
            thread: None,
        },
        sender: Sender { id: sender.clone(), name, bot: false },
        text: String::new(),
        attachments: vec![],
        reply_to: message.context.and_then(|context| context.id),
        conversation: Conversation::Direct,
        mentions_agent: true,
        sent_at: seconds.and_then(|seconds| seconds.checked_mul(1000)),
        // The read receipt and the typing indicator belong to a message.
        handle: message.id.into_bytes(),
    };
    fill(&mut said, message.content)?;
    Some(said)
}

/// What it says. None where that is nothing to the agent.
fn fill(said: &mut Message, content: Content) -> Option<()> {
    match content {
        Content::Text { text } => said.text = text.body,
        Content::Image { image } => attach(said, image, "image/jpeg"),
        Content::Video { video } => attach(said, video, "video/mp4"),
        Content::Audio { audio } => attach(said, audio, "audio/ogg"),
        Content::Document { document } => attach(said, document, "application/octet-stream"),
        Content::Sticker { sticker } => attach(said, sticker, "image/webp"),
        Content::Location { location } => said.text = place(&location),
        Content::Contacts { contacts } => said.text = contacts.iter().map(card).collect::<Vec<_>>().join("\n"),
        Content::Interactive { interactive } => {
            let choice = interactive.button_reply.or(interactive.list_reply)?;
            said.text = [Some(choice.title), choice.description].into_iter().flatten().collect::<Vec<_>>().join(": ");
        }
        Content::Button { button } => said.text = button.text,
        Content::Reaction { reaction } => {
            said.kind = Kind::Reaction(reaction.emoji.filter(|emoji| !emoji.is_empty())?);
            said.id = Some(reaction.message_id).filter(|id| is_id(id))?;
        }
        Content::Edit { edit } => {
            // An edit of an edit there is not.
            let content = Some(*edit.message.content).filter(|content| !matches!(content, Content::Edit { .. }))?;
            said.kind = Kind::Edit;
            said.id = Some(edit.original_message_id).filter(|id| is_id(id))?;
            fill(said, content)?;
        }
        Content::Other => {
            log(Level::Info, "a message of a type that is not supported is left out");
            return None;
        }
    }
    Some(())
}

fn attach(said: &mut Message, media: Media, mime_type: &str) {
    said.text = media.caption.unwrap_or_default();
    // `audio/ogg; codecs=opus` is a voice note.
    let given = media.mime_type.as_deref().and_then(|given| given.split(';').next()).map(str::trim);
    let mime_type = given.filter(|given| given.contains('/')).unwrap_or(mime_type).to_owned();
    said.attachments = vec![Attachment { mime_type, name: media.filename, size: None, handle: media.id.into_bytes() }];
}

fn place(location: &payload::Location) -> String {
    let point = format!("{}, {}", location.latitude, location.longitude);
    let words = [location.name.as_deref(), location.address.as_deref(), Some(&point)];
    format!("Location: {}", words.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

fn card(card: &payload::Card) -> String {
    let name = card.name.as_ref().and_then(|name| name.formatted_name.as_deref());
    let phones = card.phones.iter().filter_map(|phone| phone.phone.as_deref());
    format!("Contact: {}", name.into_iter().chain(phones).collect::<Vec<_>>().join(", "))
}

/// What became of a message of ours. That it was `sent` its request told.
fn receipt(status: payload::Status) -> Option<Receipt> {
    let is = match status.status.as_str() {
        "delivered" => Status::Delivered,
        "read" | "played" => Status::Read,
        "failed" => Status::Failed(match status.errors.first() {
            Some(problem) => crate::graph::explained(problem),
            None => "WhatsApp does not say why".into(),
        }),
        _ => return None,
    };
    Some(Receipt { id: status.id, status: is }).filter(|receipt| is_id(&receipt.id))
}

/// What the host can keep something by.
fn is_id(id: &str) -> bool {
    (1..=1024).contains(&id.len())
}
