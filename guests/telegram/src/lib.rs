//! Telegram, by its Bot API (<https://core.telegram.org/bots/api>).
//!
//! Updates come by long poll (`getUpdates`) or by webhook; answers go out as HTML, in messages of at
//! most 4096 UTF-16 units, and grow by `editMessageText`.

mod api;
mod delivery;
mod file;
mod html;
mod incoming;
mod update;

#[cfg(test)]
mod tests;

use exoclaw_guest::channel::{
    Call, Channel, Event, Features, Fetch, Outcome, Outgoing, Place, Received, Setup, SharedSecret, Step, Verification,
    Webhook,
};
use exoclaw_guest::{Error, Response, Settings};
use serde::{Deserialize, Serialize};

/// A messaging platform.
pub struct Telegram;

/// The bot's token, which stands in every address.
const TOKEN: &str = "bot-token";
/// What Telegram sends with every webhook call: 1 to 256 of `A-Z a-z 0-9 _ -`.
const WEBHOOK_SECRET: &str = "webhook-secret";

/// How updates come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Poll,
    Webhook,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelegramSettings {
    mode: Mode,
    base_url: String,
    poll_seconds: u32,
    max_connections: u32,
}

impl Default for TelegramSettings {
    fn default() -> Self {
        Self { mode: Mode::Poll, base_url: "https://api.telegram.org".into(), poll_seconds: 50, max_connections: 1 }
    }
}

impl Settings for TelegramSettings {
    const SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {
            "mode": {
                "enum": ["poll", "webhook"],
                "description": "How updates come: asked for (the default), or sent to the gateway's public address."
            },
            "base_url": {
                "type": "string", "pattern": "^https?://", "examples": ["https://api.telegram.org"],
                "description": "Where the Bot API is; https://api.telegram.org by default."
            },
            "poll_seconds": {
                "type": "integer", "minimum": 1, "maximum": 50,
                "description": "How long Telegram keeps a poll waiting; 50 by default."
            },
            "max_connections": {
                "type": "integer", "minimum": 1, "maximum": 100,
                "description": "Webhook calls at once; 1 by default, so that updates come in their order."
            }
        },
        "additionalProperties": false
    }"#;
}

/// What is remembered between events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Who the bot is, once `getMe` has said it.
    me: Option<Me>,
    /// The first update that was not received yet.
    offset: Option<i64>,
    /// Requests that failed in a row.
    failures: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Me {
    id: i64,
    username: String,
}

impl Channel for Telegram {
    type Settings = TelegramSettings;
    type State = State;
    type Progress = delivery::Progress;

    const PLATFORM: &'static str = "telegram";

    fn configure(settings: TelegramSettings) -> Result<Setup, Error> {
        let mut secrets = vec![TOKEN.to_owned()];
        let webhook = (settings.mode == Mode::Webhook).then(|| {
            secrets.push(WEBHOOK_SECRET.into());
            let place = Place::Header("X-Telegram-Bot-Api-Secret-Token".into());
            let shared = SharedSecret { secret: WEBHOOK_SECRET.into(), place };
            Webhook { verification: Verification::SharedSecret(shared), challenge: None }
        });
        Ok(Setup {
            secrets,
            origins: vec![exoclaw_chat::origin(&settings.base_url)?.to_owned()],
            webhook,
            features: Features {
                // A chat action is shown for 5 seconds or less.
                typing_ms: Some(4_000),
                // "Avoid sending more than one message per second" to a chat; 20 a minute to a group.
                draft_ms: Some(1_500),
                // What a bot may send; it receives 20 MB.
                file_bytes: Some(50_000_000),
                reactions: true,
                threads: true,
            },
        })
    }

    fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<State>, Error> {
        incoming::receive(call, event)
    }

    fn deliver(
        call: Call<'_, Self>,
        outgoing: &Outgoing,
        progress: delivery::Progress,
    ) -> Result<Step<delivery::Progress>, Error> {
        delivery::next(&call, outgoing, progress)
    }

    fn answered(
        call: Call<'_, Self>,
        outgoing: &Outgoing,
        progress: delivery::Progress,
        outcome: Outcome,
    ) -> Result<Step<delivery::Progress>, Error> {
        delivery::answered(&call, outgoing, progress, &outcome)
    }

    fn fetch(call: Call<'_, Self>, handle: &[u8], previous: Option<Response>) -> Result<Fetch, Error> {
        file::fetch(&call.settings, handle, previous)
    }
}

exoclaw_guest::channel!(Telegram);
