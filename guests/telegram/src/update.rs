//! Updates, as messages for the agent.

use exoclaw_guest::channel::{Address, Attachment, Conversation, Kind, Message, Sender};

use crate::Me;
use crate::api::{self, Chat, ChatKind, MessageEntity, Update, User};

/// The thread of a forum's general topic, whose messages carry none
/// (<https://core.telegram.org/api/forum#forum-topics>).
pub const GENERAL_TOPIC: i64 = 1;

/// What of an update is for the agent.
pub fn messages(update: Update, me: Option<&Me>) -> Vec<Message> {
    let event_id = update.update_id.to_string();
    if let Some(reaction) = update.message_reaction {
        return reactions(&event_id, reaction, me);
    }
    let new = update.message.or(update.channel_post).map(|message| (message, Kind::New));
    let edited = update.edited_message.or(update.edited_channel_post).map(|message| (message, Kind::Edit));
    let message = new.or(edited).and_then(|(message, kind)| self::message(event_id, message, kind, me));
    message.into_iter().collect()
}

/// None where it says nothing to this bot: someone joined, or a command is another bot's.
fn message(event_id: String, message: api::Message, kind: Kind, me: Option<&Me>) -> Option<Message> {
    let attachments = attachments(&message);
    let described = described(&message);
    let api::Message { text, entities, caption, caption_entities, .. } = &message;
    let (text, entities) = match (text, caption) {
        (Some(text), _) => (text.as_str(), entities),
        (None, Some(caption)) => (caption.as_str(), caption_entities),
        (None, None) => ("", entities),
    };
    let addressed = Addressed::read(text, entities, me);
    let text = match addressed {
        Addressed::Other => return None,
        // `/stop@this_bot` is the command `/stop`.
        Addressed::Command(ref name) => text.replacen(&format!("@{name}"), "", 1),
        _ if text.is_empty() => described.unwrap_or_default(),
        _ => text.to_owned(),
    };
    if text.is_empty() && attachments.is_empty() {
        return None;
    }
    let replied = message.reply_to_message.as_deref().filter(|replied| replied.forum_topic_created.is_none());
    let to_bot = replied.and_then(|replied| replied.from.as_ref()).is_some_and(|from| is_me(from, me));
    let conversation = match message.chat.kind {
        _ if message.is_automatic_forward => Conversation::Broadcast,
        kind => conversation(kind),
    };
    let thread = match message.message_thread_id {
        // Elsewhere a thread is but a chain of replies.
        Some(thread) if message.is_topic_message => Some(thread),
        _ => message.chat.is_forum.then_some(GENERAL_TOPIC),
    };
    let seconds = message.edit_date.filter(|_| matches!(kind, Kind::Edit)).unwrap_or(message.date);
    Some(Message {
        event_id,
        id: message.message_id.to_string(),
        kind,
        address: address(&message.chat, thread),
        sender: sender(message.from, message.sender_chat, message.author_signature, &message.chat, me),
        text,
        attachments,
        reply_to: replied.map(|replied| replied.message_id.to_string()),
        conversation,
        mentions_agent: to_bot || !matches!(addressed, Addressed::Nobody),
        sent_at: Some(seconds.saturating_mul(1_000)),
        handle: vec![],
    })
}

/// Each emoji that was added; of those that were taken back, nothing is told.
fn reactions(event_id: &str, reaction: api::MessageReactionUpdated, me: Option<&Me>) -> Vec<Message> {
    let api::MessageReactionUpdated { chat, message_id, user, actor_chat, date, old_reaction, new_reaction } = reaction;
    let added = new_reaction.iter().filter(|new| !old_reaction.contains(new)).filter_map(|new| new.emoji.clone());
    let added: Vec<String> = added.collect();
    if added.is_empty() {
        return vec![];
    }
    let (conversation, address) = (conversation(chat.kind), address(&chat, None));
    let sender = sender(user, actor_chat, None, &chat, me);
    let message = |(index, emoji)| Message {
        event_id: if index == 0 { event_id.to_owned() } else { format!("{event_id}.{index}") },
        id: message_id.to_string(),
        kind: Kind::Reaction(emoji),
        address: address.clone(),
        sender: sender.clone(),
        text: String::new(),
        attachments: vec![],
        reply_to: None,
        conversation,
        mentions_agent: false,
        sent_at: Some(date.saturating_mul(1_000)),
        handle: vec![],
    };
    added.into_iter().enumerate().map(message).collect()
}

fn conversation(kind: ChatKind) -> Conversation {
    match kind {
        ChatKind::Private => Conversation::Direct,
        ChatKind::Group | ChatKind::Supergroup => Conversation::Group,
        ChatKind::Channel => Conversation::Broadcast,
    }
}

fn address(chat: &Chat, thread: Option<i64>) -> Address {
    let thread = thread.map(|thread| thread.to_string());
    Address { account: None, peer: chat.id.to_string(), guild: None, team: None, thread }
}

/// Who writes in the name of a chat (an anonymous administrator, a channel) is that chat: the user that
/// Telegram names beside it is a stand-in.
fn sender(user: Option<User>, chat: Option<Chat>, signature: Option<String>, place: &Chat, me: Option<&Me>) -> Sender {
    match (chat, user) {
        (Some(chat), _) => Sender { id: chat.id.to_string(), name: signature.or(chat.title), bot: false },
        (None, Some(user)) => {
            let bot = user.is_bot || is_me(&user, me);
            let name = match &user.last_name {
                Some(last) => format!("{} {last}", user.first_name),
                None => user.first_name,
            };
            Sender { id: user.id.to_string(), name: Some(name).filter(|name| !name.is_empty()), bot }
        }
        (None, None) => {
            Sender { id: place.id.to_string(), name: signature.or_else(|| place.title.clone()), bot: false }
        }
    }
}

fn is_me(user: &User, me: Option<&Me>) -> bool {
    me.is_some_and(|me| me.id == user.id)
}

/// Whom a text calls.
enum Addressed {
    /// This bot, by its name.
    Bot,
    /// This bot, by a command with its name behind it.
    Command(String),
    /// Another bot, by a command with that one's name behind it.
    Other,
    Nobody,
}

impl Addressed {
    fn read(text: &str, entities: &[MessageEntity], me: Option<&Me>) -> Self {
        let mut found = Self::Nobody;
        for entity in entities {
            let covered = covered(text, entity).unwrap_or_default();
            match entity.kind.as_str() {
                "bot_command" => match covered.split_once('@') {
                    Some((_, name)) if is_named(name, me) && entity.offset == 0 => return Self::Command(name.into()),
                    Some((_, name)) if is_named(name, me) => found = Self::Bot,
                    Some(_) if entity.offset == 0 && me.is_some() => return Self::Other,
                    Some(_) => {}
                    // A bot is given such a command where it may be its own.
                    None if entity.offset == 0 => found = Self::Bot,
                    None => {}
                },
                "mention" if is_named(covered.trim_start_matches('@'), me) => found = Self::Bot,
                "text_mention" if entity.user.as_ref().is_some_and(|user| is_me(user, me)) => found = Self::Bot,
                _ => {}
            }
        }
        found
    }
}

fn is_named(name: &str, me: Option<&Me>) -> bool {
    me.is_some_and(|me| !me.username.is_empty() && me.username.eq_ignore_ascii_case(name))
}

/// The text of an entity, whose bounds count UTF-16 units.
fn covered<'a>(text: &'a str, entity: &MessageEntity) -> Option<&'a str> {
    let byte_at = |wanted: usize| {
        let mut units = 0;
        let mut starts = text.char_indices().map(|(byte, character)| {
            let start = units;
            units += character.len_utf16();
            (start, byte)
        });
        starts.find(|(start, _)| *start >= wanted).map_or(text.len(), |(_, byte)| byte)
    };
    text.get(byte_at(entity.offset)..byte_at(entity.offset.checked_add(entity.length)?))
}

fn attachments(message: &api::Message) -> Vec<Attachment> {
    let attachment = |mime_type: &str, name: Option<String>, size, id: &str| Attachment {
        mime_type: mime_type.into(),
        name,
        size,
        handle: id.as_bytes().to_vec(),
    };
    let file = |file: &Option<api::File>, mime_type: &str| {
        let file = file.as_ref()?;
        let mime_type = file.mime_type.as_deref().unwrap_or(mime_type);
        Some(attachment(mime_type, file.file_name.clone(), file.file_size, &file.file_id))
    };
    // Every size of one picture, of which the largest will do.
    let photo = message.photo.iter().max_by_key(|size| u64::from(size.width) * u64::from(size.height));
    let photo = photo.map(|size| attachment("image/jpeg", None, size.file_size, &size.file_id));
    let sticker = message.sticker.as_ref().map(|sticker| {
        let mime_type = match sticker {
            api::Sticker { is_animated: true, .. } => "application/x-tgsticker",
            api::Sticker { is_video: true, .. } => "video/webm",
            _ => "image/webp",
        };
        attachment(mime_type, None, sticker.file_size, &sticker.file_id)
    });
    // An animation stands in `document`, too, for those who know no animations.
    let document = if message.animation.is_some() { &message.animation } else { &message.document };
    [
        photo,
        file(document, "application/octet-stream"),
        file(&message.audio, "audio/mpeg"),
        file(&message.voice, "audio/ogg"),
        file(&message.video, "video/mp4"),
        file(&message.video_note, "video/mp4"),
        sticker,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What has no text and is no file, in words.
fn described(message: &api::Message) -> Option<String> {
    if let Some(emoji) = message.sticker.as_ref().and_then(|sticker| sticker.emoji.clone()) {
        return Some(emoji);
    }
    if let Some(contact) = &message.contact {
        let name = [Some(contact.first_name.as_str()), contact.last_name.as_deref()];
        let name: Vec<&str> = name.into_iter().flatten().filter(|name| !name.is_empty()).collect();
        return Some(format!("📇 {}, {}", name.join(" "), contact.phone_number));
    }
    let location = message.location.as_ref()?;
    let place = format!("📍 {}, {}", location.latitude, location.longitude);
    Some(match &message.venue {
        Some(venue) => format!("{place} ({}, {})", venue.title, venue.address),
        None => place,
    })
}
