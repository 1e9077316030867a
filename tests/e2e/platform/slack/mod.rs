//! Slack: its Web API, Socket Mode and the Events API, <https://docs.slack.dev/reference/methods>.

mod files;
mod socket;
mod web;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};

use super::courier::{self, Calls, Courier};
use super::desk::{Desk, Seen};
use super::push::{Hook, Pushed, hmac_sha256, now};
use super::server::{Answer, Platform, Request, Scheme, Server, Socket};
use socket::SocketMode;
pub(crate) use web::too_many as slack_too_many;

pub(crate) const BOT_TOKEN: &str = "xoxb-100000000001-200000000002-FakeTokenForTests0000000";
pub(crate) const APP_TOKEN: &str = "xapp-1-A000000001-300000000003-faketokenoftheappfortests";
pub(crate) const SIGNING_SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

pub(crate) const BOT_USER: &str = "U0BOTUSER1";
const BOT_ID: &str = "B0BOT00001";
const TEAM: &str = "T000000001";
const APP: &str = "A000000001";

/// Slack, as long as this lives.
pub(crate) type Slack = Server<Api>;

pub(crate) struct Api {
    desk: Desk,
    origin: String,
    socket_origin: String,
    state: Mutex<State>,
    messages: Seen<Shown>,
    reactions: Seen<Reaction>,
    statuses: Seen<(String, String)>,
    socket: SocketMode,
    courier: Courier,
}

#[derive(Default)]
struct State {
    channels: HashMap<String, Channel>,
    heard: HashMap<(String, String), Value>,
    uploads: HashMap<String, files::Upload>,
    /// Files of users, by their path.
    files: HashMap<String, Vec<u8>>,
    next: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) direct: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: String,
}

/// A message of the bot's, as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) request: u64,
    pub(crate) at: Instant,
    pub(crate) channel: String,
    pub(crate) ts: String,
    pub(crate) thread: Option<String>,
    pub(crate) text: String,
    pub(crate) earlier: Vec<String>,
    /// Names and contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reaction {
    pub(crate) channel: String,
    pub(crate) ts: String,
    pub(crate) name: String,
}

impl Slack {
    pub(crate) async fn start(scheme: Scheme) -> Self {
        Self::serve(scheme, |address| Api {
            desk: Desk::default(),
            origin: format!("{}://{address}", scheme.http()),
            socket_origin: format!("{}://{address}", scheme.ws()),
            state: Mutex::default(),
            messages: Seen::default(),
            reactions: Seen::default(),
            statuses: Seen::default(),
            socket: SocketMode::default(),
            courier: Courier::new(|body, attempt| signed(body, attempt, SIGNING_SECRET, now())),
        })
        .await
    }

    pub(crate) fn socket_origin(&self) -> String {
        self.platform().socket_origin.clone()
    }

    pub(crate) fn socket_mode(&self) -> &SocketMode {
        &self.platform().socket
    }

    /// Asks who answers, as when the owner enters the webhook's address.
    pub(crate) async fn verifies(&self, hook: &Hook, challenge: &str) -> Result<Pushed, String> {
        let body = json!({"token": "legacy", "challenge": challenge, "type": "url_verification"}).to_string();
        courier::once(hook, &signed(&body, 0, SIGNING_SECRET, now()), &body).await
    }

    /// Pushes an event once, signed with this secret for this time.
    pub(crate) async fn push(
        &self,
        hook: &Hook,
        callback: &Value,
        secret: &str,
        timestamp: u64,
    ) -> Result<Pushed, String> {
        let body = callback.to_string();
        courier::once(hook, &signed(&body, 0, secret, timestamp), &body).await
    }

    pub(crate) fn direct(&self) -> Channel {
        self.channel("D", true)
    }

    pub(crate) fn public(&self) -> Channel {
        self.channel("C", false)
    }

    fn channel(&self, letter: &str, direct: bool) -> Channel {
        let mut state = self.platform().state.lock().expect("no poison");
        let channel = Channel { id: state.id(letter), direct };
        state.channels.insert(channel.id.clone(), channel.clone());
        channel
    }

    pub(crate) fn user(&self) -> User {
        User { id: self.platform().state.lock().expect("no poison").id("U") }
    }

    /// A user writes; returns the message's `ts`.
    pub(crate) fn says(&self, channel: &Channel, user: &User, text: &str) -> String {
        self.writes(channel, user, json!({"text": text}))
    }

    /// A user sends a message with these further fields; returns its `ts`. Where it names the bot in a channel, Slack
    /// tells of it twice.
    pub(crate) fn writes(&self, channel: &Channel, user: &User, fields: Value) -> String {
        let api = self.platform();
        let ts = api.state.lock().expect("no poison").ts();
        let mut message = json!({
            "type": "message", "user": user.id, "ts": ts, "event_ts": ts, "channel": channel.id, "team": TEAM,
            "channel_type": if channel.direct { "im" } else { "channel" },
        });
        let (Value::Object(into), Value::Object(fields)) = (&mut message, fields) else { panic!("an object") };
        into.extend(fields);
        let mut state = api.state.lock().expect("no poison");
        state.heard.insert((channel.id.clone(), ts.clone()), message.clone());
        drop(state);
        let text = message["text"].as_str().unwrap_or_default();
        let mention = (!channel.direct && text.contains(&format!("<@{BOT_USER}>"))).then(|| {
            let mut mention = message.clone();
            mention["type"] = "app_mention".into();
            mention.as_object_mut().expect("an object").remove("channel_type");
            mention
        });
        api.tells(message);
        if let Some(mention) = mention {
            api.tells(mention);
        }
        ts
    }

    pub(crate) fn edits(&self, channel: &Channel, ts: &str, text: &str) {
        let api = self.platform();
        let mut state = api.state.lock().expect("no poison");
        let before = state.heard[&(channel.id.clone(), ts.to_owned())].clone();
        let mut after = before.clone();
        after["text"] = text.into();
        let event_ts = state.ts();
        after["edited"] = json!({"user": before["user"], "ts": event_ts});
        drop(state);
        api.tells(json!({
            "type": "message", "subtype": "message_changed", "channel": channel.id, "ts": event_ts,
            "event_ts": event_ts, "channel_type": before["channel_type"], "hidden": true, "message": after,
            "previous_message": before,
        }));
    }

    pub(crate) fn reacts(&self, channel: &Channel, user: &User, ts: &str, name: &str) {
        let event_ts = self.platform().state.lock().expect("no poison").ts();
        self.platform().tells(json!({
            "type": "reaction_added", "user": user.id, "reaction": name, "item_user": BOT_USER,
            "item": {"type": "message", "channel": channel.id, "ts": ts}, "event_ts": event_ts,
        }));
    }

    /// An event's envelope, as the Events API has it.
    pub(crate) fn callback(&self, event: Value) -> Value {
        self.platform().callback(event)
    }

    /// Sends a callback as it is.
    pub(crate) fn tells(&self, callback: Value) {
        self.platform().sends(callback);
    }

    /// A file of a user's; returns what stands in a message.
    pub(crate) fn upload(&self, name: &str, media_type: &str, bytes: &[u8]) -> Value {
        let api = self.platform();
        let mut state = api.state.lock().expect("no poison");
        let id = state.id("F");
        let path = format!("/files-pri/{TEAM}-{id}/{name}");
        state.files.insert(path.clone(), bytes.to_vec());
        json!({
            "id": id, "name": name, "mimetype": media_type, "size": bytes.len(),
            "url_private": format!("{}{path}", api.origin), "url_private_download": format!("{}{path}", api.origin),
        })
    }

    pub(crate) fn messages(&self) -> &Seen<Shown> {
        &self.platform().messages
    }

    pub(crate) fn reactions(&self) -> &Seen<Reaction> {
        &self.platform().reactions
    }

    pub(crate) async fn shown(&self, channel: &Channel, text: &str) -> Shown {
        let wanted = |shown: &Shown| shown.channel == channel.id && shown.text == text;
        self.messages().find(&format!("Slack shows {text:?} in {}", channel.id), wanted).await
    }

    pub(crate) fn texts(&self, channel: &Channel) -> Vec<String> {
        let here = self.messages().all().into_iter().filter(|shown| shown.channel == channel.id);
        here.map(|shown| shown.text).collect()
    }
}

impl State {
    fn id(&mut self, letter: &str) -> String {
        self.next += 1;
        format!("{letter}{:09}", self.next)
    }

    /// A message's time, which is its id.
    fn ts(&mut self) -> String {
        self.next += 1;
        format!("{}.{:06}", now(), self.next)
    }
}

impl Api {
    fn callback(&self, event: Value) -> Value {
        let id = self.state.lock().expect("no poison").id("Ev");
        json!({
            "token": "legacy", "team_id": TEAM, "api_app_id": APP, "event": event, "type": "event_callback",
            "event_id": id, "event_time": now(), "is_ext_shared_channel": false, "event_context": "4-context",
            "authorizations": [{
                "enterprise_id": null, "team_id": TEAM, "user_id": BOT_USER, "is_bot": true,
                "is_enterprise_install": false,
            }],
        })
    }

    /// Tells the app of an event, the way that it has chosen.
    fn tells(&self, event: Value) {
        self.sends(self.callback(event));
    }

    fn sends(&self, callback: Value) {
        match self.courier.place() {
            Some(_) => self.courier.call(callback.to_string()),
            None => self.socket.offers(callback),
        }
    }
}

/// The headers of a push.
fn signed(body: &str, attempt: u32, secret: &str, timestamp: u64) -> Vec<(String, String)> {
    let signature = hmac_sha256(secret, format!("v0:{timestamp}:{body}").as_bytes());
    let mut headers = vec![
        ("content-type".into(), "application/json".into()),
        ("user-agent".into(), "Slackbot 1.0 (+https://api.slack.com/robots)".into()),
        ("x-slack-request-timestamp".into(), timestamp.to_string()),
        ("x-slack-signature".into(), format!("v0={signature}")),
    ];
    if attempt > 0 {
        headers.push(("x-slack-retry-num".into(), attempt.to_string()));
        headers.push(("x-slack-retry-reason".into(), "http_error".into()));
    }
    headers
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
        match request.path.strip_prefix("/api/") {
            Some(method) => method.to_owned(),
            None => request.path.split('/').nth(1).unwrap_or_default().to_owned(),
        }
    }

    async fn answer(&self, request: &Request) -> Answer {
        web::answer(self, request)
    }

    fn admits(&self, request: &Request) -> Result<(), Answer> {
        self.socket.admits(&self.desk, request)
    }

    async fn converse(&self, _: Request, socket: Socket) {
        self.socket.converse(&self.desk, socket).await;
    }
}
