//! Discord's gateway: hello, identify, resume, heartbeats, and the codes by which it closes.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{APPLICATION_ID, BOT_ID, Channel, TOKEN, bot};
use crate::platform::check::{Field, Kind, check, may, need, object};
use crate::platform::desk::{Desk, Seen};
use crate::platform::server::{Answer, Request, Socket};

/// What a bot asks to be told.
pub(crate) struct Intents;

impl Intents {
    pub(crate) const GUILDS: u64 = 1;
    pub(crate) const GUILD_MESSAGES: u64 = 1 << 9;
    pub(crate) const GUILD_MESSAGE_REACTIONS: u64 = 1 << 10;
    pub(crate) const DIRECT_MESSAGES: u64 = 1 << 12;
    pub(crate) const DIRECT_MESSAGE_REACTIONS: u64 = 1 << 13;
    pub(crate) const MESSAGE_CONTENT: u64 = 1 << 15;
    const KNOWN: u64 = ((1 << 17) - 1) | (1 << 20) | (1 << 21) | (1 << 24) | (1 << 25);
}

const IDENTIFY: &[Field] = &[
    need("token", Kind::Text),
    need("intents", Kind::Whole),
    need(
        "properties",
        Kind::Object(&[need("os", Kind::Text), need("browser", Kind::Text), need("device", Kind::Text)]),
    ),
    may("large_threshold", Kind::Whole),
    may("presence", Kind::Any),
    may("shard", Kind::List(&Kind::Whole)),
];

const RESUME: &[Field] = &[need("token", Kind::Text), need("session_id", Kind::Text), need("seq", Kind::Whole)];

/// Frames that a bot may send in a minute.
const FRAMES: usize = 120;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// The bot closed it, with this code.
    Bot(u16),
    /// The bot was gone without a word.
    Gone,
    /// Discord ended it.
    Discord,
}

#[derive(Debug)]
enum Out {
    Payload(Value),
    Close(u16),
    Cut,
}

/// What the bot and its sessions are at.
pub(crate) struct Gateway {
    state: Mutex<State>,
    /// What bots did, in order: `identify`, `resume`, `heartbeat`.
    acts: Seen<String>,
    hangups: Seen<Hangup>,
}

struct State {
    interval: Duration,
    acknowledges: bool,
    granted: u64,
    sessions: HashMap<String, Session>,
    /// The session that a connection serves now, and the way to it.
    live: Option<(String, u64, mpsc::UnboundedSender<Out>)>,
    connections: u64,
}

#[derive(Default)]
struct Session {
    seq: u64,
    intents: u64,
    log: Vec<Value>,
}

impl Default for Gateway {
    fn default() -> Self {
        let state = State {
            interval: Duration::from_secs(5),
            acknowledges: true,
            granted: Intents::KNOWN,
            sessions: HashMap::new(),
            live: None,
            connections: 0,
        };
        Self { state: Mutex::new(state), acts: Seen::default(), hangups: Seen::default() }
    }
}

impl State {
    fn dispatch(&mut self, name: &str, data: Value, intent: u64) {
        for (id, session) in &mut self.sessions {
            if session.intents & intent == 0 && intent != 0 {
                continue;
            }
            session.seq += 1;
            let mut payload = json!({"op": 0, "t": name, "s": session.seq, "d": data});
            // Without the intent, content is told only where the bot is spoken to.
            let spoken_to = data.get("guild_id").is_none()
                || data["mentions"].as_array().is_some_and(|users| users.iter().any(|user| user["id"] == BOT_ID));
            if data.get("content").is_some() && session.intents & Intents::MESSAGE_CONTENT == 0 && !spoken_to {
                payload["d"]["content"] = "".into();
            }
            session.log.push(payload.clone());
            if let Some((live, _, way)) = &self.live
                && live == id
            {
                // Who is gone is told again when it resumes.
                let _ = way.send(Out::Payload(payload));
            }
        }
    }

    fn send(&self, out: Out) {
        let (_, _, way) = self.live.as_ref().expect("a bot is connected");
        let _ = way.send(out);
    }
}

impl Gateway {
    /// How often bots are asked for a heartbeat.
    pub(crate) fn beat_every(&self, interval: Duration) {
        self.lock().interval = interval;
    }

    /// Leaves heartbeats without an answer, or answers them again.
    pub(crate) fn acknowledges(&self, whether: bool) {
        self.lock().acknowledges = whether;
    }

    /// The intents that the bot's owner has switched on.
    pub(crate) fn grants(&self, intents: u64) {
        self.lock().granted = intents;
    }

    /// Asks the bot to connect anew (op 7).
    pub(crate) fn asks_to_reconnect(&self) {
        self.lock().send(Out::Payload(json!({"op": 7, "d": null})));
    }

    /// Tells the bot that its session is over (op 9).
    pub(crate) fn invalidates(&self, resumable: bool) {
        let mut state = self.lock();
        if !resumable {
            state.sessions.clear();
        }
        state.send(Out::Payload(json!({"op": 9, "d": resumable})));
    }

    pub(crate) fn closes(&self, code: u16) {
        self.lock().send(Out::Close(code));
    }

    /// Ends the connection without a word.
    pub(crate) fn cuts(&self) {
        self.lock().send(Out::Cut);
    }

    /// Dispatches the newest event of a kind once more, under a number of its own.
    pub(crate) fn repeats(&self, name: &str) {
        let mut state = self.lock();
        let last = |session: &Session| session.log.iter().rfind(|event| event["t"] == name).cloned();
        let last = state.sessions.values().find_map(last).expect("such an event");
        state.dispatch(name, last["d"].clone(), 0);
    }

    /// What bots did, in order.
    pub(crate) fn acts(&self) -> &Seen<String> {
        &self.acts
    }

    /// How connections ended, in order.
    pub(crate) fn hangups(&self) -> &Seen<Hangup> {
        &self.hangups
    }

    /// Waits until a bot has identified so often.
    pub(crate) async fn identified(&self, times: usize) {
        self.done("identify", times).await;
    }

    /// Waits until a bot has resumed so often.
    pub(crate) async fn resumed(&self, times: usize) {
        self.done("resume", times).await;
    }

    async fn done(&self, what: &str, times: usize) {
        let enough = |acts: &Vec<String>| acts.iter().filter(|act| *act == what).count() >= times;
        self.acts.until(&format!("a bot does {what} {times} times"), enough).await;
    }

    pub(super) fn dispatch(&self, name: &str, data: Value, intent: u64) {
        self.lock().dispatch(name, data, intent);
    }

    pub(super) fn dispatch_message(&self, name: &str, channel: &Channel, message: Value) {
        let direct = channel.guild.is_none();
        let intent = if direct { Intents::DIRECT_MESSAGES } else { Intents::GUILD_MESSAGES };
        self.dispatch(name, message, intent);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no poison")
    }

    pub(super) fn admits(&self, desk: &Desk, request: &Request) -> Result<(), Answer> {
        let (v, encoding) = (request.query("v"), request.query("encoding"));
        if request.path == "/" && v == Some("10") && encoding == Some("json") && request.query("compress").is_none() {
            return Ok(());
        }
        desk.violation(format!("the gateway is at /?v=10&encoding=json, not {}?{:?}", request.path, request.query));
        Err(Answer::empty(400))
    }

    pub(super) async fn converse(&self, desk: &Desk, origin: &str, mut socket: Socket) {
        let (way, mut out) = mpsc::unbounded_channel();
        let connection = {
            let mut state = self.lock();
            state.connections += 1;
            state.connections
        };
        let mut talk = Talk { gateway: self, desk, origin, connection, way, session: None, frames: VecDeque::new() };
        let interval = self.lock().interval.as_millis() as u64;
        let hello = json!({"op": 10, "d": {"heartbeat_interval": interval, "_trace": []}, "s": null, "t": null});
        let mut next = vec![Out::Payload(hello)];
        let hangup = 'talk: loop {
            for out in next.drain(..) {
                let sent = match out {
                    Out::Payload(payload) => socket.send(Message::text(payload.to_string())).await,
                    Out::Close(code) => {
                        let frame = CloseFrame { code: code.into(), reason: "closed by the platform".into() };
                        let _ = socket.close(Some(frame)).await;
                        while socket.next().await.is_some_and(|frame| frame.is_ok()) {}
                        break 'talk Hangup::Discord;
                    }
                    Out::Cut => break 'talk Hangup::Discord,
                };
                if sent.is_err() {
                    break 'talk Hangup::Gone;
                }
            }
            tokio::select! {
                Some(out) = out.recv() => next.push(out),
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => next.extend(talk.hears(text.as_str())),
                    Some(Ok(Message::Close(frame))) => {
                        let _ = socket.flush().await;
                        break Hangup::Bot(frame.map_or(1005, |frame| frame.code.into()));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(other)) => next.extend(talk.wrong(4002, &format!("no text frame: {other:?}"))),
                    Some(Err(_)) | None => break Hangup::Gone,
                },
            }
        };
        let mut state = self.lock();
        // "Discord forgets a session that was closed by 1000 or 1001."
        if let (Hangup::Bot(1000 | 1001), Some(session)) = (&hangup, &talk.session) {
            state.sessions.remove(session);
        }
        if state.live.as_ref().is_some_and(|(_, of, _)| *of == connection) {
            state.live = None;
        }
        drop(state);
        self.hangups.push(hangup);
    }
}

/// One connection.
struct Talk<'a> {
    gateway: &'a Gateway,
    desk: &'a Desk,
    origin: &'a str,
    connection: u64,
    way: mpsc::UnboundedSender<Out>,
    session: Option<String>,
    frames: VecDeque<Instant>,
}

impl Talk<'_> {
    /// What follows a frame of the bot's.
    fn hears(&mut self, text: &str) -> Vec<Out> {
        let now = Instant::now();
        self.frames.retain(|at| now - *at < Duration::from_secs(60));
        self.frames.push_back(now);
        if self.frames.len() > FRAMES {
            return self.wrong(4008, "more than 120 frames in a minute");
        }
        if text.len() > 4096 {
            return self.wrong(4002, &format!("a frame of {} bytes", text.len()));
        }
        let frame = match object(text.as_bytes()) {
            Ok(frame) => frame,
            Err(why) => return self.wrong(4002, &why),
        };
        let known = frame.keys().all(|key| matches!(key.as_str(), "op" | "d" | "s" | "t"));
        let (Some(op), true) = (frame.get("op").and_then(Value::as_u64), known) else {
            return self.wrong(4001, &format!("no payload: {text}"));
        };
        let data = frame.get("d").cloned().unwrap_or_default();
        match op {
            1 => self.heartbeat(&data),
            2 => self.identify(&data),
            6 => self.resume(&data),
            // Presence, voice state, request of members: known, and of no use here.
            3 | 4 | 8 if self.session.is_none() => self.wrong(4003, "not authenticated"),
            3 | 4 | 8 => Vec::new(),
            _ => self.wrong(4001, &format!("opcode {op}")),
        }
    }

    fn wrong(&self, code: u16, why: &str) -> Vec<Out> {
        self.desk.violation(format!("closed with {code}: {why}"));
        vec![Out::Close(code)]
    }

    fn heartbeat(&mut self, data: &Value) -> Vec<Out> {
        let state = self.gateway.lock();
        let seq = self.session.as_ref().and_then(|id| state.sessions.get(id)).map_or(0, |session| session.seq);
        let (acknowledges, right) = (state.acknowledges, data.is_null() || data.as_u64().is_some_and(|d| d <= seq));
        drop(state);
        if !right {
            return self.wrong(4002, &format!("a heartbeat of {data}, where {seq} was the last"));
        }
        self.gateway.acts.push("heartbeat".into());
        if acknowledges { vec![Out::Payload(json!({"op": 11, "d": null}))] } else { Vec::new() }
    }

    fn identify(&mut self, data: &Value) -> Vec<Out> {
        if self.session.is_some() {
            return self.wrong(4005, "identified twice");
        }
        let Some(fields) = data.as_object() else { return self.wrong(4002, "identify without data") };
        if let Err(why) = check(fields, IDENTIFY) {
            return self.wrong(4002, &format!("identify: {why}"));
        }
        if data["token"] != TOKEN {
            return vec![Out::Close(4004)];
        }
        let intents = data["intents"].as_u64().unwrap_or(u64::MAX);
        if intents & !Intents::KNOWN != 0 {
            return self.wrong(4013, &format!("intents {intents}"));
        }
        let mut state = self.gateway.lock();
        if intents & !state.granted != 0 {
            return vec![Out::Close(4014)];
        }
        let id = format!("session-{}", self.connection);
        let ready = json!({"op": 0, "t": "READY", "s": 1, "d": {
            "v": 10, "user": bot().json(), "guilds": [], "session_id": id, "resume_gateway_url": self.origin,
            "session_type": "normal", "application": {"id": APPLICATION_ID, "flags": 0},
        }});
        state.sessions.insert(id.clone(), Session { seq: 1, intents, log: vec![ready.clone()] });
        // A bot has one session here: who identifies anew gives up the one before.
        state.sessions.retain(|session, _| *session == id);
        state.live = Some((id.clone(), self.connection, self.way.clone()));
        drop(state);
        self.session = Some(id);
        self.gateway.acts.push("identify".into());
        vec![Out::Payload(ready)]
    }

    fn resume(&mut self, data: &Value) -> Vec<Out> {
        if self.session.is_some() {
            return self.wrong(4005, "resumed what is under way");
        }
        let Some(fields) = data.as_object() else { return self.wrong(4002, "resume without data") };
        if let Err(why) = check(fields, RESUME) {
            return self.wrong(4002, &format!("resume: {why}"));
        }
        if data["token"] != TOKEN {
            return vec![Out::Close(4004)];
        }
        let (id, seq) = (data["session_id"].as_str().unwrap_or_default(), data["seq"].as_u64().unwrap_or_default());
        let mut state = self.gateway.lock();
        let Some(session) = state.sessions.get_mut(id) else {
            return vec![Out::Payload(json!({"op": 9, "d": false}))];
        };
        if seq > session.seq {
            let last = session.seq;
            drop(state);
            return self.wrong(4007, &format!("resumed after {seq}, where {last} was the last"));
        }
        let missed = session.log.iter().filter(|event| event["s"].as_u64().is_some_and(|s| s > seq)).cloned();
        let mut next: Vec<Out> = missed.map(Out::Payload).collect();
        session.seq += 1;
        let resumed = json!({"op": 0, "t": "RESUMED", "s": session.seq, "d": {"_trace": []}});
        session.log.push(resumed.clone());
        next.push(Out::Payload(resumed));
        state.live = Some((id.to_owned(), self.connection, self.way.clone()));
        drop(state);
        self.session = Some(id.to_owned());
        self.gateway.acts.push("resume".into());
        next
    }
}
