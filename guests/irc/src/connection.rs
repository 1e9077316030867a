//! The life of the connection: opened, kept alive, found dead, opened again.

use exoclaw_guest::channel::{
    Action, Call, Closing, Connection, Context, Event, Frame, Health, OutboundFrame, Piece, Received, TaggedFrame,
    TaggedOutboundFrame, Template, Timer,
};
use exoclaw_guest::{Error, channel, unsupported};

use crate::line::Line;
use crate::registration::{self, register};
use crate::state::{Phase, State};
use crate::{Irc, IrcSettings, TAG, message};

/// How long a server may take to welcome us, in milliseconds.
const REGISTRATION: u32 = 60_000;
/// After so many milliseconds we ask whether the server is there.
const PING: u32 = 90_000;
/// So many milliseconds it has to answer.
const PONG: u32 = 30_000;
/// The first wait before we connect again, in milliseconds; it doubles up to [`LONGEST`].
const FIRST: u32 = 2_000;
/// The longest of these waits, and the one after the server refused us.
const LONGEST: u32 = 600_000;

/// The timers, by their tags.
mod timer {
    pub const CONNECT: &str = "connect";
    pub const REGISTER: &str = "register";
    pub const PING: &str = "ping";
    pub const PONG: &str = "pong";
    pub const JOIN: &str = "join";
}

pub fn receive(call: Call<'_, Irc>, event: Event) -> Result<Received<State>, Error> {
    let Call { context, settings, state } = call;
    Ok(match event {
        // Nothing is under way, whatever was before.
        Event::Start(_) => connect(&settings, State { failures: state.failures, ..State::default() }),
        Event::Connected(_) => connected(context, &settings, state),
        Event::Frame(TaggedFrame { frame, .. }) => match frame {
            Frame::Text(text) => received(context, &settings, state, &text),
            // What is not UTF-8 is still a line; old clients write Latin-1.
            Frame::Binary(bytes) => received(context, &settings, state, &String::from_utf8_lossy(&bytes)),
            Frame::Event(_) => return Err(unsupported("IRC has no server-sent events")),
        },
        Event::Disconnected(disconnection) => again(context, &state, disconnection.reason),
        Event::Timer(tag) => due(context, &settings, state, &tag),
        Event::Stop => Received { actions: vec![send("QUIT :going down"), close("going down")], ..Received::default() },
        Event::Webhook(_) | Event::Response(_) => return Err(unsupported("IRC has no requests")),
    })
}

/// A line to be sent. What a server said goes into some; nothing in it ends a line.
pub fn send(line: impl Into<String>) -> Action {
    send_template(channel::text(line.into().replace(['\r', '\n', '\0'], "")))
}

/// The same, with a secret in it.
pub fn send_template(line: Template) -> Action {
    Action::Send(TaggedOutboundFrame { tag: TAG.into(), frame: OutboundFrame::Text(line) })
}

/// A line that ends with a secret.
pub fn send_secret(command: &str, secret: &str) -> Action {
    send_template(vec![Piece::Text(format!("{command} ")), Piece::Secret(secret.into())])
}

fn close(reason: &str) -> Action {
    Action::Disconnect(Closing { tag: TAG.into(), code: 1000, reason: reason.into() })
}

fn set(tag: &str, after_ms: u32) -> Action {
    Action::SetTimer(Timer { tag: tag.into(), after_ms })
}

fn cancel(tag: &str) -> Action {
    Action::CancelTimer(tag.into())
}

fn connect(settings: &IrcSettings, state: State) -> Received<State> {
    let connection =
        Connection { tag: TAG.into(), url: channel::text(&settings.server), headers: vec![], close_code: None };
    let actions = vec![Action::Report(Health::Connecting(settings.server.clone())), Action::Connect(connection)];
    Received { state: Some(State { phase: Phase::Offline, ..state }), actions, ..Received::default() }
}

fn connected(context: &Context, settings: &IrcSettings, state: State) -> Received<State> {
    let state = State {
        phase: Phase::Registering,
        connection: format!("{:x}-{:x}", context.now, context.random),
        nick: settings.nick.clone(),
        failures: state.failures,
        ..State::default()
    };
    let mut actions = register(settings);
    actions.push(set(timer::REGISTER, REGISTRATION));
    Received { state: Some(state), actions, ..Received::default() }
}

/// The connection is gone: wait, longer each time, and not all for equally long.
fn again(context: &Context, state: &State, reason: String) -> Received<State> {
    let wait = FIRST.saturating_mul(1 << state.failures.min(16)).min(LONGEST);
    let actions = vec![Action::Report(Health::Degraded(format!("the connection ended: {reason}")))];
    retry(state, actions, spread(context, wait))
}

/// The server does not want us, which only the owner can change; a look now and then is enough.
pub fn refused(context: &Context, state: &State, reason: String) -> Received<State> {
    let actions = vec![Action::Report(Health::Failed(reason)), close("refused")];
    retry(state, actions, spread(context, LONGEST))
}

/// Nothing is heard of a connection that we close ourselves, so the next one is arranged here.
fn dead(context: &Context, state: &State, reason: &str) -> Received<State> {
    let mut received = again(context, state, reason.into());
    received.actions.push(close(reason));
    received
}

fn retry(state: &State, mut actions: Vec<Action>, wait: u32) -> Received<State> {
    let timers = [timer::REGISTER, timer::PING, timer::PONG, timer::JOIN];
    actions.extend(timers.map(cancel));
    actions.push(set(timer::CONNECT, wait));
    let failures = state.failures.saturating_add(1);
    Received { state: Some(State { failures, ..State::default() }), actions, ..Received::default() }
}

/// Between half of it and all of it, by chance.
fn spread(context: &Context, wait: u32) -> u32 {
    let half = wait / 2;
    half + u32::try_from(context.random % u64::from(half.max(1))).unwrap_or(0)
}

fn due(context: &Context, settings: &IrcSettings, state: State, tag: &str) -> Received<State> {
    match tag {
        timer::CONNECT => connect(settings, state),
        timer::REGISTER => dead(context, &state, "the server did not welcome us in time"),
        timer::PING => actions(vec![send("PING :exoclaw"), set(timer::PONG, PONG)]),
        timer::PONG => dead(context, &state, "the server did not answer a PING"),
        timer::JOIN if !state.troubles.is_empty() => {
            let mut lines = registration::join(settings);
            lines.push(set(timer::JOIN, LONGEST));
            actions(lines)
        }
        _ => Received::default(),
    }
}

fn received(context: &Context, settings: &IrcSettings, mut state: State, line: &str) -> Received<State> {
    // Between two connections nothing can be heard.
    let Some(line) = Line::parse(line).filter(|_| state.phase != Phase::Offline) else { return Received::default() };
    match line.command {
        "PING" => actions(vec![send(format!("PONG :{}", line.last()))]),
        "PONG" => actions(vec![cancel(timer::PONG), set(timer::PING, PING)]),
        "PRIVMSG" => message::received(context, state, &line),
        // It closes the connection next, which is when we connect again.
        "ERROR" => actions(vec![Action::Report(Health::Degraded(line.last().to_owned()))]),
        "001" => {
            let mut received = registration::welcome(context, settings, state, &line);
            if received.state.as_ref().is_some_and(|state| state.phase == Phase::Ready) {
                received.actions.extend([cancel(timer::REGISTER), set(timer::PING, PING)]);
            }
            received
        }
        _ if state.phase == Phase::Ready => {
            let before = state.troubles.len();
            let (changed, tell) = registration::present(settings, &mut state, &line);
            let mut actions: Vec<_> = tell.into_iter().collect();
            if state.troubles.len() > before {
                actions.push(set(timer::JOIN, LONGEST));
            }
            Received { state: changed.then_some(state), actions, ..Received::default() }
        }
        _ => registration::continued(context, settings, state, &line),
    }
}

fn actions(actions: Vec<Action>) -> Received<State> {
    Received { actions, ..Received::default() }
}
