//! Who the bot is, and Socket Mode's connections ("Using Socket Mode").
//!
//! Slack ends every connection after some hours, and says so before. A new one is opened first, under
//! another tag, and the old one is closed when the new one has said hello: no event falls between.

use exoclaw_chat::{Turn, backoff_ms};
use exoclaw_guest::channel::{Context, Disconnection, Frame, Health, Outcome};
use exoclaw_guest::{Error, log};
use serde::Deserialize;
use serde_json::json;

use crate::api::{self, Failure};
use crate::events::{self, Source};
use crate::settings::{APP_TOKEN, BOT_TOKEN, Mode, Slack};
use crate::state::{Link, State};

/// The tag of `auth.test`.
pub const AUTH: &str = "auth";
/// The tag of `apps.connections.open`.
pub const OPEN: &str = "open";
/// The timer of the next attempt.
pub const AGAIN: &str = "again";
/// The timer of a hello's deadline.
pub const HELLO: &str = "hello";

/// The tags of connections, which take turns.
const TAGS: [&str; 2] = ["socket-even", "socket-odd"];
/// A connection that says nothing for so long after it was made is dead.
const HELLO_MS: u32 = 30_000;
/// The pause between two attempts is doubled so often: to about a minute.
const MAX_DOUBLINGS: u32 = 6;
/// A normal end (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

#[derive(Deserialize)]
struct Me {
    user_id: String,
}

#[derive(Deserialize)]
struct Opened {
    url: String,
}

/// What Slack sends on a connection.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default, rename = "type")]
    kind: String,
    envelope_id: Option<String>,
    reason: Option<String>,
}

/// One event of the connections.
pub struct Socket<'a> {
    pub settings: &'a Slack,
    pub context: &'a Context,
    pub turn: &'a mut Turn<State>,
}

impl Socket<'_> {
    /// Nothing is under way.
    pub fn start(&mut self) {
        self.turn.state.link = Link::default();
        self.turn.lazy();
        self.authenticate();
    }

    /// The next attempt.
    pub fn again_due(&mut self) {
        if self.turn.state.me.is_some() && self.settings.mode == Mode::Socket {
            self.open();
        } else {
            self.authenticate();
        }
    }

    fn authenticate(&mut self) {
        self.turn.report(Health::Connecting("asking Slack who the bot is".into()));
        self.turn.request(AUTH, api::bare(self.settings, "auth.test", BOT_TOKEN));
    }

    /// The answer of `auth.test`.
    pub fn authenticated(&mut self, outcome: &Outcome) {
        match api::result::<Me>(outcome, self.context.now) {
            Ok(me) => {
                self.turn.state.me = Some(me.user_id);
                match self.settings.mode {
                    Mode::Socket => self.open(),
                    Mode::Events => {
                        self.turn.state.link.failures = 0;
                        self.turn.report(Health::Ready);
                    }
                }
                self.turn.durable();
            }
            Err(failure) => self.failed("auth.test", "bot-token", &failure),
        }
    }

    fn open(&mut self) {
        self.turn.report(Health::Connecting("opening a connection".into()));
        self.turn.request(OPEN, api::bare(self.settings, "apps.connections.open", APP_TOKEN));
    }

    /// The answer of `apps.connections.open`.
    pub fn opened(&mut self, outcome: &Outcome) {
        match api::result::<Opened>(outcome, self.context.now) {
            Ok(Opened { url }) if self.settings.may_connect(&url) => {
                let link = &mut self.turn.state.link;
                link.odd = !link.odd;
                link.has_old = link.is_up;
                link.is_up = false;
                self.turn.lazy();
                self.turn.connect(self.tag(), url, Some(NORMAL));
            }
            // The address holds a ticket, so it is not told.
            Ok(_) => self.again("Slack names an address to connect to that is not one of its own", 0),
            Err(failure) => self.failed("apps.connections.open", "app-token", &failure),
        }
    }

    fn failed(&mut self, method: &str, secret: &str, failure: &Failure) {
        match failure {
            Failure::Refused(refusal) if refusal.is_of_the_token() => {
                let why = format!("{method} with the secret `{secret}`: {}", refusal.why());
                self.turn.report(Health::Failed(why));
            }
            Failure::Limited(ms) => self.again(&format!("{method}: {}", failure.why()), *ms),
            failure => self.again(&format!("{method}: {}", failure.why()), 0),
        }
    }

    /// Tries again after a pause: at least `least_ms`, and longer from time to time.
    fn again(&mut self, why: &str, least_ms: u32) {
        let link = &mut self.turn.state.link;
        let pause = backoff_ms(link.failures.min(MAX_DOUBLINGS), self.context.random).max(least_ms);
        link.failures = link.failures.saturating_add(1);
        self.turn.lazy();
        self.turn.report(Health::Degraded(why.into()));
        self.turn.timer(AGAIN, pause);
    }

    /// Of the newest connection.
    fn tag(&self) -> &'static str {
        TAGS[usize::from(self.turn.state.link.odd)]
    }

    /// Of the one before.
    fn old_tag(&self) -> &'static str {
        TAGS[usize::from(!self.turn.state.link.odd)]
    }

    /// The hello must follow.
    pub fn connected(&mut self, tag: &str) {
        if tag == self.tag() {
            self.turn.timer(HELLO, HELLO_MS);
        }
    }

    /// The hello was due.
    pub fn hello_due(&mut self) {
        if !self.turn.state.link.is_up {
            self.turn.disconnect(self.tag(), NORMAL, "no hello");
            self.again("a connection to Slack did not say hello", 0);
        }
    }

    /// A connection ended, or was never made.
    pub fn disconnected(&mut self, ended: &Disconnection) {
        if ended.tag == self.tag() {
            self.turn.state.link.is_up = false;
            self.turn.cancel_timer(HELLO);
            let code = ended.code.map(|code| format!(" ({code})")).unwrap_or_default();
            self.again(&format!("the connection to Slack ended{code}: {}", ended.reason), 0);
        } else if ended.tag == self.old_tag() {
            self.turn.state.link.has_old = false;
            self.turn.lazy();
        }
    }

    /// Something came.
    pub fn frame(&mut self, tag: &str, frame: &Frame) -> Result<(), Error> {
        let Frame::Text(text) = frame else {
            log!(Warn, "a message of Slack's is no text");
            return Ok(());
        };
        let envelope: Envelope = match serde_json::from_str(text) {
            Ok(envelope) => envelope,
            Err(error) => {
                log!(Warn, "a message of Slack's can't be read: {error}");
                return Ok(());
            }
        };
        match envelope.kind.as_str() {
            "hello" if tag == self.tag() => self.hello(),
            "disconnect" if tag == self.tag() => self.asked_to_go(envelope.reason.as_deref()),
            "events_api" => self.event(text)?,
            _ => {}
        }
        // Only when what it carries is stored: all actions follow the commit.
        match envelope.envelope_id {
            Some(id) => self.turn.send_json(tag, &acknowledgement(&envelope.kind, &id)),
            None => Ok(()),
        }
    }

    fn event(&mut self, text: &str) -> Result<(), Error> {
        match events::received(self.settings, self.turn, Source::Envelope(text)) {
            // Of what can't be read, the host is told; then it is acknowledged, or it would come again.
            Err(error) if self.context.attempt > 1 => {
                log!(Warn, "an event was passed over: {error:?}");
                Ok(())
            }
            result => result,
        }
    }

    fn hello(&mut self) {
        let old = self.old_tag();
        let link = &mut self.turn.state.link;
        link.is_up = true;
        link.failures = 0;
        if std::mem::take(&mut link.has_old) {
            self.turn.disconnect(old, NORMAL, "replaced");
        }
        self.turn.lazy();
        self.turn.cancel_timer(HELLO);
        self.turn.report(Health::Ready);
    }

    /// `warning` and `refresh_requested` come some seconds before the end.
    fn asked_to_go(&mut self, reason: Option<&str>) {
        if reason == Some("link_disabled") {
            let why = "Socket Mode is turned off for the app: turn it on (Socket Mode), or set mode = \"events\"";
            self.turn.report(Health::Failed(why.into()));
        } else if self.turn.state.link.failures > 0 {
            self.again("Slack ends connections as soon as they are made", 0);
        } else {
            self.turn.state.link.failures = 1;
            self.turn.lazy();
            self.open();
        }
    }
}

/// Whoever uses a slash command is told at once that it does nothing.
fn acknowledgement(kind: &str, id: &str) -> serde_json::Value {
    if kind == "slash_commands" {
        return json!({ "envelope_id": id, "payload": { "response_type": "ephemeral", "text": NO_COMMANDS } });
    }
    json!({ "envelope_id": id })
}

/// The answer to a slash command.
pub const NO_COMMANDS: &str = "I have no slash commands. Write to me in a message, or mention me in a channel.";
