//! Discord: its gateway, its REST API and its interactions, <https://discord.com/developers/docs>.

mod gateway;
mod interactions;
mod limits;
mod rest;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::desk::{Desk, Seen};
use super::server::{Answer, Platform, Request, Scheme, Server, Socket};
use gateway::Gateway;
pub(crate) use gateway::{Hangup, Intents};
pub(crate) use interactions::SIGNING_SEED;
use limits::Limits;
pub(crate) use limits::too_many as limits_too_many;

/// What the bot is known by.
pub(crate) const TOKEN: &str = "MTEwMDAwMDAwMDAwMDAwMDAwMA.FAKEFK.fake-token-of-a-bot-for-tests";

pub(crate) const BOT_ID: &str = "1100000000000000001";
pub(crate) const APPLICATION_ID: &str = "1100000000000000002";

/// Discord, as long as this lives.
pub(crate) type Discord = Server<Api>;

pub(crate) struct Api {
    desk: Desk,
    origin: String,
    socket_origin: String,
    state: Mutex<State>,
    messages: Seen<Shown>,
    typing: Seen<String>,
    reactions: Seen<Reaction>,
    gateway: Gateway,
    limits: Limits,
}

#[derive(Default)]
struct State {
    channels: HashMap<String, Channel>,
    /// Messages of users.
    heard: HashMap<String, Value>,
    /// Messages of the bot's, by channel and nonce.
    nonces: HashMap<(String, String), String>,
    /// Sends that a nonce showed to be repeats.
    repeats: usize,
    /// Interactions, by their token, with the message that they were answered by.
    interactions: HashMap<String, interactions::Open>,
    /// Files of users on the CDN, by their path.
    files: HashMap<String, (String, Vec<u8>)>,
    next_id: u64,
}

/// A place to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) guild: Option<String>,
    /// Of a thread, the channel that it hangs from.
    pub(crate) parent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) bot: bool,
}

/// A message of the bot's, as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) request: u64,
    pub(crate) at: Instant,
    pub(crate) channel: String,
    pub(crate) id: String,
    pub(crate) content: String,
    pub(crate) nonce: Option<String>,
    pub(crate) reply_to: Option<String>,
    /// All contents that it had before.
    pub(crate) earlier: Vec<String>,
    /// Names and contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reaction {
    pub(crate) channel: String,
    pub(crate) message: String,
    pub(crate) emoji: String,
}

impl Discord {
    pub(crate) async fn start(scheme: Scheme) -> Self {
        Self::serve(scheme, |address| Api {
            desk: Desk::default(),
            origin: format!("{}://{address}", scheme.http()),
            socket_origin: format!("{}://{address}", scheme.ws()),
            state: Mutex::new(State { next_id: 1_200_000_000_000_000_000, ..State::default() }),
            messages: Seen::default(),
            typing: Seen::default(),
            reactions: Seen::default(),
            gateway: Gateway::default(),
            limits: Limits::default(),
        })
        .await
    }

    /// Where its gateway is.
    pub(crate) fn socket_origin(&self) -> String {
        self.platform().socket_origin.clone()
    }

    /// The gateway that bots connect to.
    pub(crate) fn gateway(&self) -> &Gateway {
        &self.platform().gateway
    }

    /// Lets so many requests to a channel's route pass in each window.
    pub(crate) fn limit(&self, requests: u32, window: Duration) {
        self.platform().limits.set(requests, window);
    }

    /// How many requests came beyond a limit.
    pub(crate) fn limited(&self) -> usize {
        self.platform().limits.exceeded()
    }

    /// How many sends a nonce showed to be repeats.
    pub(crate) fn repeats(&self) -> usize {
        self.platform().state.lock().expect("no poison").repeats
    }

    pub(crate) fn direct(&self) -> Channel {
        self.channel(None, None)
    }

    pub(crate) fn text_channel(&self, guild: &str) -> Channel {
        self.channel(Some(guild), None)
    }

    pub(crate) fn thread(&self, parent: &Channel) -> Channel {
        let thread = self.channel(parent.guild.as_deref(), Some(&parent.id));
        let event = json!({
            "id": thread.id, "parent_id": thread.parent, "guild_id": thread.guild, "type": 11, "name": "thread",
        });
        self.platform().gateway.dispatch("THREAD_CREATE", event, Intents::GUILDS);
        thread
    }

    fn channel(&self, guild: Option<&str>, parent: Option<&str>) -> Channel {
        let id = self.platform().fresh_id();
        let channel = Channel { id, guild: guild.map(str::to_owned), parent: parent.map(str::to_owned) };
        let mut state = self.platform().state.lock().expect("no poison");
        state.channels.insert(channel.id.clone(), channel.clone());
        channel
    }

    pub(crate) fn user(&self, name: &str) -> User {
        User { id: self.platform().fresh_id(), name: name.to_owned(), bot: false }
    }

    /// A user writes; returns the message's id.
    pub(crate) fn says(&self, channel: &Channel, user: &User, content: &str) -> String {
        self.writes(channel, user, json!({"content": content}))
    }

    /// A user sends a message with these further fields; returns its id.
    pub(crate) fn writes(&self, channel: &Channel, user: &User, fields: Value) -> String {
        let api = self.platform();
        let id = api.fresh_id();
        let mut message = api.message(channel, user, &id);
        let (Value::Object(into), Value::Object(fields)) = (&mut message, fields) else { panic!("an object") };
        into.extend(fields);
        api.state.lock().expect("no poison").heard.insert(id.clone(), message.clone());
        api.gateway.dispatch_message("MESSAGE_CREATE", channel, message);
        id
    }

    /// A file of a user's; returns what stands in a message. Its address is signed until `ends`, in seconds since 1970.
    pub(crate) fn upload(&self, name: &str, media_type: &str, bytes: &[u8], ends: u64) -> Value {
        let api = self.platform();
        let id = api.fresh_id();
        let path = format!("/attachments/900/{id}/{name}");
        let file = (media_type.to_owned(), bytes.to_vec());
        api.state.lock().expect("no poison").files.insert(path.clone(), file);
        json!({
            "id": id, "filename": name, "content_type": media_type, "size": bytes.len(),
            "url": format!("{}{path}?ex={ends:x}&is=65c68ede&hm=2481f30d", api.origin),
            "proxy_url": format!("{}{path}", api.origin),
        })
    }

    /// A user changes a message of theirs.
    pub(crate) fn edits(&self, channel: &Channel, id: &str, content: &str) {
        let api = self.platform();
        let mut message = api.state.lock().expect("no poison").heard[id].clone();
        message["content"] = content.into();
        message["edited_timestamp"] = timestamp().into();
        api.gateway.dispatch_message("MESSAGE_UPDATE", channel, message);
    }

    pub(crate) fn reacts(&self, channel: &Channel, user: &User, message: &str, emoji: &str) {
        let mut event = json!({
            "user_id": user.id, "channel_id": channel.id, "message_id": message,
            "emoji": {"id": null, "name": emoji}, "burst": false, "type": 0,
        });
        let intent = match &channel.guild {
            None => Intents::DIRECT_MESSAGE_REACTIONS,
            Some(guild) => {
                event["guild_id"] = guild.as_str().into();
                event["member"] = json!({"user": user.json(), "roles": []});
                Intents::GUILD_MESSAGE_REACTIONS
            }
        };
        self.platform().gateway.dispatch("MESSAGE_REACTION_ADD", event, intent);
    }

    pub(crate) fn messages(&self) -> &Seen<Shown> {
        &self.platform().messages
    }

    /// The channels in which the bot showed that it types.
    pub(crate) fn typing(&self) -> &Seen<String> {
        &self.platform().typing
    }

    pub(crate) fn reactions(&self) -> &Seen<Reaction> {
        &self.platform().reactions
    }

    /// Waits until a message of the bot's reads so, and returns it.
    pub(crate) async fn shown(&self, channel: &Channel, content: &str) -> Shown {
        let wanted = |shown: &Shown| shown.channel == channel.id && shown.content == content;
        self.messages().find(&format!("Discord shows {content:?} in {}", channel.id), wanted).await
    }

    pub(crate) fn contents(&self, channel: &Channel) -> Vec<String> {
        let here = self.messages().all().into_iter().filter(|shown| shown.channel == channel.id);
        here.map(|shown| shown.content).collect()
    }
}

impl User {
    fn json(&self) -> Value {
        json!({
            "id": self.id, "username": self.name, "global_name": self.name, "discriminator": "0", "avatar": null,
            "bot": self.bot,
        })
    }
}

/// The bot, as it stands in messages.
fn bot() -> User {
    User { id: BOT_ID.into(), name: "exo".into(), bot: true }
}

fn timestamp() -> String {
    jiff::Timestamp::now().to_string()
}

impl Api {
    fn fresh_id(&self) -> String {
        let mut state = self.state.lock().expect("no poison");
        state.next_id += 1;
        state.next_id.to_string()
    }

    fn message(&self, channel: &Channel, author: &User, id: &str) -> Value {
        let mut message = json!({
            "id": id, "channel_id": channel.id, "author": author.json(), "content": "", "timestamp": timestamp(),
            "edited_timestamp": null, "tts": false, "mention_everyone": false, "mentions": [], "mention_roles": [],
            "attachments": [], "embeds": [], "pinned": false, "type": 0,
        });
        if let Some(guild) = &channel.guild {
            message["guild_id"] = guild.as_str().into();
            message["member"] = json!({"roles": [], "joined_at": timestamp(), "deaf": false, "mute": false});
        }
        message
    }
}

impl Platform for Api {
    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn operation(&self, request: &Request) -> String {
        rest::operation(request)
    }

    async fn answer(&self, request: &Request) -> Answer {
        rest::answer(self, request)
    }

    fn admits(&self, request: &Request) -> Result<(), Answer> {
        self.gateway.admits(&self.desk, request)
    }

    async fn converse(&self, _: Request, socket: Socket) {
        self.gateway.converse(&self.desk, &self.socket_origin, socket).await;
    }
}
