//! Messages, edits and reactions that the gateway dispatches ("Gateway Events", "Messages").

use exoclaw_chat::Turn;
use exoclaw_guest::Error;
use exoclaw_guest::channel::{Address, Attachment, Conversation, Kind, Message, Sender};
use serde::Deserialize;

use crate::files;
use crate::gateway::parse;
use crate::places::{self, Stamp};
use crate::roles;
use crate::settings::Discord;
use crate::state::State;
use crate::text::{self, Names};

/// Discord counts milliseconds from here (Reference, "Snowflakes"): 2015-01-01.
const EPOCH_MS: u64 = 1_420_070_400_000;

/// A message as `MESSAGE_CREATE` and `MESSAGE_UPDATE` carry it.
#[derive(Deserialize)]
struct Wire {
    id: String,
    channel_id: String,
    guild_id: Option<String>,
    author: Option<Author>,
    member: Option<Member>,
    content: Option<String>,
    edited_timestamp: Option<String>,
    /// 0 is what somebody wrote, 19 the same as a reply; 20 and 23 are what apps answer to commands.
    /// All else tells of joins, pins and the like.
    #[serde(default, rename = "type")]
    kind: u8,
    #[serde(default)]
    mentions: Vec<Author>,
    #[serde(default)]
    mention_roles: Vec<String>,
    #[serde(default)]
    attachments: Vec<files::Wire>,
    #[serde(default)]
    sticker_items: Vec<Named>,
    webhook_id: Option<String>,
    message_reference: Option<Reference>,
    referenced_message: Option<Box<Wire>>,
    #[serde(default)]
    message_snapshots: Vec<Snapshot>,
}

#[derive(Deserialize)]
pub struct Author {
    pub id: String,
    #[serde(default)]
    pub username: String,
    pub global_name: Option<String>,
    #[serde(default)]
    pub bot: bool,
}

#[derive(Deserialize)]
pub struct Member {
    nick: Option<String>,
    user: Option<Author>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Reference {
    message_id: Option<String>,
}

/// What was forwarded.
#[derive(Deserialize)]
struct Snapshot {
    message: Forwarded,
}

#[derive(Deserialize)]
struct Forwarded {
    #[serde(default)]
    content: String,
    #[serde(default)]
    attachments: Vec<files::Wire>,
}

#[derive(Deserialize)]
struct ReactionAdd {
    user_id: String,
    channel_id: String,
    message_id: String,
    guild_id: Option<String>,
    member: Option<Member>,
    emoji: Emoji,
    message_author_id: Option<String>,
}

/// A custom one has an id, a standard one is its own name.
#[derive(Deserialize)]
struct Emoji {
    id: Option<String>,
    name: Option<String>,
}

/// A dispatch that is neither `READY` nor `RESUMED`. Most are of no interest.
pub fn received(settings: &Discord, turn: &mut Turn<State>, kind: &str, text: &str) -> Result<(), Error> {
    let session = turn.state.session.as_ref().map(|session| session.id.clone()).unwrap_or_default();
    let stamp = Stamp { kind: kind.to_owned(), session, seq: turn.state.seq.unwrap_or_default() };
    if let Some(message) = read(&stamp, text, &turn.state)? {
        if let Some(guild) = &message.address.guild {
            roles::ask(settings, turn, guild);
        }
        places::admit(settings, turn, message, stamp, text);
    }
    Ok(())
}

/// The message that a dispatch is.
///
/// # Errors
/// It is not as Discord documents it.
pub fn read(stamp: &Stamp, text: &str, state: &State) -> Result<Option<Message>, Error> {
    Ok(match stamp.kind.as_str() {
        "MESSAGE_CREATE" => message(parse(text)?, state, Kind::New),
        // Discord also sends it when it has looked up a link; only an edit has the time of one.
        "MESSAGE_UPDATE" => {
            let wire: Wire = parse(text)?;
            let is_edit = wire.content.is_some() && wire.edited_timestamp.is_some();
            if is_edit { message(wire, state, Kind::Edit) } else { None }
        }
        "MESSAGE_REACTION_ADD" => reaction(parse(text)?, state, stamp),
        _ => None,
    })
}

fn message(wire: Wire, state: &State, kind: Kind) -> Option<Message> {
    let is_text = matches!(wire.kind, 0 | 19 | 20 | 23);
    let author = wire.author.filter(|_| is_text)?;
    let me = state.me.as_deref().unwrap_or_default();
    let role = wire.guild_id.as_ref().and_then(|guild| state.roles.get(guild)).and_then(Option::as_deref);
    let answers_me = wire.referenced_message.and_then(|message| message.author).is_some_and(|author| author.id == me);
    let mentions_agent = answers_me
        || wire.mentions.iter().any(|user| user.id == me)
        || role.is_some_and(|role| wire.mention_roles.iter().any(|id| id == role));

    let names = Names { me, role, users: &wire.mentions };
    let mut text = text::readable(wire.content.as_deref().unwrap_or_default(), &names);
    let mut files = wire.attachments;
    for Snapshot { message } in wire.message_snapshots {
        text::paragraph(&mut text, &format!("[forwarded] {}", text::readable(&message.content, &names)));
        files.extend(message.attachments);
    }
    for sticker in wire.sticker_items {
        text::paragraph(&mut text, &format!("[sticker: {}]", sticker.name));
    }
    let attachments: Vec<Attachment> =
        files.into_iter().filter_map(|file| files::attachment(file, &wire.channel_id, &wire.id)).collect();
    // Without the message content intent a text is empty where the bot is not addressed.
    if text.is_empty() && attachments.is_empty() && !mentions_agent {
        return None;
    }

    let event_id = match (&kind, &wire.edited_timestamp) {
        (Kind::Edit, Some(time)) => format!("{}:edit:{time}", wire.id),
        _ => wire.id.clone(),
    };
    Some(Message {
        event_id,
        sent_at: matches!(kind, Kind::New).then(|| sent_at(&wire.id)).flatten(),
        id: wire.id,
        kind,
        conversation: conversation(wire.guild_id.as_deref()),
        address: address(wire.channel_id, wire.guild_id),
        sender: Sender {
            name: wire.member.and_then(|member| member.nick).or_else(|| author.name()),
            bot: author.bot || author.id == me || wire.webhook_id.is_some(),
            id: author.id,
        },
        text,
        attachments,
        reply_to: wire.message_reference.and_then(|reference| reference.message_id),
        mentions_agent,
        handle: vec![],
    })
}

fn reaction(wire: ReactionAdd, state: &State, stamp: &Stamp) -> Option<Message> {
    let name = wire.emoji.name.filter(|name| !name.is_empty())?;
    let emoji = match &wire.emoji.id {
        Some(_) => format!(":{name}:"),
        None => name,
    };
    let me = state.me.as_deref();
    let user = wire.member.as_ref().and_then(|member| member.user.as_ref());
    // The same reaction may be taken back and given again, and has no time of its own. Within a
    // session a dispatch has its number, which it keeps when it is sent again.
    let Stamp { session, seq, .. } = stamp;
    Some(Message {
        event_id: format!("{}:reaction:{}:{}:{session}:{seq}", wire.message_id, wire.user_id, emoji),
        id: wire.message_id,
        kind: Kind::Reaction(emoji),
        conversation: conversation(wire.guild_id.as_deref()),
        address: address(wire.channel_id, wire.guild_id),
        sender: Sender {
            name: wire.member.as_ref().and_then(|member| member.nick.clone()).or_else(|| user.and_then(Author::name)),
            bot: user.is_some_and(|user| user.bot) || me == Some(wire.user_id.as_str()),
            id: wire.user_id,
        },
        text: String::new(),
        attachments: vec![],
        reply_to: None,
        mentions_agent: me.is_some() && me == wire.message_author_id.as_deref(),
        sent_at: None,
        handle: vec![],
    })
}

impl Member {
    /// The name in this guild, and the user.
    pub fn split(self) -> (Option<String>, Option<Author>) {
        (self.nick, self.user)
    }
}

impl Author {
    /// As others see it: the display name, or the unique one.
    pub fn name(&self) -> Option<String> {
        let name = self.global_name.as_ref().unwrap_or(&self.username);
        Some(name.clone()).filter(|name| !name.is_empty())
    }
}

/// As the platform tells it, before it is known whether the channel is a thread.
pub fn address(channel: String, guild: Option<String>) -> Address {
    Address { account: None, peer: channel, guild, team: None, thread: None }
}

pub fn conversation(guild: Option<&str>) -> Conversation {
    if guild.is_some() { Conversation::Group } else { Conversation::Direct }
}

/// When what has this id was made (Reference, "Snowflakes").
pub fn sent_at(id: &str) -> Option<u64> {
    Some((id.parse::<u64>().ok()? >> 22) + EPOCH_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_the_documentation_tells_its_time() {
        assert_eq!(sent_at("175928847299117063"), Some(1_462_015_105_796));
        assert_eq!(sent_at("none"), None);
    }
}
