//! WhatsApp's Cloud API, <https://developers.facebook.com/docs/whatsapp/cloud-api>.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Instant;

use ring::digest;
use serde_json::{Map, Value, json};

use super::check::{Field, Kind, check, may, need, object};
use super::courier::{self, Courier};
use super::desk::{Desk, Seen};
use super::multipart;
use super::push::{Hook, Pushed, hmac_sha256, now};
use super::server::{Answer, Platform, Request, Scheme, Server};

pub(crate) const TOKEN: &str = "EAAFakeTokenOfASystemUserForTests0000000";
pub(crate) const APP_SECRET: &str = "9b7c0ffee0ddba11fake5ecret0fthe0app0";
pub(crate) const VERIFY_TOKEN: &str = "verify-token-of-the-owner";
pub(crate) const PHONE_NUMBER_ID: &str = "106540352242922";

/// Paid for by tests that write to nobody who has written before.
const WINDOW_CLOSED: u32 = 131_047;

/// WhatsApp, as long as this lives.
pub(crate) struct WhatsApp {
    server: Server<Api>,
}

pub(crate) struct Api {
    desk: Desk,
    origin: String,
    state: Mutex<State>,
    messages: Seen<Shown>,
    /// Messages that were marked as read, and whether typing was shown.
    read: Seen<(String, bool)>,
    reactions: Seen<(String, String)>,
    courier: Courier,
}

#[derive(Default)]
struct State {
    /// People within their 24 hours.
    open: HashSet<String>,
    heard: HashSet<String>,
    media: HashMap<String, (String, Vec<u8>)>,
    next: u64,
}

/// A message of the business's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) request: u64,
    pub(crate) at: Instant,
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) text: String,
    pub(crate) reply_to: Option<String>,
    /// Media type and bytes.
    pub(crate) file: Option<(String, Vec<u8>)>,
}

const TEXT: Field = need("text", Kind::Object(&[need("body", Kind::Text), may("preview_url", Kind::Bool)]));
const CONTEXT: Field = may("context", Kind::Object(&[need("message_id", Kind::Text)]));
const MEDIA: Kind = Kind::Object(&[need("id", Kind::Text), may("caption", Kind::Text), may("filename", Kind::Text)]);
const TYPING: Kind = Kind::Object(&[need("type", Kind::One(&["text"]))]);
const REACTION: Kind = Kind::Object(&[need("message_id", Kind::Text), need("emoji", Kind::Text)]);
const PRODUCT: Field = need("messaging_product", Kind::One(&["whatsapp"]));
const INDIVIDUAL: Field = may("recipient_type", Kind::One(&["individual"]));
const TO: Field = need("to", Kind::Text);

impl WhatsApp {
    pub(crate) async fn start(scheme: Scheme) -> Self {
        let server = Server::start(scheme, |address| Api {
            desk: Desk::default(),
            origin: format!("{}://{address}", scheme.http()),
            state: Mutex::default(),
            messages: Seen::default(),
            read: Seen::default(),
            reactions: Seen::default(),
            courier: Courier::new(|body, _| signed(body, APP_SECRET)),
        });
        Self { server: server.await }
    }

    pub(crate) fn origin(&self) -> String {
        self.server.origin()
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.api().desk
    }

    fn api(&self) -> &Api {
        self.server.platform()
    }

    pub(crate) fn pushes_to(&self, hook: Hook) {
        self.api().courier.goes_to(hook);
    }

    pub(crate) fn pushes(&self) -> &Seen<u16> {
        self.api().courier.answers()
    }

    pub(crate) fn messages(&self) -> &Seen<Shown> {
        &self.api().messages
    }

    pub(crate) fn read(&self) -> &Seen<(String, bool)> {
        &self.api().read
    }

    pub(crate) fn reactions(&self) -> &Seen<(String, String)> {
        &self.api().reactions
    }

    /// Asks who answers, as when the owner enters the webhook's address.
    pub(crate) async fn verifies(&self, hook: &Hook, token: &str, challenge: &str) -> Result<Pushed, String> {
        hook.get(&format!("?hub.mode=subscribe&hub.verify_token={token}&hub.challenge={challenge}")).await
    }

    /// Someone writes; returns the message's id.
    pub(crate) fn says(&self, from: &str, text: &str) -> String {
        self.writes(from, json!({"type": "text", "text": {"body": text}}))
    }

    /// Someone sends a message with these further fields; returns its id.
    pub(crate) fn writes(&self, from: &str, fields: Value) -> String {
        let message = self.message(from, fields);
        let id = message["id"].as_str().expect("just made").to_owned();
        self.call(&self.callback(from, vec![message]));
        id
    }

    /// A message that is not sent yet.
    pub(crate) fn message(&self, from: &str, fields: Value) -> Value {
        let mut state = self.api().state.lock().expect("no poison");
        let id = state.id();
        state.open.insert(from.to_owned());
        state.heard.insert(id.clone());
        let mut message = json!({"from": from, "id": id, "timestamp": now().to_string()});
        let (Value::Object(into), Value::Object(fields)) = (&mut message, fields) else { panic!("an object") };
        into.extend(fields);
        message
    }

    /// A webhook call with these messages of one person's.
    pub(crate) fn callback(&self, from: &str, messages: Vec<Value>) -> Value {
        value(json!({
            "contacts": [{"profile": {"name": format!("Person {from}")}, "wa_id": from}], "messages": messages,
        }))
    }

    /// Sends a call as it is, again and again until it is taken.
    pub(crate) fn call(&self, callback: &Value) {
        self.api().courier.call(callback.to_string());
    }

    /// Makes a call once, signed with this secret.
    pub(crate) async fn push(&self, hook: &Hook, callback: &Value, secret: &str) -> Result<Pushed, String> {
        let body = callback.to_string();
        courier::once(hook, &signed(&body, secret), &body).await
    }

    /// Tells of a message what became of it: `delivered`, `read` or `failed`.
    pub(crate) fn status(&self, shown: &Shown, status: &str) {
        let mut status = json!({
            "id": shown.id, "status": status, "timestamp": now().to_string(), "recipient_id": shown.to,
        });
        if status["status"] == "failed" {
            status["errors"] = json!([{"code": 131_026, "title": "Message undeliverable"}]);
        }
        self.call(&value(json!({"statuses": [status]})));
    }

    /// A person's 24 hours are over.
    pub(crate) fn window_closes(&self, person: &str) {
        self.api().state.lock().expect("no poison").open.remove(person);
    }

    /// A file of a user's; returns its id.
    pub(crate) fn upload(&self, media_type: &str, bytes: &[u8]) -> String {
        let mut state = self.api().state.lock().expect("no poison");
        let id = state.number();
        state.media.insert(id.clone(), (media_type.to_owned(), bytes.to_vec()));
        id
    }

    pub(crate) async fn shown(&self, to: &str, text: &str) -> Shown {
        let wanted = |shown: &Shown| shown.to == to && shown.text == text;
        self.messages().find(&format!("WhatsApp shows {text:?} to {to}"), wanted).await
    }

    pub(crate) fn texts(&self, to: &str) -> Vec<String> {
        self.messages().all().into_iter().filter(|shown| shown.to == to).map(|shown| shown.text).collect()
    }
}

/// A webhook call about the one phone number.
fn value(fields: Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": PHONE_NUMBER_ID},
    });
    let (Value::Object(into), Value::Object(fields)) = (&mut value, fields) else { panic!("an object") };
    into.extend(fields);
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}],
    })
}

fn signed(body: &str, secret: &str) -> Vec<(String, String)> {
    vec![
        ("content-type".into(), "application/json".into()),
        ("user-agent".into(), "facebookexternalua".into()),
        ("x-hub-signature-256".into(), format!("sha256={}", hmac_sha256(secret, body.as_bytes()))),
    ]
}

impl State {
    fn number(&mut self) -> String {
        self.next += 1;
        format!("90000000{:07}", self.next)
    }

    fn id(&mut self) -> String {
        self.next += 1;
        format!("wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI{:08}", self.next)
    }
}

impl Platform for Api {
    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn operation(&self, request: &Request) -> String {
        request.path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    async fn answer(&self, request: &Request) -> Answer {
        answer(self, request).unwrap_or_else(|(status, code, details)| {
            // That someone's 24 hours are over is for the platform to know.
            if code != WINDOW_CLOSED {
                let body = String::from_utf8_lossy(&request.body);
                let body = body.get(..body.floor_char_boundary(2_000)).unwrap_or_default();
                self.desk.violation(format!("{} {}: {details}; it was sent {body}", request.method, request.path));
            }
            error(status, code, &details)
        })
    }
}

fn error(status: u16, code: u32, details: &str) -> Answer {
    let body = json!({"error": {
        "message": format!("(#{code}) {details}"), "type": "OAuthException", "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details}, "fbtrace_id": "AfakeTrace",
    }});
    Answer::json(status, &body)
}

/// What WhatsApp says to who sends too much.
pub(crate) fn too_many() -> Answer {
    error(429, 130_429, "Rate limit hit: Message failed to send because there were too many messages sent")
}

type Refusal = (u16, u32, String);

fn answer(api: &Api, request: &Request) -> Result<Answer, Refusal> {
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
