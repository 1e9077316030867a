//! Discord's REST API, as far as a channel needs it.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::{APPLICATION_ID, Api, BOT_ID, Channel, Reaction, Shown, TOKEN, bot, interactions, timestamp};
use crate::platform::check::{Field, Kind, check, may, need, object};
use crate::platform::multipart;
use crate::platform::push::now;
use crate::platform::server::{Answer, Request};

/// HTTP status, Discord's code, and message.
type Refusal = (u16, u32, String);
type Outcome = Result<Answer, Refusal>;
/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

pub(super) const MESSAGE: &[Field] = &[
    may("content", Kind::Text),
    may("nonce", Kind::Id),
    may("enforce_nonce", Kind::Bool),
    may("tts", Kind::Bool),
    may("allowed_mentions", Kind::Object(MENTIONS)),
    may("message_reference", Kind::Object(REFERENCE)),
    may("attachments", Kind::List(&Kind::Object(ATTACHMENT))),
    may("flags", Kind::Whole),
];

const MENTIONS: &[Field] = &[
    may("parse", Kind::List(&Kind::One(&["roles", "users", "everyone"]))),
    may("roles", Kind::List(&Kind::Snowflake)),
    may("users", Kind::List(&Kind::Snowflake)),
    may("replied_user", Kind::Bool),
];

const REFERENCE: &[Field] = &[
    may("type", Kind::Whole),
    need("message_id", Kind::Snowflake),
    may("channel_id", Kind::Snowflake),
    may("guild_id", Kind::Snowflake),
    may("fail_if_not_exists", Kind::Bool),
];

const ATTACHMENT: &[Field] = &[need("id", Kind::Id), may("filename", Kind::Text), may("description", Kind::Text)];

/// What requests are called in plans: the method and the route.
pub(super) fn operation(request: &Request) -> String {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let route = match parts.as_slice() {
        ["api", "v10", "channels", _, "messages", _, "reactions", ..] => "reactions",
        ["api", "v10", "channels", _, "messages", ..] => "messages",
        ["api", "v10", "channels", _, "typing"] => "typing",
        ["api", "v10", "gateway", "bot"] => "gateway",
        ["api", "v10", "webhooks", ..] => "webhooks",
        ["attachments", ..] => "attachments",
        _ => request.path.as_str(),
    };
    format!("{} {route}", request.method)
}

pub(super) fn answer(api: &Api, request: &Request) -> Answer {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let ["attachments", ..] = parts.as_slice() {
        return download(api, request);
    }
    let ["api", "v10", route @ ..] = parts.as_slice() else {
        return refused(api, request, (404, 0, "404: Not Found".into()));
    };
    // What an interaction's token opens needs no other.
    let by_token = route.first() == Some(&"webhooks");
    let authorization = request.header("authorization");
    if !by_token && authorization.and_then(|value| value.strip_prefix("Bot ")) != Some(TOKEN) {
        return refused(api, request, (401, 0, "401: Unauthorized".into()));
    }
    if !request.header("user-agent").is_some_and(|agent| agent.starts_with("DiscordBot (")) {
        return refused(api, request, (403, 0, format!("no user agent: {:?}", request.header("user-agent"))));
    }
    let major = route.get(1).copied().unwrap_or_default();
    let told = match api.limits.count(&format!("{} {major}", operation(request))) {
        Ok(told) => told,
        Err(answer) => return answer,
    };
    let answer = match carry_out(api, request, route) {
        Ok(answer) => answer,
        Err(refusal) => refused(api, request, refusal),
    };
    told.on(answer)
}

/// The CDN, which knows no tokens: addresses are signed, for a while.
fn download(api: &Api, request: &Request) -> Answer {
    if request.header("authorization").is_some() {
        api.desk.violation("the bot's token went to the CDN");
    }
    let ends = request.query("ex").and_then(|ends| u64::from_str_radix(ends, 16).ok());
    if ends.is_none_or(|ends| ends <= now()) {
        api.desk.violation(format!("{}: its signature has ended", request.path));
        return Answer::bytes(404, "text/plain", b"This content is no longer available.".to_vec());
    }
    match api.state.lock().expect("no poison").files.get(&request.path) {
        Some((media_type, bytes)) => Answer::bytes(200, media_type, bytes.clone()),
        None => Answer::empty(404),
    }
}

/// A message of a user's, with addresses of its files that are signed anew.
fn heard(api: &Api, id: &str) -> Outcome {
    let found = api.state.lock().expect("no poison").heard.get(id).cloned();
    let mut message = found.ok_or_else(|| (404, 10_008, "Unknown Message".to_owned()))?;
    for file in message["attachments"].as_array_mut().into_iter().flatten() {
        let url = file["proxy_url"].as_str().unwrap_or_default();
        file["url"] = format!("{url}?ex={:x}&is=65c68edf&hm=2481f30e", now() + 86_400).into();
    }
    Ok(Answer::json(200, &message))
}

fn refused(api: &Api, request: &Request, (status, code, message): Refusal) -> Answer {
    let body = String::from_utf8_lossy(&request.body);
    let body = body.get(..body.floor_char_boundary(2_000)).unwrap_or_default();
    api.desk.violation(format!("{} {}: {message}; it was sent {body}", request.method, request.path));
    Answer::json(status, &json!({"message": message, "code": code}))
}

pub(super) fn invalid(why: impl std::fmt::Display) -> Refusal {
    (400, 50_035, format!("Invalid Form Body: {why}"))
}

fn carry_out(api: &Api, request: &Request, route: &[&str]) -> Outcome {
    match (request.method.as_str(), route) {
        ("GET", ["gateway", "bot"]) => Ok(Answer::json(
            200,
            &json!({
                "url": api.socket_origin, "shards": 1,
                "session_start_limit": {
                    "total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": 1,
                },
            }),
        )),
        ("GET", ["users", "@me"]) => Ok(Answer::json(200, &bot().json())),
        ("GET", ["channels", channel, "messages", id]) => known(api, channel).and_then(|_| heard(api, id)),
        ("POST", ["channels", channel, "messages"]) => post(api, request, channel),
        ("PATCH", ["channels", channel, "messages", id]) => patch(api, request, channel, id),
        ("DELETE", ["channels", channel, "messages", id]) => {
            known(api, channel)?;
            let deleted = api.messages.edit(|messages| {
                let before = messages.len();
                messages.retain(|shown| shown.id != *id);
                before > messages.len()
            });
            if deleted { Ok(Answer::empty(204)) } else { Err((404, 10_008, "Unknown Message".into())) }
        }
        ("POST", ["channels", channel, "typing"]) => {
            known(api, channel)?;
            api.typing.push((*channel).to_owned());
            Ok(Answer::empty(204))
        }
        ("PUT", ["channels", channel, "messages", id, "reactions", emoji, "@me"]) => {
            known(api, channel)?;
            let there = api.state.lock().expect("no poison").heard.contains_key(*id);
            if !there && api.messages.count(|shown| shown.id == *id) == 0 {
                return Err((404, 10_008, "Unknown Message".into()));
            }
            if emoji.is_empty() || emoji.is_ascii() {
                return Err((400, 10_014, "Unknown Emoji".into()));
            }
            let (channel, message, emoji) = ((*channel).to_owned(), (*id).to_owned(), (*emoji).to_owned());
            api.reactions.push(Reaction { channel, message, emoji });
            Ok(Answer::empty(204))
        }
        ("GET", ["channels", channel]) => {
            let channel = known(api, channel)?;
            let kind = match (&channel.guild, &channel.parent) {
                (None, _) => 1,
                (_, Some(_)) => 11,
                _ => 0,
            };
            let guild = channel.guild;
            Ok(Answer::json(
                200,
                &json!({"id": channel.id, "type": kind, "guild_id": guild, "parent_id": channel.parent}),
            ))
        }
        ("GET", ["guilds", guild, "roles"]) => {
            let everyone = json!({"id": guild, "name": "@everyone", "permissions": "0", "managed": false});
            let own = json!({"id": "1300", "name": "exo", "managed": true, "tags": {"bot_id": BOT_ID}});
            Ok(Answer::json(200, &json!([everyone, own])))
        }
        ("PUT", ["applications", APPLICATION_ID, "commands"]) => {
            let commands: Value = serde_json::from_slice(&request.body).map_err(invalid)?;
            if !commands.is_array() {
                return Err(invalid("a list of commands"));
            }
            Ok(Answer::json(200, &commands))
        }
        (method, ["webhooks", APPLICATION_ID, token, rest @ ..]) => {
            interactions::follow_up(api, request, method, token, rest)
        }
        _ => Err((404, 0, "404: Not Found".into())),
    }
}

fn known(api: &Api, channel: &str) -> Result<Channel, Refusal> {
    let state = api.state.lock().expect("no poison");
    state.channels.get(channel).cloned().ok_or_else(|| (404, 10_003, "Unknown Channel".into()))
}

/// The message in a request's body, and the files beside it.
pub(super) fn read(request: &Request) -> Result<(Map<String, Value>, Files), Refusal> {
    match request.media_type() {
        "application/json" => Ok((object(&request.body).map_err(invalid)?, Vec::new())),
        "multipart/form-data" => {
            let content_type = request.header("content-type").unwrap_or_default();
            let (mut message, mut files) = (None, Vec::new());
            for part in multipart::parse(content_type, &request.body).map_err(invalid)? {
                if part.name == "payload_json" {
                    message = Some(object(&part.bytes).map_err(invalid)?);
                } else if part.name == format!("files[{}]", files.len()) {
                    let name = part.filename.ok_or_else(|| invalid("a file has no name"))?;
                    if part.bytes.len() > 10 << 20 {
                        return Err((413, 40_005, "Request entity too large".into()));
                    }
                    files.push((name, part.bytes));
                } else {
                    return Err(invalid(format!("an unknown part: {}", part.name)));
                }
            }
            Ok((message.unwrap_or_default(), files))
        }
        other => Err(invalid(format!("a body of type {other:?}"))),
    }
}

pub(super) fn content(message: &Map<String, Value>) -> Result<String, Refusal> {
    let content = message.get("content").and_then(Value::as_str).unwrap_or_default();
    if content.chars().count() > 2_000 {
        return Err(invalid("content: Must be 2000 or fewer in length."));
    }
    Ok(content.to_owned())
}

fn post(api: &Api, request: &Request, channel: &str) -> Outcome {
    let place = known(api, channel)?;
    let (message, files) = read(request)?;
    check(&message, MESSAGE).map_err(invalid)?;
    let content = content(&message)?;
    if content.trim().is_empty() && files.is_empty() {
        return Err((400, 50_006, "Cannot send an empty message".into()));
    }
    // Without it, a text of a user's could call everyone.
    if !message.contains_key("allowed_mentions") && !content.is_empty() {
        return Err(invalid("allowed_mentions is not set"));
    }
    let nonce = match message.get("nonce") {
        None => None,
        Some(Value::String(nonce)) if nonce.len() <= 25 => Some(nonce.clone()),
        Some(Value::Number(nonce)) => Some(nonce.to_string()),
        Some(_) => return Err(invalid("nonce: Must be 25 or fewer in length.")),
    };
    let enforced = message.get("enforce_nonce") == Some(&Value::Bool(true));
    let mut state = api.state.lock().expect("no poison");
    let key = nonce.clone().filter(|_| enforced).map(|nonce| (channel.to_owned(), nonce));
    if let Some(earlier) = key.as_ref().and_then(|key| state.nonces.get(key)).cloned() {
        state.repeats += 1;
        drop(state);
        let shown = api.messages.all().into_iter().find(|shown| shown.id == earlier).expect("it was noted");
        return Ok(Answer::json(200, &json_of(api, &place, &shown)));
    }
    let reply_to = message.get("message_reference").and_then(|to| to["message_id"].as_str()).map(str::to_owned);
    if let Some(to) = &reply_to {
        let there = state.heard.contains_key(to) || api.messages.count(|shown| shown.id == *to) > 0;
        if !there && message["message_reference"]["fail_if_not_exists"] != false {
            return Err(invalid("message_reference: Unknown message"));
        }
    }
    state.next_id += 1;
    let id = state.next_id.to_string();
    if let Some(key) = key {
        state.nonces.insert(key, id.clone());
    }
    drop(state);
    let shown = Shown {
        request: request.number,
        at: Instant::now(),
        channel: channel.to_owned(),
        id,
        content,
        nonce,
        reply_to,
        earlier: Vec::new(),
        files,
    };
    api.messages.push(shown.clone());
    let json = json_of(api, &place, &shown);
    // A bot hears itself, too.
    api.gateway.dispatch_message("MESSAGE_CREATE", &place, json.clone());
    Ok(Answer::json(200, &json))
}

fn json_of(api: &Api, place: &Channel, shown: &Shown) -> Value {
    let mut message = api.message(place, &bot(), &shown.id);
    message["content"] = shown.content.as_str().into();
    if let Some(nonce) = &shown.nonce {
        message["nonce"] = nonce.as_str().into();
    }
    message
}

fn patch(api: &Api, request: &Request, channel: &str, id: &str) -> Outcome {
    let place = known(api, channel)?;
    let (message, _) = read(request)?;
    check(&message, &[need("content", Kind::Text), may("allowed_mentions", Kind::Object(MENTIONS))])
        .map_err(invalid)?;
    let content = content(&message)?;
    if content.trim().is_empty() {
        return Err((400, 50_006, "Cannot send an empty message".into()));
    }
    if api.state.lock().expect("no poison").heard.contains_key(id) {
        return Err((403, 50_005, "Cannot edit a message authored by another user".into()));
    }
    let edited = api.messages.edit(|messages| {
        let shown = messages.iter_mut().find(|shown| shown.id == id && shown.channel == channel)?;
        shown.earlier.push(std::mem::replace(&mut shown.content, content));
        Some(shown.clone())
    });
    let edited = edited.ok_or_else(|| (404, 10_008, "Unknown Message".to_owned()))?;
    let mut json = json_of(api, &place, &edited);
    json["edited_timestamp"] = timestamp().into();
    api.gateway.dispatch_message("MESSAGE_UPDATE", &place, json.clone());
    debug_assert_eq!(json["author"]["id"], BOT_ID);
    Ok(Answer::json(200, &json))
}
