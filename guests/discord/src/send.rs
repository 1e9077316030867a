//! The requests of a delivery, and what their answers say ("Message", "Receiving and Responding to Interactions").

use exoclaw_chat::segment;
use exoclaw_guest::channel::{Body, Field, FieldValue, File, Outbound, text};
use exoclaw_guest::{Error, Response, failed};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::interactions::Handle;
use crate::rest;
use crate::settings::Discord;

/// How long a file may take.
const UPLOAD_MS: u32 = 120_000;
/// `LOADING`: the message says that the bot thinks ("Message Flags").
const LOADING: u64 = 1 << 7;
/// Characters of Discord's own words in an error.
const MAX_WORDS: usize = 300;

/// A channel or a thread.
pub struct Place<'a> {
    pub settings: &'a Discord,
    /// Its id, as a part of a path.
    pub channel: String,
}

impl Place<'_> {
    fn request(&self, method: &str, path: &str) -> Outbound {
        rest::authorised(self.settings, method, &format!("/channels/{}{path}", self.channel))
    }

    pub fn typing(&self) -> Outbound {
        self.request("POST", "/typing")
    }

    pub fn react(&self, message: &str, emoji: &str) -> Outbound {
        self.request("PUT", &format!("/messages/{}/reactions/{}/@me", segment(message), segment(emoji)))
    }

    /// A new message; the same one where this nonce is known.
    pub fn send(&self, nonce: &str, content: &str, reply_to: Option<&str>) -> Result<Outbound, Error> {
        let body = serde_json::to_string(&message(nonce, Some(content), reply_to)).map_err(failed)?;
        Ok(rest::with_json(self.request("POST", "/messages"), body))
    }

    /// The same with a file, which the host puts into the form ("Uploading Files").
    pub fn file(&self, nonce: &str, file: &File, reply_to: Option<&str>) -> Result<Outbound, Error> {
        let payload = serde_json::to_string(&message(nonce, None, reply_to)).map_err(failed)?;
        let fields = vec![
            Field {
                name: "payload_json".into(),
                filename: None,
                mime_type: Some("application/json".into()),
                value: FieldValue::Text(text(payload)),
            },
            Field {
                name: "files[0]".into(),
                filename: Some(file.name.clone()),
                mime_type: Some(file.mime_type.clone()),
                value: FieldValue::File(file.id.clone()),
            },
        ];
        Ok(Outbound { body: Body::Form(fields), timeout_ms: UPLOAD_MS, ..self.request("POST", "/messages") })
    }

    pub fn edit(&self, message: &str, content: &str) -> Result<Outbound, Error> {
        edited(self.request("PATCH", &format!("/messages/{}", segment(message))), content)
    }

    pub fn delete(&self, message: &str) -> Outbound {
        self.request("DELETE", &format!("/messages/{}", segment(message)))
    }
}

/// Nobody is notified by what a model writes, not even who is replied to.
fn mentions() -> Value {
    json!({ "parse": [] })
}

fn message(nonce: &str, content: Option<&str>, reply_to: Option<&str>) -> Value {
    let mut message = json!({ "allowed_mentions": mentions(), "nonce": nonce, "enforce_nonce": true });
    if let Some(content) = content {
        message["content"] = content.into();
    }
    // What a slash command wrote has an id, too, but is no message; without this flag it would be refused.
    if let Some(id) = reply_to {
        message["message_reference"] = json!({ "message_id": id, "fail_if_not_exists": false });
    }
    message
}

fn edited(request: Outbound, content: &str) -> Result<Outbound, Error> {
    let body = serde_json::to_string(&json!({ "content": content, "allowed_mentions": mentions() }));
    Ok(rest::with_json(request, body.map_err(failed)?))
}

/// The interaction's own message. The token in the path is all that it takes.
fn of_interaction(settings: &Discord, method: &str, handle: &Handle) -> Outbound {
    let path = format!("/webhooks/{}/{}/messages/@original", segment(&handle.application), segment(&handle.token));
    rest::request(method, text(format!("{}{path}", settings.base_url)))
}

/// Asks for it, to see whether it still waits: another answer may have been given to the same command.
pub fn original(settings: &Discord, handle: &Handle) -> Outbound {
    of_interaction(settings, "GET", handle)
}

pub fn edit_original(settings: &Discord, handle: &Handle, content: &str) -> Result<Outbound, Error> {
    edited(of_interaction(settings, "PATCH", handle), content)
}

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    #[serde(default)]
    flags: u64,
}

/// Of the message that an answer shows.
pub fn id(response: &Response) -> Option<String> {
    serde_json::from_slice::<Message>(&response.body).ok()?.id.filter(|id| !id.is_empty())
}

/// Whether the message still says that the bot thinks.
pub fn is_waiting(response: &Response) -> bool {
    serde_json::from_slice::<Message>(&response.body).is_ok_and(|message| message.flags & LOADING != 0)
}

/// Why Discord refused, for the operator.
pub fn refusal(response: &Response) -> String {
    #[derive(Deserialize)]
    struct Problem {
        #[serde(default)]
        message: String,
        #[serde(default)]
        code: u64,
        #[serde(default)]
        errors: Value,
    }

    let status = response.status;
    let advice = match status {
        401 => "Discord refuses the bot token (secret `bot-token`)",
        403 => "the bot may not do this here; look at its permissions in the channel",
        404 => "there is no such channel or message, or the bot can't see it",
        413 => "the file is larger than Discord takes",
        _ => "Discord refuses it",
    };
    let Ok(problem) = serde_json::from_slice::<Problem>(&response.body) else {
        return format!("{advice} (HTTP {status})");
    };
    let mut words = problem.message;
    if !problem.errors.is_null() {
        words = format!("{words}: {}", problem.errors);
    }
    let words: String = words.chars().take(MAX_WORDS).collect();
    format!("{advice} (HTTP {status}, code {}: {words})", problem.code)
}
