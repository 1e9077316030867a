//! Messages, edits and reactions ("Events API").

use exoclaw_chat::Turn;
use exoclaw_guest::Error;
use exoclaw_guest::channel::{Address, Attachment, Conversation, Kind, Message, Sender};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::emoji;
use crate::files;
use crate::settings::Slack;
use crate::state::State;
use crate::text;

/// What stands around every event.
#[derive(Deserialize)]
struct Callback<T> {
    team_id: Option<String>,
    #[serde(default)]
    authorizations: Vec<Authorization>,
    event: T,
}

/// For whom the event is; it tells the bot's own id.
#[derive(Deserialize)]
struct Authorization {
    user_id: Option<String>,
    #[serde(default)]
    is_bot: bool,
}

/// Enough to know what it is: other events have other things under the same names.
#[derive(Deserialize)]
struct Typed {
    #[serde(default, rename = "type")]
    kind: String,
}

/// A `message` or an `app_mention`.
#[derive(Deserialize)]
struct Wire {
    #[serde(default, rename = "type")]
    kind: String,
    subtype: Option<String>,
    channel: Option<String>,
    channel_type: Option<String>,
    user: Option<String>,
    bot_id: Option<String>,
    username: Option<String>,
    #[serde(default)]
    text: String,
    ts: Option<String>,
    thread_ts: Option<String>,
    parent_user_id: Option<String>,
    edited: Option<Edited>,
    #[serde(default)]
    files: Vec<files::Wire>,
    /// Of a `message_changed`: as it is now, and as it was.
    message: Option<Box<Wire>>,
    previous_message: Option<Box<Wire>>,
}

#[derive(Deserialize)]
struct Edited {
    ts: String,
}

#[derive(Deserialize)]
struct ReactionAdded {
    user: String,
    reaction: String,
    item: Item,
    item_user: Option<String>,
    event_ts: String,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default, rename = "type")]
    kind: String,
    channel: Option<String>,
    ts: Option<String>,
}

/// Where an event callback stands.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// It is what was posted.
    Body(&'a str),
    /// It is the payload of what came by Socket Mode.
    Envelope(&'a str),
}

impl Source<'_> {
    fn read<T: DeserializeOwned>(self) -> Result<Callback<T>, Error> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            payload: Callback<T>,
        }

        Ok(match self {
            Self::Body(text) => serde_json::from_str(text)?,
            Self::Envelope(text) => serde_json::from_str::<Envelope<T>>(text)?.payload,
        })
    }
}

/// An event callback. Most are of no interest.
pub fn received(settings: &Slack, turn: &mut Turn<State>, source: Source<'_>) -> Result<(), Error> {
    let Callback { event: Typed { kind }, authorizations, team_id } = source.read()?;
    let bot = authorizations.into_iter().find(|one| one.is_bot).and_then(|one| one.user_id);
    let me = turn.state.me.clone().or(bot);
    let reading = Reading { settings, me: me.as_deref(), team: team_id };
    let message = match kind.as_str() {
        "message" | "app_mention" => reading.message(source.read()?.event),
        "reaction_added" => reading.reaction(source.read()?.event),
        _ => None,
    };
    if let Some(message) = message {
        turn.message(message);
    }
    Ok(())
}

struct Reading<'a> {
    settings: &'a Slack,
    me: Option<&'a str>,
    team: Option<String>,
}

impl Reading<'_> {
    fn message(self, wire: Wire) -> Option<Message> {
        match wire.subtype.as_deref() {
            None | Some("file_share" | "thread_broadcast" | "me_message" | "bot_message") => {
                let (channel, kind) = (wire.channel.clone()?, wire.channel_type.clone());
                self.written(wire, channel, kind, Kind::New)
            }
            // Slack also sends it when it has looked up a link, or when somebody answers in the thread.
            Some("message_changed") => {
                let now = *wire.message?;
                let before = wire.previous_message.map(|before| before.text);
                now.edited.as_ref().filter(|_| before.as_ref() != Some(&now.text))?;
                self.written(now, wire.channel?, wire.channel_type, Kind::Edit)
            }
            // Joins, topics, pins, deletions and the like.
            Some(_) => None,
        }
    }

    fn written(self, wire: Wire, channel: String, channel_type: Option<String>, kind: Kind) -> Option<Message> {
        let ts = wire.ts?;
        let me = self.me;
        let conversation = conversation(&channel, channel_type.as_deref());
        let mentions_agent = wire.kind == "app_mention"
            || text::mentions(&wire.text, me)
            || (me.is_some() && wire.parent_user_id.as_deref() == me);
        let text = text::readable(&wire.text, me);
        let attachments: Vec<Attachment> = wire.files.into_iter().filter_map(files::attachment).collect();
        if text.is_empty() && attachments.is_empty() && !mentions_agent {
            return None;
        }
        let event_id = match (&kind, &wire.edited) {
            (Kind::Edit, Some(edited)) => format!("{channel}:{ts}:edit:{}", edited.ts),
            // The same for the `message` and the `app_mention` that it makes.
            _ => format!("{channel}:{ts}"),
        };
        let reply_to = wire.thread_ts.clone().filter(|thread| *thread != ts);
        // What is answered in a channel is answered in its thread, or opens one.
        let thread = match conversation {
            Conversation::Direct => wire.thread_ts,
            _ if self.settings.threads => wire.thread_ts.or_else(|| Some(ts.clone())),
            _ => wire.thread_ts,
        };
        let is_bot = wire.bot_id.is_some() || wire.subtype.as_deref() == Some("bot_message");
        let id = wire.user.or(wire.bot_id)?;
        Some(Message {
            event_id,
            sent_at: matches!(kind, Kind::New).then(|| milliseconds(&ts)).flatten(),
            id: ts,
            kind,
            address: self.address(channel, thread),
            sender: Sender { bot: is_bot || me == Some(id.as_str()) || id == SLACKBOT, name: wire.username, id },
            text,
            attachments,
            reply_to,
            conversation,
            mentions_agent,
            handle: vec![],
        })
    }

    fn reaction(self, wire: ReactionAdded) -> Option<Message> {
        let channel = wire.item.channel.filter(|_| wire.item.kind == "message")?;
        let ts = wire.item.ts?;
        let me = self.me;
        Some(Message {
            event_id: format!("{channel}:{ts}:reaction:{}:{}:{}", wire.user, wire.reaction, wire.event_ts),
            id: ts,
            kind: Kind::Reaction(emoji::character(&wire.reaction)),
            conversation: conversation(&channel, None),
            // Slack does not say which thread the message is in.
            address: self.address(channel, None),
            sender: Sender { bot: me == Some(wire.user.as_str()), name: None, id: wire.user },
            text: String::new(),
            attachments: vec![],
            reply_to: None,
            mentions_agent: me.is_some() && wire.item_user.as_deref() == me,
            sent_at: milliseconds(&wire.event_ts),
            handle: vec![],
        })
    }

    fn address(self, peer: String, thread: Option<String>) -> Address {
        Address { account: None, peer, guild: None, team: self.team, thread }
    }
}

/// Slack's own bot, whose messages do not say that they are a bot's.
const SLACKBOT: &str = "USLACKBOT";

/// An `app_mention` and a reaction do not say what their channel is, but the ids of direct ones begin with D.
fn conversation(channel: &str, channel_type: Option<&str>) -> Conversation {
    match channel_type {
        Some("im" | "app_home") => Conversation::Direct,
        _ if channel.starts_with('D') => Conversation::Direct,
        _ => Conversation::Group,
    }
}

/// Of a timestamp, which is seconds with six digits behind the point.
fn milliseconds(ts: &str) -> Option<u64> {
    let (seconds, fraction) = ts.split_once('.').unwrap_or((ts, "0"));
    let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_a_time() {
        assert_eq!(milliseconds("1355517523.000005"), Some(1_355_517_523_000));
        assert_eq!(milliseconds("1355517523.25"), Some(1_355_517_523_250));
        assert_eq!(milliseconds("1355517523"), Some(1_355_517_523_000));
        for wrong in ["", ".", "x.1", "-1.0", "1.é", "99999999999999999999.0"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }
}
