//! What a webhook call carries (Cloud API, "Webhooks", "messages").

use serde::Deserialize;
use serde_json::Value;

/// Entries of several accounts, each with several changes.
#[derive(Debug, Deserialize)]
pub struct Payload {
    #[serde(default)]
    pub entry: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
pub struct Entry {
    #[serde(default)]
    pub changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
pub struct Change {
    #[serde(default)]
    pub field: String,
    /// [`Value`](Messages) where `field` is `messages`.
    #[serde(default)]
    pub value: Value,
}

/// The value of a change of `messages`. One message that is not as we know it spoils no other.
#[derive(Debug, Deserialize)]
pub struct Messages {
    pub metadata: Metadata,
    #[serde(default)]
    pub contacts: Vec<Contact>,
    #[serde(default)]
    pub messages: Vec<Value>,
    #[serde(default)]
    pub statuses: Vec<Value>,
    #[serde(default)]
    pub errors: Vec<Problem>,
}

#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub phone_number_id: String,
}

#[derive(Debug, Deserialize)]
pub struct Contact {
    pub wa_id: Option<String>,
    pub user_id: Option<String>,
    pub profile: Option<Profile>,
}

#[derive(Debug, Deserialize)]
pub struct Profile {
    pub name: Option<String>,
    pub username: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Message {
    pub id: String,
    /// The phone number, absent where the user hides it behind a username.
    pub from: Option<String>,
    /// The user's id with this business ("Business-scoped user IDs").
    pub from_user_id: Option<String>,
    pub group_id: Option<String>,
    /// In seconds.
    pub timestamp: Option<String>,
    #[serde(flatten)]
    pub content: Content,
    pub context: Option<Context>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    Text {
        text: Text,
    },
    Image {
        image: Media,
    },
    Video {
        video: Media,
    },
    Audio {
        audio: Media,
    },
    Document {
        document: Media,
    },
    Sticker {
        sticker: Media,
    },
    Location {
        location: Location,
    },
    Contacts {
        contacts: Vec<Card>,
    },
    Reaction {
        reaction: Reaction,
    },
    Interactive {
        interactive: Interactive,
    },
    Button {
        button: Button,
    },
    Edit {
        edit: Edit,
    },
    /// Orders, calls, changed numbers, and what the API itself calls unsupported.
    #[serde(other)]
    Other,
}

/// Of numbers that are used in the app, too: what the message says now.
#[derive(Debug, Deserialize)]
pub struct Edit {
    pub original_message_id: String,
    pub message: Edited,
}

#[derive(Debug, Deserialize)]
pub struct Edited {
    #[serde(flatten)]
    pub content: Box<Content>,
}

/// What it answers.
#[derive(Debug, Deserialize)]
pub struct Context {
    pub id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Text {
    pub body: String,
}

#[derive(Debug, Deserialize)]
pub struct Media {
    pub id: String,
    pub mime_type: Option<String>,
    pub caption: Option<String>,
    pub filename: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Location {
    pub latitude: f64,
    pub longitude: f64,
    pub name: Option<String>,
    pub address: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Card {
    pub name: Option<CardName>,
    #[serde(default)]
    pub phones: Vec<Phone>,
}

#[derive(Debug, Deserialize)]
pub struct CardName {
    pub formatted_name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Phone {
    pub phone: Option<String>,
}

/// Without an emoji it was taken back.
#[derive(Debug, Deserialize)]
pub struct Reaction {
    pub message_id: String,
    pub emoji: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Interactive {
    pub button_reply: Option<Choice>,
    pub list_reply: Option<Choice>,
}

#[derive(Debug, Deserialize)]
pub struct Choice {
    pub title: String,
    pub description: Option<String>,
}

/// A quick reply of a template.
#[derive(Debug, Deserialize)]
pub struct Button {
    pub text: String,
}

#[derive(Debug, Deserialize)]
pub struct Status {
    pub id: String,
    pub status: String,
    #[serde(default)]
    pub errors: Vec<Problem>,
}

/// In a webhook call, and in the answer to a request, under `error`.
#[derive(Debug, Deserialize)]
pub struct Problem {
    pub code: i64,
    pub title: Option<String>,
    pub message: Option<String>,
    pub error_data: Option<ProblemData>,
}

#[derive(Debug, Deserialize)]
pub struct ProblemData {
    pub details: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [
            self.message.as_deref().or(self.title.as_deref()),
            self.error_data.as_ref().and_then(|data| data.details.as_deref()),
        ];
        write!(f, "error {}", self.code)?;
        words.into_iter().flatten().try_for_each(|word| write!(f, ": {word}"))
    }
}
