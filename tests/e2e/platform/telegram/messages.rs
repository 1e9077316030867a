//! Messages of the bot's: sent, changed, deleted, with files and reactions.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::methods::{Outcome, Refusal, bad, text};
use super::{BotApi, Reaction, SentFile, Shown, bot, html};
use crate::platform::check::utf16;
use crate::platform::multipart::Part;
use crate::platform::push::now;
use crate::platform::server::Request;

/// Of many emoji, those that a bot may react with and tests use.
const EMOJI: &[&str] = &["👍", "👎", "❤", "🔥", "🎉", "👀", "👌", "🤔", "😁"];

/// The chat and the thread that a request names.
pub(super) fn place(api: &BotApi, fields: &Map<String, Value>, typing: bool) -> Result<(i64, Option<i64>), Refusal> {
    let id = &fields["chat_id"];
    let id = id.as_i64().or_else(|| id.as_str()?.parse().ok()).ok_or_else(|| bad("chat not found"))?;
    let state = api.state.lock().expect("no poison");
    if let Some(to) = state.migrated.get(&id) {
        return Err(bad(format!("group chat was upgraded to a supergroup chat, {to}")));
    }
    let chat = state.chats.get(&id).ok_or_else(|| bad("chat not found"))?;
    let thread = fields.get("message_thread_id").and_then(Value::as_i64);
    // The general topic is 1 for typing only.
    let known = |thread: i64| chat.topics.contains(&thread) && (thread != 1 || typing);
    match thread {
        Some(thread) if !known(thread) => Err(bad("message thread not found")),
        _ => Ok((id, thread)),
    }
}

/// As [`place`], of a message, which may come too soon.
fn open_place(api: &BotApi, fields: &Map<String, Value>) -> Result<(i64, Option<i64>), Refusal> {
    let (chat, thread) = place(api, fields, false)?;
    let until = api.state.lock().expect("no poison").held.get(&chat).copied();
    let left = until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or(Duration::ZERO);
    if left > Duration::ZERO {
        api.desk.violation(format!("chat {chat} was sent something {left:?} before it may be"));
        return Err((429, format!("Too Many Requests: retry after {}", left.as_secs() + 1)));
    }
    Ok((chat, thread))
}

/// What a text shows, within its bounds.
fn parsed(source: &str, parse_mode: &str, limit: usize, too_long: &str) -> Result<String, Refusal> {
    let plain = match parse_mode {
        "HTML" => html::plain(source).map_err(|why| (400, why))?,
        "" => source.to_owned(),
        other => return Err(bad(format!("this server does not read {other}"))),
    };
    if utf16(&plain) > limit {
        return Err(bad(too_long));
    }
    Ok(plain)
}

fn replied(api: &BotApi, chat: i64, fields: &Map<String, Value>) -> Result<Option<i64>, Refusal> {
    let Some(reply) = fields.get("reply_parameters") else { return Ok(None) };
    let number = reply["message_id"].as_i64().unwrap_or_default();
    let heard = api.state.lock().expect("no poison").heard.contains_key(&(chat, number));
    let ours = || api.messages.count(|shown| shown.chat == chat && shown.number == number) > 0;
    if heard || ours() {
        return Ok(Some(number));
    }
    match reply["allow_sending_without_reply"] == true {
        true => Ok(None),
        false => Err(bad("message to be replied not found")),
    }
}

pub(super) fn send_message(api: &BotApi, request: &Request, fields: &Map<String, Value>) -> Outcome {
    let (chat, thread) = open_place(api, fields)?;
    let (source, parse_mode) = (text(fields, "text"), text(fields, "parse_mode"));
    let plain = parsed(source, parse_mode, 4096, "message is too long")?;
    if plain.trim().is_empty() {
        return Err(bad("message text is empty"));
    }
    let reply_to = replied(api, chat, fields)?;
    let shown = Shown {
        request: request.number,
        at: Instant::now(),
        chat,
        number: api.state.lock().expect("no poison").next_number(chat),
        thread,
        reply_to,
        text: plain,
        source: source.to_owned(),
        parse_mode: Some(parse_mode.to_owned()).filter(|mode| !mode.is_empty()),
        earlier: Vec::new(),
        file: None,
    };
    api.messages.push(shown.clone());
    Ok(message(api, &shown))
}

fn message(api: &BotApi, shown: &Shown) -> Value {
    let chat = api.state.lock().expect("no poison").chats[&shown.chat].json();
    let mut message = json!({"message_id": shown.number, "date": now(), "chat": chat, "from": bot()});
    match &shown.file {
        None => message["text"] = shown.text.as_str().into(),
        Some(file) => {
            message["document"] = json!({"file_id": "sent", "file_unique_id": "u-sent", "file_name": file.name});
            message["caption"] = shown.text.as_str().into();
        }
    }
    if let Some(thread) = shown.thread {
        message["message_thread_id"] = thread.into();
    }
    message
}

pub(super) fn edit(api: &BotApi, fields: &Map<String, Value>) -> Outcome {
    let (chat, _) = open_place(api, fields)?;
    let number = fields["message_id"].as_i64().unwrap_or_default();
    let (source, parse_mode) = (text(fields, "text"), text(fields, "parse_mode"));
    let plain = parsed(source, parse_mode, 4096, "MESSAGE_TOO_LONG")?;
    if plain.trim().is_empty() {
        return Err(bad("message text is empty"));
    }
    let edited = api.messages.edit(|messages| {
        let shown = messages.iter_mut().find(|shown| shown.chat == chat && shown.number == number);
        let shown = shown.ok_or_else(|| bad("message to edit not found"))?;
        if shown.source == source {
            return Err(bad(
                "message is not modified: specified new message content and reply markup are exactly the same as a \
                 current content and reply markup of the message",
            ));
        }
        shown.earlier.push(std::mem::replace(&mut shown.text, plain));
        shown.source = source.to_owned();
        shown.parse_mode = Some(parse_mode.to_owned()).filter(|mode| !mode.is_empty());
        Ok(shown.clone())
    })?;
    Ok(message(api, &edited))
}

pub(super) fn delete(api: &BotApi, fields: &Map<String, Value>) -> Outcome {
    let (chat, _) = place(api, fields, false)?;
    let number = fields["message_id"].as_i64().unwrap_or_default();
    let deleted = api.messages.edit(|messages| {
        let before = messages.len();
        messages.retain(|shown| shown.chat != chat || shown.number != number);
        before > messages.len()
    });
    if deleted { Ok(true.into()) } else { Err(bad("message to delete not found")) }
}

pub(super) fn react(api: &BotApi, fields: &Map<String, Value>) -> Outcome {
    let (chat, _) = place(api, fields, false)?;
    let number = fields["message_id"].as_i64().unwrap_or_default();
    if number < 1 || api.state.lock().expect("no poison").numbers.get(&chat).is_none_or(|last| *last < number) {
        return Err(bad("message to react not found"));
    }
    let reactions = fields.get("reaction").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let emoji = match reactions {
        [] => None,
        [one] => one["emoji"].as_str().map(str::to_owned),
        _ => return Err(bad("REACTIONS_TOO_MANY")),
    };
    if emoji.as_deref().is_some_and(|emoji| !EMOJI.contains(&emoji)) {
        return Err(bad("REACTION_INVALID"));
    }
    api.reactions.push(Reaction { chat, number, emoji });
    Ok(true.into())
}

pub(super) fn send_file(
    api: &BotApi,
    request: &Request,
    fields: &Map<String, Value>,
    files: Vec<Part>,
    field: &str,
    limit: usize,
) -> Outcome {
    let (chat, thread) = open_place(api, fields)?;
    let [file] = <[Part; 1]>::try_from(files).map_err(|files| bad(format!("one file, not {}", files.len())))?;
    if file.name != field {
        return Err(bad(format!("there is no {field} in the request")));
    }
    if file.bytes.is_empty() {
        return Err(bad("file must be non-empty"));
    }
    if file.bytes.len() > limit {
        return Err((413, "Request Entity Too Large".into()));
    }
    let (source, parse_mode) = (text(fields, "caption"), text(fields, "parse_mode"));
    let caption = parsed(source, parse_mode, 1024, "message caption is too long")?;
    let reply_to = replied(api, chat, fields)?;
    let sent = SentFile {
        name: file.filename.unwrap_or_default(),
        media_type: file.media_type.unwrap_or_default(),
        bytes: file.bytes,
    };
    let shown = Shown {
        request: request.number,
        at: Instant::now(),
        chat,
        number: api.state.lock().expect("no poison").next_number(chat),
        thread,
        reply_to,
        text: caption,
        source: source.to_owned(),
        parse_mode: Some(parse_mode.to_owned()).filter(|mode| !mode.is_empty()),
        earlier: Vec::new(),
        file: Some(sent),
    };
    api.messages.push(shown.clone());
    Ok(message(api, &shown))
}
