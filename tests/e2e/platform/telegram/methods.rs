//! The methods of the Bot API that a channel calls.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::super::check::{Field, Kind, check, may, need, object, utf16};
use super::super::multipart::{self, Part};
use super::super::push::now;
use super::super::server::{Answer, Request, pairs};
use super::{BOT_NAME, BotApi, ChatAction, Reaction, SentFile, Shown, TOKEN, bot, html};

/// A refusal: the HTTP status and the description.
type Refusal = (u16, String);
type Outcome = Result<Value, Refusal>;

const MESSAGE: &[Field] = &[
    need("chat_id", Kind::Id),
    need("text", Kind::Text),
    may("message_thread_id", Kind::Whole),
    may("parse_mode", Kind::One(&["HTML", "MarkdownV2"])),
    may("entities", Kind::Any),
    may("link_preview_options", Kind::Object(LINK_PREVIEW)),
    may("disable_notification", Kind::Bool),
    may("protect_content", Kind::Bool),
    may("reply_parameters", Kind::Object(REPLY)),
];

const LINK_PREVIEW: &[Field] = &[may("is_disabled", Kind::Bool)];

const REPLY: &[Field] = &[
    need("message_id", Kind::Whole),
    may("chat_id", Kind::Id),
    may("allow_sending_without_reply", Kind::Bool),
    may("quote", Kind::Text),
];

const EDIT: &[Field] = &[
    need("chat_id", Kind::Id),
    need("message_id", Kind::Whole),
    need("text", Kind::Text),
    may("parse_mode", Kind::One(&["HTML", "MarkdownV2"])),
    may("entities", Kind::Any),
    may("link_preview_options", Kind::Object(LINK_PREVIEW)),
];

const ACTION: &[Field] = &[
    need("chat_id", Kind::Id),
    may("message_thread_id", Kind::Whole),
    need("action", Kind::One(&["typing", "upload_photo", "upload_document"])),
];

const REACTION: &[Field] = &[
    need("chat_id", Kind::Id),
    need("message_id", Kind::Whole),
    may("reaction", Kind::List(&Kind::Object(&[need("type", Kind::One(&["emoji"])), need("emoji", Kind::Text)]))),
    may("is_big", Kind::Bool),
];

const COMMANDS: &[Field] =
    &[need("commands", Kind::List(&Kind::Object(&[need("command", Kind::Text), need("description", Kind::Text)])))];

const FILE: &[Field] = &[
    need("chat_id", Kind::Id),
    may("message_thread_id", Kind::Whole),
    may("caption", Kind::Text),
    may("parse_mode", Kind::One(&["HTML", "MarkdownV2"])),
    may("disable_notification", Kind::Bool),
    may("disable_content_type_detection", Kind::Bool),
    may("reply_parameters", Kind::Object(REPLY)),
];

/// Of many emoji, those that a bot may react with and tests use.
const EMOJI: &[&str] = &["👍", "👎", "❤", "🔥", "🎉", "👀", "👌", "🤔", "😁"];

pub(super) async fn answer(api: &BotApi, request: &Request) -> Answer {
    let segments = request.segments();
    if let [file, path @ ..] = segments.as_slice()
        && file == "file"
    {
        return download(api, request, &path.join("/"));
    }
    let [bot, method] = segments.as_slice() else {
        return refused(api, request, (404, "Not Found".into()));
    };
    if bot.strip_prefix("bot") != Some(TOKEN) {
        return refused(api, request, (401, "Unauthorized".into()));
    }
    match carry_out(api, request, method).await {
        Ok(result) => Answer::json(200, &json!({"ok": true, "result": result})),
        Err(refusal) => refused(api, request, refusal),
    }
}

/// Refusals that an honest client may meet.
const HONEST: &[&str] = &["Conflict", "Too Many Requests", "message is not modified", "upgraded to a supergroup"];

fn refused(api: &BotApi, request: &Request, (status, description): Refusal) -> Answer {
    if !HONEST.iter().any(|honest| description.contains(honest)) {
        let body = String::from_utf8_lossy(&request.body);
        let body = body.get(..body.floor_char_boundary(2_000)).unwrap_or_default();
        let path = request.path.replace(TOKEN, "TOKEN");
        api.desk.violation(format!("{} {path}: {description}; it was sent {body}", request.method));
    }
    let mut body = json!({"ok": false, "error_code": status, "description": description});
    if let Some(seconds) = description.strip_prefix("Too Many Requests: retry after ") {
        body["parameters"] = json!({"retry_after": seconds.parse::<u64>().expect("seconds")});
    }
    if let Some((_, id)) = description.split_once("upgraded to a supergroup chat, ") {
        body["description"] = "Bad Request: group chat was upgraded to a supergroup chat".into();
        body["parameters"] = json!({"migrate_to_chat_id": id.parse::<i64>().expect("an id")});
    }
    Answer::json(status, &body)
}

/// What Telegram says to who sends too much.
pub(super) fn too_many(seconds: u64) -> Answer {
    let description = format!("Too Many Requests: retry after {seconds}");
    let body = json!({
        "ok": false, "error_code": 429, "description": description, "parameters": {"retry_after": seconds},
    });
    Answer::json(429, &body)
}

fn bad(description: impl std::fmt::Display) -> Refusal {
    (400, format!("Bad Request: {description}"))
}

async fn carry_out(api: &BotApi, request: &Request, method: &str) -> Outcome {
    if !matches!(request.method.as_str(), "GET" | "POST") {
        return Err((404, "Not Found".into()));
    }
    let (fields, files) = fields(request).map_err(bad)?;
    let hold = |known: &[Field]| check(&fields, known).map_err(bad);
    let no_files = if files.is_empty() { Ok(()) } else { Err(bad("this method takes no files")) };
    match method {
        "sendDocument" => {
            hold(FILE)?;
            send_file(api, request, &fields, files, "document", 50 << 20)
        }
        "sendPhoto" => {
            hold(FILE)?;
            send_file(api, request, &fields, files, "photo", 10 << 20)
        }
        _ => {
            no_files?;
            match method {
                "getMe" => {
                    hold(&[])?;
                    let mut me = bot();
                    super::merge(
                        &mut me,
                        json!({
                            "can_join_groups": true, "can_read_all_group_messages": false,
                            "supports_inline_queries": false,
                        }),
                    );
                    Ok(me)
                }
                "sendMessage" => {
                    hold(MESSAGE)?;
                    send_message(api, request, &fields)
                }
                "editMessageText" => {
                    hold(EDIT)?;
                    edit(api, &fields)
                }
                "deleteMessage" => {
                    hold(&[need("chat_id", Kind::Id), need("message_id", Kind::Whole)])?;
                    delete(api, &fields)
                }
                "sendChatAction" => {
                    hold(ACTION)?;
                    let (chat, thread) = place(api, &fields, true)?;
                    let action = text(&fields, "action").to_owned();
                    api.actions.push(ChatAction { chat, thread, action });
                    Ok(true.into())
                }
                "setMessageReaction" => {
                    hold(REACTION)?;
                    react(api, &fields)
                }
                "getFile" => {
                    hold(&[need("file_id", Kind::Text)])?;
                    let state = api.state.lock().expect("no poison");
                    let id = text(&fields, "file_id");
                    let file = state.files.get(id).ok_or_else(|| bad("invalid file_id"))?;
                    if file.bytes.len() > 20 << 20 {
                        return Err(bad("file is too big"));
                    }
                    Ok(json!({
                        "file_id": id, "file_unique_id": format!("u-{id}"), "file_size": file.bytes.len(),
                        "file_path": file.path,
                    }))
                }
                "setMyCommands" => {
                    hold(COMMANDS)?;
                    Ok(true.into())
                }
                _ => api.updates.method(method, &fields).await,
            }
        }
    }
}

/// The fields of a request, and the files that stand beside them. Where they came as text, numbers and objects
/// are read from it.
fn fields(request: &Request) -> Result<(Map<String, Value>, Vec<Part>), String> {
    let read = |text: &str| match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Object(_) | Value::Array(_))) => value,
        _ => Value::from(text),
    };
    let mut fields: Map<String, Value> =
        request.query.iter().map(|(name, value)| (name.clone(), read(value))).collect();
    let mut files = Vec::new();
    match request.media_type() {
        _ if request.body.is_empty() => {}
        "application/json" => fields.extend(object(&request.body)?),
        "application/x-www-form-urlencoded" => {
            let body = std::str::from_utf8(&request.body).map_err(|_| "the body is not UTF-8")?;
            fields.extend(pairs(body).into_iter().map(|(name, value)| (name, read(&value))));
        }
        "multipart/form-data" => {
            for part in multipart::parse(request.header("content-type").unwrap_or_default(), &request.body)? {
                if part.filename.is_some() {
                    files.push(part);
                    continue;
                }
                // A caption of digits is a caption.
                let text = part.text()?;
                let value = if part.name == "caption" { Value::from(text) } else { read(text) };
                fields.insert(part.name.clone(), value);
            }
        }
        other => return Err(format!("a body of type {other:?}")),
    }
    Ok((fields, files))
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The chat and the thread that a request names.
fn place(api: &BotApi, fields: &Map<String, Value>, typing: bool) -> Result<(i64, Option<i64>), Refusal> {
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

fn send_message(api: &BotApi, request: &Request, fields: &Map<String, Value>) -> Outcome {
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

fn edit(api: &BotApi, fields: &Map<String, Value>) -> Outcome {
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

fn delete(api: &BotApi, fields: &Map<String, Value>) -> Outcome {
    let (chat, _) = place(api, fields, false)?;
    let number = fields["message_id"].as_i64().unwrap_or_default();
    let deleted = api.messages.edit(|messages| {
        let before = messages.len();
        messages.retain(|shown| shown.chat != chat || shown.number != number);
        before > messages.len()
    });
    if deleted { Ok(true.into()) } else { Err(bad("message to delete not found")) }
}

fn react(api: &BotApi, fields: &Map<String, Value>) -> Outcome {
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

fn send_file(
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

fn download(api: &BotApi, request: &Request, path: &str) -> Answer {
    let refuse = |status: u16, description: &str| refused(api, request, (status, description.into()));
    let Some(path) = path.strip_prefix("bot").and_then(|path| path.strip_prefix(TOKEN)?.strip_prefix('/')) else {
        return refuse(401, "Unauthorized");
    };
    let state = api.state.lock().expect("no poison");
    match state.files.values().find(|file| file.path == path) {
        Some(file) => Answer::bytes(200, "application/octet-stream", file.bytes.clone()),
        None => refuse(404, "Not Found"),
    }
}

/// The bot's name, as users address it.
pub(crate) fn mention() -> String {
    format!("@{BOT_NAME}")
}
