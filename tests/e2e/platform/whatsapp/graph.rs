//! What the Cloud API is asked: messages, marks that they were read, and files.

use std::time::Instant;

use ring::digest;
use serde_json::{Map, Value, json};

use super::{Api, PHONE_NUMBER_ID, Shown, TOKEN, WINDOW_CLOSED};
use crate::platform::check::{Field, Kind, check, may, need, object};
use crate::platform::multipart;
use crate::platform::server::{Answer, Request};

const TEXT: Field = need("text", Kind::Object(&[need("body", Kind::Text), may("preview_url", Kind::Bool)]));
const CONTEXT: Field = may("context", Kind::Object(&[need("message_id", Kind::Text)]));
const MEDIA: Kind = Kind::Object(&[need("id", Kind::Text), may("caption", Kind::Text), may("filename", Kind::Text)]);
const TYPING: Kind = Kind::Object(&[need("type", Kind::One(&["text"]))]);
const REACTION: Kind = Kind::Object(&[need("message_id", Kind::Text), need("emoji", Kind::Text)]);
const PRODUCT: Field = need("messaging_product", Kind::One(&["whatsapp"]));
const INDIVIDUAL: Field = may("recipient_type", Kind::One(&["individual"]));
const TO: Field = need("to", Kind::Text);

/// HTTP status, Meta's code, and what is wrong.
type Refusal = (u16, u32, String);

pub(super) fn answer(api: &Api, request: &Request) -> Result<Answer, Refusal> {
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if token != Some(TOKEN) {
        return Err((401, 190, "Invalid OAuth access token".into()));
    }
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    // Downloads are of another host.
    if let ("GET", ["whatsapp_business", "attachments", id]) = (request.method.as_str(), parts.as_slice()) {
        let state = api.state.lock().expect("no poison");
        let (media_type, bytes) = state.media.get(*id).ok_or((404, 100, "no such file".to_owned()))?;
        return Ok(Answer::bytes(200, media_type, bytes.clone()));
    }
    let [version, route @ ..] = parts.as_slice() else { return Err((404, 2_500, "Unknown path".into())) };
    let number = version.strip_prefix('v').and_then(|version| version.strip_suffix(".0")).map(str::parse::<u32>);
    if !matches!(number, Some(Ok(20..=40))) {
        return Err((400, 2_635, format!("{version} is no version of the API")));
    }
    match (request.method.as_str(), route) {
        ("POST", [PHONE_NUMBER_ID, "messages"]) => message(api, request),
        ("POST", [PHONE_NUMBER_ID, "media"]) => upload(api, request),
        ("GET", [id]) => {
            let state = api.state.lock().expect("no poison");
            let (media_type, bytes) = state.media.get(*id).ok_or((404, 100, format!("no object {id}")))?;
            let sha256 = data_encoding::HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref());
            Ok(Answer::json(
                200,
                &json!({
                    "messaging_product": "whatsapp", "id": id, "mime_type": media_type, "sha256": sha256,
                    "file_size": bytes.len(), "url": format!("{}/whatsapp_business/attachments/{id}", api.origin),
                }),
            ))
        }
        _ => Err((404, 2_500, "Unknown path".into())),
    }
}

fn message(api: &Api, request: &Request) -> Result<Answer, Refusal> {
    let bad = |why: String| (400, 100, why);
    if request.media_type() != "application/json" {
        return Err(bad(format!("a body of type {:?}", request.media_type())));
    }
    let fields = object(&request.body).map_err(bad)?;
    let hold = |known: &[Field]| check(&fields, known).map_err(bad);
    if fields.contains_key("status") {
        hold(&[
            PRODUCT,
            need("status", Kind::One(&["read"])),
            need("message_id", Kind::Text),
            may("typing_indicator", TYPING),
        ])?;
        let id = fields["message_id"].as_str().unwrap_or_default().to_owned();
        if !api.state.lock().expect("no poison").heard.contains(&id) {
            return Err(bad(format!("no message {id}")));
        }
        api.read.push((id, fields.contains_key("typing_indicator")));
        return Ok(Answer::json(200, &json!({"success": true})));
    }
    let text = |object: &str, name: &str| -> String {
        let value = fields.get(object).and_then(|object| object.get(name));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or("text").to_owned();
    let kind_field = may("type", Kind::Text);
    let mut shown = Shown {
        request: request.number,
        at: Instant::now(),
        id: api.state.lock().expect("no poison").id(),
        to: fields.get("to").and_then(Value::as_str).unwrap_or_default().to_owned(),
        text: String::new(),
        reply_to: None,
        file: None,
    };
    let mut reaction = None;
    match kind.as_str() {
        "text" => {
            hold(&[PRODUCT, INDIVIDUAL, TO, kind_field, TEXT, CONTEXT])?;
            shown.text = text("text", "body");
            if shown.text.trim().is_empty() || shown.text.chars().count() > 4_096 {
                return Err(bad("text.body has 1 to 4096 characters".into()));
            }
        }
        "image" | "document" | "audio" | "video" => {
            let media = match kind.as_str() {
                "image" => need("image", MEDIA),
                "document" => need("document", MEDIA),
                "audio" => need("audio", MEDIA),
                _ => need("video", MEDIA),
            };
            hold(&[PRODUCT, INDIVIDUAL, TO, kind_field, media, CONTEXT])?;
            if kind != "document" && !text(&kind, "filename").is_empty() {
                return Err(bad("only a document has a filename".into()));
            }
            shown.text = text(&kind, "caption");
            let state = api.state.lock().expect("no poison");
            let file = state.media.get(&text(&kind, "id")).cloned();
            shown.file = Some(file.ok_or_else(|| bad("no such media".into()))?);
        }
        "reaction" => {
            hold(&[PRODUCT, INDIVIDUAL, TO, kind_field, need("reaction", REACTION)])?;
            reaction = Some((text("reaction", "message_id"), text("reaction", "emoji")));
        }
        other => return Err(bad(format!("type {other}"))),
    }
    let state = api.state.lock().expect("no poison");
    if shown.to.is_empty() || !shown.to.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad(format!("to is a phone number, not {}", shown.to)));
    }
    if !state.open.contains(&shown.to) {
        return Err((400, WINDOW_CLOSED, "Re-engagement message".into()));
    }
    let reply_to = text("context", "message_id");
    let of_theirs = reaction.as_ref().map_or(&reply_to, |(id, _)| id);
    let known = of_theirs.is_empty()
        || state.heard.contains(of_theirs)
        || api.messages.count(|shown| shown.id == *of_theirs) > 0;
    if !known {
        return Err(bad(format!("no message {of_theirs}")));
    }
    drop(state);
    shown.reply_to = Some(reply_to).filter(|id| !id.is_empty());
    let answer = json!({
        "messaging_product": "whatsapp", "contacts": [{"input": shown.to, "wa_id": shown.to}],
        "messages": [{"id": shown.id}],
    });
    match reaction {
        Some(reaction) => api.reactions.push(reaction),
        None => api.messages.push(shown),
    }
    Ok(Answer::json(200, &answer))
}

fn upload(api: &Api, request: &Request) -> Result<Answer, Refusal> {
    let bad = |why: String| (400, 100, why);
    let content_type = request.header("content-type").unwrap_or_default();
    let parts = multipart::parse(content_type, &request.body).map_err(bad)?;
    let (mut fields, mut file) = (Map::new(), None);
    for part in parts {
        if part.name == "file" {
            file = Some(part);
        } else {
            fields.insert(part.name.clone(), part.text().map_err(bad)?.into());
        }
    }
    check(&fields, &[PRODUCT, may("type", Kind::Text)]).map_err(bad)?;
    let file = file.filter(|file| file.filename.is_some()).ok_or_else(|| bad("file is missing".into()))?;
    let media_type = file.media_type.ok_or_else(|| bad("the file has no type".into()))?;
    if file.bytes.is_empty() || file.bytes.len() > 100 << 20 {
        return Err(bad(format!("a file of {} bytes", file.bytes.len())));
    }
    let mut state = api.state.lock().expect("no poison");
    let id = state.number();
    state.media.insert(id.clone(), (media_type, file.bytes));
    Ok(Answer::json(200, &json!({"id": id})))
}
