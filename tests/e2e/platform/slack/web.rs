//! Slack's Web API, as far as a channel needs it.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{APP_TOKEN, Api, BOT_ID, BOT_TOKEN, BOT_USER, Reaction, Shown, TEAM, files};
use crate::platform::check::{Field, Kind, check, may, need, object};
use crate::platform::server::{Answer, Request, pairs};

type Outcome = Result<Value, String>;

const POST: &[Field] = &[
    need("channel", Kind::Text),
    need("text", Kind::Text),
    may("thread_ts", Kind::Text),
    may("mrkdwn", Kind::Bool),
    may("parse", Kind::One(&["none", "full"])),
    may("link_names", Kind::Bool),
    may("reply_broadcast", Kind::Bool),
    may("unfurl_links", Kind::Bool),
    may("unfurl_media", Kind::Bool),
    may("metadata", Kind::Object(&[need("event_type", Kind::Text), need("event_payload", Kind::Any)])),
];

const UPDATE: &[Field] = &[
    need("channel", Kind::Text),
    need("ts", Kind::Text),
    need("text", Kind::Text),
    may("parse", Kind::One(&["none", "full"])),
    may("link_names", Kind::Bool),
];

const REACTION: &[Field] = &[need("channel", Kind::Text), need("timestamp", Kind::Text), need("name", Kind::Text)];

const STATUS: &[Field] = &[need("channel_id", Kind::Text), need("thread_ts", Kind::Text), need("status", Kind::Text)];

const UPLOAD: &[Field] = &[need("filename", Kind::Text), need("length", Kind::Id)];

const COMPLETE: &[Field] = &[
    need("files", Kind::Any),
    need("channel_id", Kind::Text),
    may("thread_ts", Kind::Text),
    may("initial_comment", Kind::Text),
];

pub(super) fn answer(api: &Api, request: &Request) -> Answer {
    if let Some(id) = request.path.strip_prefix("/upload/v1/") {
        return files::receive(api, request, id);
    }
    if request.path.starts_with("/files-pri/") {
        return download(api, request);
    }
    let Some(method) = request.path.strip_prefix("/api/") else {
        api.desk.violation(format!("nothing is served at {}", request.path));
        return Answer::empty(404);
    };
    let outcome = carry_out(api, request, method);
    let body = match outcome {
        Ok(mut result) => {
            result["ok"] = true.into();
            result
        }
        Err(error) => {
            // An honest client may react twice.
            if error != "already_reacted" {
                let body = String::from_utf8_lossy(&request.body);
                let body = body.get(..body.floor_char_boundary(2_000)).unwrap_or_default();
                api.desk.violation(format!("{method}: {error}; it was sent {body}"));
            }
            json!({"ok": false, "error": error.split(':').next().unwrap_or_default()})
        }
    };
    Answer::json(200, &body)
}

/// What Slack says to who sends too much.
pub(crate) fn too_many(after: Duration) -> Answer {
    Answer::json(429, &json!({"ok": false, "error": "ratelimited"})).header("retry-after", &after.as_secs().to_string())
}

fn download(api: &Api, request: &Request) -> Answer {
    if bearer(request) != Some(BOT_TOKEN) {
        api.desk.violation(format!("{}: without the bot's token", request.path));
        // Slack leads to its login page instead.
        return Answer::empty(302).header("location", "https://slack.com/");
    }
    match api.state.lock().expect("no poison").files.get(&request.path) {
        Some(bytes) => Answer::bytes(200, "application/octet-stream", bytes.clone()),
        None => Answer::empty(404),
    }
}

fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ")
}

fn carry_out(api: &Api, request: &Request, method: &str) -> Outcome {
    if request.method != "POST" && !(request.method == "GET" && request.body.is_empty()) {
        return Err(format!("invalid_method: {}", request.method));
    }
    let token = if method == "apps.connections.open" { APP_TOKEN } else { BOT_TOKEN };
    match bearer(request) {
        None => return Err("not_authed".into()),
        Some(given) if given != token => return Err("invalid_auth".into()),
        Some(_) => {}
    }
    let fields = fields(request)?;
    let hold = |known: &[Field]| check(&fields, known).map_err(|why| format!("invalid_arguments: {why}"));
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    match method {
        "auth.test" => {
            hold(&[])?;
            Ok(json!({
                "url": "https://example.slack.com/", "team": "Example", "user": "exo", "team_id": TEAM,
                "user_id": BOT_USER, "bot_id": BOT_ID, "is_enterprise_install": false,
            }))
        }
        "apps.connections.open" => {
            hold(&[])?;
            Ok(json!({"url": format!("{}{}", api.socket_origin, api.socket.ticket())}))
        }
        "chat.postMessage" => {
            hold(POST)?;
            post(api, request, &fields)
        }
        "chat.update" => {
            hold(UPDATE)?;
            update(api, text("channel"), text("ts"), text("text"))
        }
        "chat.delete" => {
            hold(&[need("channel", Kind::Text), need("ts", Kind::Text)])?;
            let (channel, ts) = (text("channel"), text("ts"));
            let deleted = api.messages.edit(|messages| {
                let before = messages.len();
                messages.retain(|shown| shown.channel != channel || shown.ts != ts);
                before > messages.len()
            });
            if deleted { Ok(json!({"channel": channel, "ts": ts})) } else { Err("message_not_found".into()) }
        }
        "reactions.add" => {
            hold(REACTION)?;
            let (channel, ts, name) = (text("channel"), text("timestamp"), text("name"));
            known_message(api, channel, ts)?;
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_+-".contains(&byte);
            if name.is_empty() || !name.bytes().all(allowed) {
                return Err("invalid_name".into());
            }
            let reaction = Reaction { channel: channel.into(), ts: ts.into(), name: name.into() };
            if api.reactions.count(|other| *other == reaction) > 0 {
                return Err("already_reacted".into());
            }
            api.reactions.push(reaction);
            Ok(json!({}))
        }
        "assistant.threads.setStatus" => {
            hold(STATUS)?;
            known_message(api, text("channel_id"), text("thread_ts"))?;
            api.statuses.push((text("channel_id").into(), text("status").into()));
            Ok(json!({}))
        }
        "files.getUploadURLExternal" => {
            hold(UPLOAD)?;
            // This method reads no JSON.
            if request.media_type() == "application/json" {
                return Err("invalid_arguments: this method takes a form".into());
            }
            files::url(api, &fields)
        }
        "files.completeUploadExternal" => {
            if fields.get("files").is_some_and(Value::is_string) {
                // In a form, it is JSON as text.
                let mut fields = fields.clone();
                fields["files"] = json!([]);
                check(&fields, COMPLETE).map_err(|why| format!("invalid_arguments: {why}"))?;
            } else {
                hold(COMPLETE)?;
            }
            files::complete(api, request, &fields)
        }
        _ => Err("unknown_method".into()),
    }
}

fn fields(request: &Request) -> Result<Map<String, Value>, String> {
    let text = |(name, value): (String, String)| (name, Value::from(value));
    let mut fields: Map<String, Value> = request.query.iter().cloned().map(text).collect();
    match request.media_type() {
        _ if request.body.is_empty() => {}
        "application/json" => fields.extend(object(&request.body).map_err(|why| format!("invalid_json: {why}"))?),
        "application/x-www-form-urlencoded" => {
            let body = std::str::from_utf8(&request.body).map_err(|_| "invalid_form_data")?;
            fields.extend(pairs(body).into_iter().map(text));
        }
        other => return Err(format!("invalid_post_type: {other}")),
    }
    Ok(fields)
}

fn known_message(api: &Api, channel: &str, ts: &str) -> Result<(), String> {
    let state = api.state.lock().expect("no poison");
    if !state.channels.contains_key(channel) {
        return Err("channel_not_found".into());
    }
    let heard = state.heard.contains_key(&(channel.to_owned(), ts.to_owned()));
    let ours = || api.messages.count(|shown| shown.channel == channel && shown.ts == ts) > 0;
    if heard || ours() { Ok(()) } else { Err("message_not_found".into()) }
}

/// Slack reads `&`, `<` and `>` as its own: as entities, and around links.
fn mrkdwn(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("no_text".into());
    }
    if text.chars().count() > 40_000 {
        return Err("msg_too_long".into());
    }
    let mut rest = text;
    while let Some(start) = rest.find(['&', '<']) {
        rest = &rest[start..];
        let right = match rest.strip_prefix('<') {
            None => ["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity)),
            Some(link) => {
                let kinds = ["http://", "https://", "mailto:", "@", "#"];
                kinds.iter().any(|kind| link.starts_with(kind)) && link.contains('>')
            }
        };
        if !right {
            let near = rest.get(..rest.floor_char_boundary(20)).unwrap_or_default();
            return Err(format!("invalid_text: not escaped: {near}"));
        }
        rest = &rest[1..];
    }
    Ok(())
}

fn post(api: &Api, request: &Request, fields: &Map<String, Value>) -> Outcome {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let (channel, source) = (text("channel").unwrap_or_default(), text("text").unwrap_or_default());
    mrkdwn(source)?;
    let mut state = api.state.lock().expect("no poison");
    if !state.channels.contains_key(channel) {
        return Err("channel_not_found".into());
    }
    let ts = state.ts();
    drop(state);
    if let Some(thread) = text("thread_ts") {
        known_message(api, channel, thread).map_err(|_| "invalid_thread_ts")?;
    }
    api.messages.push(Shown {
        request: request.number,
        at: Instant::now(),
        channel: channel.to_owned(),
        ts: ts.clone(),
        thread: text("thread_ts").map(str::to_owned),
        text: source.to_owned(),
        earlier: Vec::new(),
        files: Vec::new(),
    });
    let direct = channel.starts_with('D');
    // An app hears itself, too.
    let mut message = json!({
        "type": "message", "user": BOT_USER, "bot_id": BOT_ID, "app_id": super::APP, "text": source, "ts": ts,
        "team": TEAM, "bot_profile": {"id": BOT_ID, "app_id": super::APP, "name": "exo"},
    });
    if let Some(thread) = text("thread_ts") {
        message["thread_ts"] = thread.into();
    }
    let mut echo = message.clone();
    echo["channel"] = channel.into();
    echo["event_ts"] = ts.as_str().into();
    echo["channel_type"] = if direct { "im" } else { "channel" }.into();
    api.tells(echo);
    Ok(json!({"channel": channel, "ts": ts, "message": message}))
}

fn update(api: &Api, channel: &str, ts: &str, text: &str) -> Outcome {
    mrkdwn(text)?;
    if api.state.lock().expect("no poison").heard.contains_key(&(channel.to_owned(), ts.to_owned())) {
        return Err("cant_update_message".into());
    }
    let found = api.messages.edit(|messages| {
        let shown = messages.iter_mut().find(|shown| shown.channel == channel && shown.ts == ts)?;
        shown.earlier.push(std::mem::replace(&mut shown.text, text.to_owned()));
        Some(())
    });
    found.ok_or("message_not_found")?;
    Ok(json!({"channel": channel, "ts": ts, "text": text}))
}
