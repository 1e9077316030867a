//! WhatsApp's Cloud API, <https://developers.facebook.com/docs/whatsapp/cloud-api>.

mod graph;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};

use super::courier::{self, Calls, Courier};
use super::desk::{Desk, Seen};
use super::push::{Hook, Pushed, hmac_sha256, now};
use super::server::{Answer, Platform, Request, Scheme, Server};

pub(crate) const TOKEN: &str = "EAAFakeTokenOfASystemUserForTests0000000";
pub(crate) const APP_SECRET: &str = "9b7c0ffee0ddba11fake5ecret0fthe0app0";
pub(crate) const VERIFY_TOKEN: &str = "verify-token-of-the-owner";
pub(crate) const PHONE_NUMBER_ID: &str = "106540352242922";

/// Paid for by tests that write to nobody who has written before.
const WINDOW_CLOSED: u32 = 131_047;

/// WhatsApp, as long as this lives.
pub(crate) type WhatsApp = Server<Api>;

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

impl WhatsApp {
    pub(crate) async fn start(scheme: Scheme) -> Self {
        Self::serve(scheme, |address| Api {
            desk: Desk::default(),
            origin: format!("{}://{address}", scheme.http()),
            state: Mutex::default(),
            messages: Seen::default(),
            read: Seen::default(),
            reactions: Seen::default(),
            courier: Courier::new(|body, _| signed(body, APP_SECRET)),
        })
        .await
    }

    pub(crate) fn messages(&self) -> &Seen<Shown> {
        &self.platform().messages
    }

    pub(crate) fn read(&self) -> &Seen<(String, bool)> {
        &self.platform().read
    }

    pub(crate) fn reactions(&self) -> &Seen<(String, String)> {
        &self.platform().reactions
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
        let mut state = self.platform().state.lock().expect("no poison");
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
        self.platform().courier.call(callback.to_string());
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
        self.platform().state.lock().expect("no poison").open.remove(person);
    }

    /// A file of a user's; returns its id.
    pub(crate) fn upload(&self, media_type: &str, bytes: &[u8]) -> String {
        let mut state = self.platform().state.lock().expect("no poison");
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

impl Calls for Api {
    fn courier(&self) -> &Courier {
        &self.courier
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
        graph::answer(self, request).unwrap_or_else(|(status, code, details)| {
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
