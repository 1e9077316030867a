//! The types of the Bot API, as far as they are used, and its requests
//! (<https://core.telegram.org/bots/api#available-types>).

use exoclaw_chat::{Verdict, post_json, verdict};
use exoclaw_guest::channel::{Outbound, Outcome, Piece, Template};
use exoclaw_guest::{Error, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{TOKEN, TelegramSettings};

/// The longest description that is shown.
const MAX_DESCRIPTION: usize = 300;

/// The address of a method.
pub fn method(settings: &TelegramSettings, name: &str) -> Template {
    address(settings, "/bot", &format!("/{name}"))
}

/// Something below the bot's token.
pub fn address(settings: &TelegramSettings, before: &str, after: &str) -> Template {
    let base = settings.base_url.trim_end_matches('/');
    vec![Piece::Text(format!("{base}{before}")), Piece::Secret(TOKEN.into()), Piece::Text(after.into())]
}

/// A call of a method.
pub fn call(settings: &TelegramSettings, name: &str, parameters: &impl Serialize) -> Result<Outbound, Error> {
    post_json(method(settings, name), parameters)
}

/// What every method answers with.
#[derive(Debug, Deserialize)]
struct Answer<T> {
    #[serde(default)]
    ok: bool,
    result: Option<T>,
    description: Option<String>,
    parameters: Option<ResponseParameters>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct ResponseParameters {
    migrate_to_chat_id: Option<i64>,
    /// In seconds.
    retry_after: Option<u32>,
}

/// Why a method gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was done, and the same may be asked again.
    NotDone(String),
    /// It may have been done.
    Unknown(String),
    /// Nothing was done; it may be asked again after so many milliseconds.
    Limited { after_ms: u32, why: String },
    /// The group is another chat now.
    Migrated(i64),
    /// The status and the description.
    Refused(u16, String),
}

impl Failure {
    pub fn why(&self) -> String {
        match self {
            Self::NotDone(why) | Self::Unknown(why) | Self::Refused(_, why) | Self::Limited { why, .. } => why.clone(),
            Self::Migrated(chat) => format!("the group is the chat {chat} now"),
        }
    }
}

/// Reads the answer to a method.
pub fn result<T: DeserializeOwned>(outcome: &Outcome, now: u64) -> Result<T, Failure> {
    let (response, after_ms) = match verdict(outcome, now) {
        Verdict::Done(response) => {
            return match serde_json::from_slice(&response.body) {
                Ok(Answer { ok: true, result: Some(result), .. }) => Ok(result),
                _ => Err(Failure::Unknown("the answer is not the Bot API's".into())),
            };
        }
        Verdict::Limited(response, after_ms) => (response, after_ms),
        Verdict::Refused(response) => (response, None),
        Verdict::NotDone(why) => return Err(Failure::NotDone(why)),
        Verdict::Unknown(why) => return Err(Failure::Unknown(why)),
    };
    let (description, parameters) = refusal(response);
    Err(match (response.status, parameters) {
        (429, ResponseParameters { retry_after, .. }) => {
            let told = retry_after.map(|seconds| seconds.saturating_mul(1_000)).or(after_ms);
            Failure::Limited { after_ms: told.unwrap_or(1_000).clamp(1, 86_400_000), why: description }
        }
        (_, ResponseParameters { migrate_to_chat_id: Some(chat), .. }) => Failure::Migrated(chat),
        (status, _) => Failure::Refused(status, description),
    })
}

fn refusal(response: &Response) -> (String, ResponseParameters) {
    let answer = serde_json::from_slice::<Answer<serde_json::Value>>(&response.body).ok();
    let (description, parameters) = answer.map(|answer| (answer.description, answer.parameters)).unwrap_or_default();
    let description = description.unwrap_or_else(|| format!("the status {}", response.status));
    (description.chars().take(MAX_DESCRIPTION).collect(), parameters.unwrap_or_default())
}

/// <https://core.telegram.org/bots/api#update>
#[derive(Debug, Deserialize)]
pub struct Update {
    pub update_id: i64,
    pub message: Option<Message>,
    pub edited_message: Option<Message>,
    pub channel_post: Option<Message>,
    pub edited_channel_post: Option<Message>,
    pub message_reaction: Option<MessageReactionUpdated>,
}

/// What is asked for. Reactions are left out by Telegram where they are not named.
pub const ALLOWED_UPDATES: [&str; 5] =
    ["message", "edited_message", "channel_post", "edited_channel_post", "message_reaction"];

#[derive(Debug, Deserialize)]
pub struct User {
    pub id: i64,
    #[serde(default)]
    pub is_bot: bool,
    #[serde(default)]
    pub first_name: String,
    pub last_name: Option<String>,
    pub username: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Chat {
    pub id: i64,
    #[serde(rename = "type")]
    pub kind: ChatKind,
    pub title: Option<String>,
    #[serde(default)]
    pub is_forum: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatKind {
    Private,
    Group,
    Supergroup,
    Channel,
}

/// <https://core.telegram.org/bots/api#message>
#[derive(Debug, Deserialize)]
pub struct Message {
    pub message_id: i64,
    pub message_thread_id: Option<i64>,
    pub from: Option<User>,
    /// In whose name it was sent: an anonymous administrator's group, a channel.
    pub sender_chat: Option<Chat>,
    pub author_signature: Option<String>,
    #[serde(default)]
    pub date: u64,
    pub edit_date: Option<u64>,
    pub chat: Chat,
    #[serde(default)]
    pub is_topic_message: bool,
    /// A channel's post, put into the group that discusses it.
    #[serde(default)]
    pub is_automatic_forward: bool,
    pub reply_to_message: Option<Box<Message>>,
    /// Only in the message with which a topic begins, which everything in the topic replies to.
    pub forum_topic_created: Option<serde::de::IgnoredAny>,
    pub text: Option<String>,
    #[serde(default)]
    pub entities: Vec<MessageEntity>,
    pub caption: Option<String>,
    #[serde(default)]
    pub caption_entities: Vec<MessageEntity>,
    #[serde(default)]
    pub photo: Vec<PhotoSize>,
    pub document: Option<File>,
    pub animation: Option<File>,
    pub audio: Option<File>,
    pub video: Option<File>,
    pub video_note: Option<File>,
    pub voice: Option<File>,
    pub sticker: Option<Sticker>,
    pub location: Option<Location>,
    pub venue: Option<Venue>,
    pub contact: Option<Contact>,
}

/// Offsets and lengths count UTF-16 units.
#[derive(Debug, Deserialize)]
pub struct MessageEntity {
    #[serde(rename = "type")]
    pub kind: String,
    pub offset: usize,
    pub length: usize,
    /// Of a `text_mention`.
    pub user: Option<User>,
}

#[derive(Debug, Deserialize)]
pub struct PhotoSize {
    pub file_id: String,
    #[serde(default)]
    pub width: u32,
    #[serde(default)]
    pub height: u32,
    pub file_size: Option<u64>,
}

/// What documents, animations, audio, video and voice have in common.
#[derive(Debug, Deserialize)]
pub struct File {
    pub file_id: String,
    pub file_name: Option<String>,
    pub mime_type: Option<String>,
    pub file_size: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct Sticker {
    pub file_id: String,
    #[serde(default)]
    pub is_animated: bool,
    #[serde(default)]
    pub is_video: bool,
    pub emoji: Option<String>,
    pub file_size: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct Location {
    pub latitude: f64,
    pub longitude: f64,
}

#[derive(Debug, Deserialize)]
pub struct Venue {
    pub title: String,
    #[serde(default)]
    pub address: String,
}

#[derive(Debug, Deserialize)]
pub struct Contact {
    pub phone_number: String,
    #[serde(default)]
    pub first_name: String,
    pub last_name: Option<String>,
}

/// <https://core.telegram.org/bots/api#messagereactionupdated>
#[derive(Debug, Deserialize)]
pub struct MessageReactionUpdated {
    pub chat: Chat,
    pub message_id: i64,
    pub user: Option<User>,
    pub actor_chat: Option<Chat>,
    #[serde(default)]
    pub date: u64,
    #[serde(default)]
    pub old_reaction: Vec<ReactionType>,
    #[serde(default)]
    pub new_reaction: Vec<ReactionType>,
}

/// An emoji, a custom emoji, which only Telegram can show, or a star that was paid for.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct ReactionType {
    pub emoji: Option<String>,
}
