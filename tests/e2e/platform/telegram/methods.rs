//! The methods of the Bot API that a channel calls.

use serde_json::{Map, Value, json};

use super::messages::{delete, edit, place, react, send_file, send_message};
use super::{BOT_NAME, BotApi, ChatAction, TOKEN, bot};
use crate::platform::check::{Field, Kind, check, may, need, object};
use crate::platform::multipart::{self, Part};
use crate::platform::server::{Answer, Request, pairs};

/// A refusal: the HTTP status and the description.
pub(super) type Refusal = (u16, String);
pub(super) type Outcome = Result<Value, Refusal>;

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

pub(super) fn bad(description: impl std::fmt::Display) -> Refusal {
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

pub(super) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
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
