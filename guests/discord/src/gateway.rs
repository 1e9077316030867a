//! The gateway connection: hello, heartbeats, identify and resume (Discord, "Using Gateway").
//!
//! A session outlives its connections: whoever resumes it in time is sent all that was missed. So it
//! is kept for as long as Discord does not say that it is gone, and a connection is never closed with
//! 1000 or 1001, which would end it.

use exoclaw_chat::{Turn, backoff_ms, retry_after_ms};
use exoclaw_guest::channel::{Context, Disconnection, Frame, Health, Outcome, Piece, TransportError};
use exoclaw_guest::{Error, Response, failed, log};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::dispatch;
use crate::places;
use crate::rest;
use crate::settings::{Discord, TOKEN};
use crate::state::{Link, Session, State};

/// The tag of the connection.
pub const GATEWAY: &str = "gateway";
/// The tag of `GET /gateway/bot`.
pub const ASK: &str = "gateway-bot";
/// The timer of the next heartbeat; before the hello, of its deadline.
pub const HEARTBEAT: &str = "heartbeat";
/// The timer of the next attempt.
pub const RECONNECT: &str = "reconnect";

/// Any code but 1000 and 1001 leaves the session to be resumed.
const RESUMABLE: u16 = 4000;
/// `GUILD_MESSAGES`, `GUILD_MESSAGE_REACTIONS`, `DIRECT_MESSAGES`, `DIRECT_MESSAGE_REACTIONS`, and
/// `MESSAGE_CONTENT`, without which a text in a guild is empty.
const INTENTS: u32 = 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 15;
/// A gateway that says nothing for so long after it accepted is dead.
const HELLO_MS: u32 = 30_000;
/// Attempts at the URL to resume at; after these, the one of `GET /gateway/bot` is tried.
const RESUME_ATTEMPTS: u32 = 4;
/// The pause between two attempts is doubled so often: to about a minute.
const MAX_DOUBLINGS: u32 = 6;
/// A session start limit is told anew within a day.
const MAX_LIMIT_MS: u64 = 86_400_000;

/// What stands around every payload's `d`.
#[derive(Deserialize)]
struct Payload {
    op: u8,
    s: Option<u64>,
    t: Option<String>,
}

/// `d`, once it is known what it is.
#[derive(Deserialize)]
struct Data<T> {
    d: T,
}

#[derive(Deserialize)]
struct Hello {
    heartbeat_interval: u32,
}

#[derive(Deserialize)]
struct Ready {
    session_id: String,
    resume_gateway_url: Option<String>,
    user: User,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

#[derive(Deserialize)]
struct Bot {
    url: String,
    session_start_limit: Option<StartLimit>,
}

#[derive(Deserialize)]
struct StartLimit {
    remaining: u32,
    reset_after: u64,
}

/// One event of the connection.
pub struct Gateway<'a> {
    pub settings: &'a Discord,
    pub context: &'a Context,
    pub turn: &'a mut Turn<State>,
}

impl Gateway<'_> {
    /// Nothing is under way.
    pub fn start(&mut self) -> Result<(), Error> {
        self.turn.state.link = Link::default();
        // What was asked and not answered is asked again.
        self.turn.state.roles.retain(|_, role| role.is_some());
        self.turn.lazy();
        places::ask_again(self.settings, self.turn, None);
        self.open()
    }

    /// Resumes where there is a session, and asks for a gateway otherwise.
    pub fn open(&mut self) -> Result<(), Error> {
        let session = self.turn.state.session.as_ref();
        let known = session.and_then(|session| session.url.clone());
        match known.filter(|_| self.turn.state.link.failures < RESUME_ATTEMPTS) {
            Some(url) => self.connect(&url, "resuming"),
            None => {
                self.turn.report(Health::Connecting("asking for a gateway".into()));
                let request = rest::get(self.settings, "/gateway/bot");
                self.turn.request(ASK, request);
            }
        }
        Ok(())
    }

    fn connect(&mut self, url: &str, what: &str) {
        self.turn.report(Health::Connecting(what.into()));
        let base = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
        self.turn.connect(GATEWAY, format!("{base}/?v=10&encoding=json"), Some(RESUMABLE));
    }

    /// The answer of `GET /gateway/bot`.
    pub fn asked(&mut self, outcome: Outcome) -> Result<(), Error> {
        let response = match outcome {
            Ok(response) => response,
            Err(TransportError::NotSent(why) | TransportError::Unanswered(why)) => {
                self.again(&format!("Discord was not reached: {why}"), 0);
                return Ok(());
            }
        };
        match response {
            Response { status: 200, body, .. } => match serde_json::from_slice::<Bot>(&body) {
                Ok(bot) => self.told(&bot),
                Err(error) => self.again(&format!("Discord's answer to GET /gateway/bot: {error}"), 0),
            },
            Response { status: 401, .. } => self.turn.report(Health::Failed(REFUSED.into())),
            ref response @ Response { status, .. } => {
                let pause = retry_after_ms(response, self.context.now).unwrap_or(0);
                self.again(&format!("Discord answered GET /gateway/bot with {status}"), pause);
            }
        }
        Ok(())
    }

    fn told(&mut self, bot: &Bot) {
        if !self.settings.may_connect(&bot.url) {
            self.again(&format!("Discord names the gateway {}, which is not one of its own", bot.url), 0);
            return;
        }
        let used_up = bot.session_start_limit.as_ref().filter(|limit| limit.remaining == 0);
        match used_up.filter(|_| self.turn.state.session.is_none()) {
            // One identify more, and Discord resets the token.
            Some(limit) => {
                let pause = u32::try_from(limit.reset_after.min(MAX_LIMIT_MS)).unwrap_or(u32::MAX);
                self.again("all session starts of the day are used up", pause.max(1_000));
            }
            None => self.connect(&bot.url, "connecting to the gateway"),
        }
    }

    /// The hello must follow.
    pub fn connected(&mut self) {
        self.turn.state.link.interval_ms = None;
        self.turn.state.link.acked = false;
        self.turn.lazy();
        self.turn.timer(HEARTBEAT, HELLO_MS);
    }

    /// Tries again after a pause: at least `least_ms`, and longer from time to time.
    fn again(&mut self, why: &str, least_ms: u32) {
        let link = &mut self.turn.state.link;
        let pause = backoff_ms(link.failures.min(MAX_DOUBLINGS), self.context.random).max(least_ms);
        link.failures = link.failures.saturating_add(1);
        self.turn.lazy();
        self.turn.report(Health::Degraded(why.into()));
        self.turn.timer(RECONNECT, pause);
    }

    /// Lets go of the connection and takes up the session on another: at once, unless that is
    /// what led here.
    fn replace(&mut self, why: &str) -> Result<(), Error> {
        self.turn.cancel_timer(HEARTBEAT);
        self.turn.disconnect(GATEWAY, RESUMABLE, why);
        if self.turn.state.link.failures > 0 {
            self.again(why, 0);
            return Ok(());
        }
        self.turn.state.link.failures = 1;
        self.turn.lazy();
        self.open()
    }

    /// The connection ended, or was never made.
    pub fn disconnected(&mut self, ended: &Disconnection) {
        self.turn.cancel_timer(HEARTBEAT);
        if let Some(advice) = ended.code.and_then(needs_the_owner) {
            self.forget();
            self.turn.report(Health::Failed(advice.into()));
            return;
        }
        // "Invalid seq" and "Session timed out" say: start a new one. So do the codes that end a session.
        if matches!(ended.code, Some(4007 | 4009 | 1000 | 1001)) {
            self.forget();
        }
        let why = match ended.code {
            Some(code) => format!("the gateway closed the connection: {code} {}", ended.reason),
            None => format!("the gateway's connection was lost: {}", ended.reason),
        };
        self.again(why.trim_end_matches([' ', ':']), 0);
    }

    fn forget(&mut self) {
        self.turn.state.session = None;
        self.turn.state.seq = None;
        self.turn.durable();
    }

    /// A heartbeat is due; or the hello was, where there was none.
    pub fn heartbeat_due(&mut self) -> Result<(), Error> {
        match self.turn.state.link.interval_ms {
            Some(interval) if self.turn.state.link.acked => {
                self.heartbeat()?;
                self.turn.state.link.acked = false;
                self.turn.lazy();
                self.turn.timer(HEARTBEAT, interval);
                Ok(())
            }
            Some(_) => self.replace("a heartbeat was not acknowledged"),
            None => self.replace("the gateway did not say hello"),
        }
    }

    fn heartbeat(&mut self) -> Result<(), Error> {
        let seq = self.turn.state.seq;
        self.turn.send_json(GATEWAY, &json!({ "op": 1, "d": seq }))
    }

    /// A payload.
    pub fn frame(&mut self, frame: &Frame) -> Result<(), Error> {
        let Frame::Text(text) = frame else {
            log!(Warn, "a gateway message is no text");
            return Ok(());
        };
        let payload: Payload = match serde_json::from_str(text) {
            Ok(payload) => payload,
            Err(error) => {
                log!(Warn, "a gateway message is none: {error}");
                return Ok(());
            }
        };
        match payload.op {
            0 => self.dispatch(payload, text),
            1 => self.heartbeat(),
            7 => self.replace("the gateway asks for a new connection"),
            9 => {
                let resumable = serde_json::from_str::<Data<bool>>(text).is_ok_and(|data| data.d);
                self.invalid_session(resumable);
                Ok(())
            }
            10 => self.hello(&parse::<Hello>(text)?),
            11 => {
                self.turn.state.link.acked = true;
                self.turn.lazy();
                Ok(())
            }
            op => {
                log!(Debug, "the gateway's opcode {op} is not known");
                Ok(())
            }
        }
    }

    /// "Upon receiving the Hello event, your app should wait `heartbeat_interval * jitter`".
    fn hello(&mut self, hello: &Hello) -> Result<(), Error> {
        let link = &mut self.turn.state.link;
        link.interval_ms = Some(hello.heartbeat_interval);
        link.acked = true;
        let first = u64::from(hello.heartbeat_interval) * (self.context.random % 1_000) / 1_000;
        self.turn.timer(HEARTBEAT, u32::try_from(first).unwrap_or(hello.heartbeat_interval));
        self.turn.lazy();
        let state = &self.turn.state;
        let opening = match (&state.session, state.seq) {
            (Some(session), Some(seq)) => with_token(6, &json!({ "session_id": session.id, "seq": seq }))?,
            _ => with_token(
                2,
                &json!({
                    "intents": INTENTS,
                    "properties": { "os": "linux", "browser": "exoclaw", "device": "exoclaw" },
                }),
            )?,
        };
        self.turn.send(GATEWAY, opening);
        Ok(())
    }

    /// The session is gone, or could not be taken up now; "wait a random amount of time between 1
    /// and 5 seconds".
    fn invalid_session(&mut self, resumable: bool) {
        self.turn.cancel_timer(HEARTBEAT);
        self.turn.disconnect(GATEWAY, RESUMABLE, "invalid session");
        if !resumable {
            self.forget();
        }
        let pause = 1_000 + u32::try_from(self.context.random % 4_000).unwrap_or(0);
        self.again("the gateway does not know the session", pause);
    }

    fn dispatch(&mut self, payload: Payload, text: &str) -> Result<(), Error> {
        if payload.s.is_some() {
            self.turn.state.seq = payload.s;
            self.turn.lazy();
        }
        match payload.t.as_deref() {
            Some("READY") => self.ready(parse(text)?),
            Some("RESUMED") => {
                self.turn.state.link.failures = 0;
                self.turn.report(Health::Ready);
                Ok(())
            }
            Some(kind) => match dispatch::received(self.settings, self.turn, kind, text) {
                // Of what can't be read, the host is told; then it is passed over, since the gateway
                // would send it again after every restart.
                Err(error) if self.context.attempt > 1 => {
                    log!(Warn, "{kind} was passed over: {error:?}");
                    Ok(())
                }
                result => result,
            },
            None => Ok(()),
        }
    }

    fn ready(&mut self, ready: Ready) -> Result<(), Error> {
        let url = ready.resume_gateway_url.filter(|url| self.settings.may_connect(url));
        let state = &mut self.turn.state;
        state.session = Some(Session { id: ready.session_id, url });
        state.me = Some(ready.user.id);
        state.link.failures = 0;
        self.turn.durable();
        self.turn.report(Health::Ready);
        Ok(())
    }
}

const REFUSED: &str = "Discord refuses the bot token: make a new one (Developer Portal, Bot, Reset Token), store it \
                       as the secret `bot-token`, and restart";

/// What the owner must do after a code with which connecting again is of no use ("Gateway Close Event Codes").
fn needs_the_owner(code: u16) -> Option<&'static str> {
    Some(match code {
        4004 => REFUSED,
        4010 => "Discord says that the shard is invalid (4010); this channel uses none",
        4011 => "the bot is in so many guilds that Discord asks for shards (4011), which this channel does not have",
        4012 => "Discord no longer has version 10 of its gateway (4012): a newer plugin is needed",
        4013 => "Discord does not know an intent that was asked for (4013): a newer plugin is needed",
        4014 => {
            "an intent is not allowed (4014): turn on Message Content Intent (Developer Portal, Bot, Privileged \
             Gateway Intents), and restart"
        }
        _ => return None,
    })
}

/// A payload that carries the token, which the host puts in.
fn with_token(op: u8, data: &impl Serialize) -> Result<Vec<Piece>, Error> {
    let data = serde_json::to_string(data).map_err(failed)?;
    let rest = data.strip_prefix('{').unwrap_or(&data);
    Ok(vec![
        Piece::Text(format!(r#"{{"op":{op},"d":{{"token":""#)),
        Piece::Secret(TOKEN.into()),
        Piece::Text(format!(r#"",{rest}}}"#)),
    ])
}

/// The `d` of a payload.
///
/// # Errors
/// It is not as Discord documents it.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    Ok(serde_json::from_str::<Data<T>>(text).map_err(|error| failed(format_args!("a gateway event: {error}")))?.d)
}
