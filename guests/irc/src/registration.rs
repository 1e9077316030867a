//! Logging in, joining, and being called by a name.

use exoclaw_guest::Level;
use exoclaw_guest::channel::{Action, Context, Health, Received};

use crate::connection::{refused, send, send_secret};
use crate::line::{Line, folded};
use crate::state::{Phase, State};
use crate::{IrcSettings, PASSWORD, SASL};

/// The capabilities that we can use (IRCv3). Not `echo-message`: what we said we know.
const CAPABILITIES: [&str; 4] = ["message-tags", "server-time", "account-tag", "sasl"];
/// How many `_` a nick is given before we give up.
const TRIES: usize = 4;
/// The longest list of channels in one line, in bytes: with the command it stays below 512.
const JOINED: usize = 480;

/// The first lines of a connection. While the capabilities are negotiated, the server waits.
pub fn register(settings: &IrcSettings) -> Vec<Action> {
    let mut lines = vec![send("CAP LS 302")];
    if settings.password {
        lines.push(send_secret("PASS", PASSWORD));
    }
    lines.push(send(format!("NICK {}", settings.nick)));
    lines.push(send(format!("USER {} 0 * :{}", settings.username, settings.realname.replace(char::is_control, " "))));
    lines
}

/// A line before the welcome.
pub fn continued(context: &Context, settings: &IrcSettings, mut state: State, line: &Line<'_>) -> Received<State> {
    let actions = match (line.command, line.param(1)) {
        ("CAP", "LS") => {
            let offered = line.last().split(' ').map(|offer| offer.split_once('=').map_or(offer, |(name, _)| name));
            let wanted = CAPABILITIES.into_iter().filter(|name| *name != "sasl" || settings.sasl);
            let new: Vec<_> = wanted.filter(|name| offered.clone().any(|offer| offer == *name)).collect();
            state.offered.extend(new.into_iter().map(str::to_owned));
            // An asterisk says that the list goes on.
            match line.param(2) == "*" {
                true => vec![],
                false if settings.sasl && !state.offered.iter().any(|name| name == "sasl") => {
                    return refused(context, &state, "the server has no SASL: set `sasl = false`".into());
                }
                false if state.offered.is_empty() => vec![send("CAP END")],
                false => vec![send(format!("CAP REQ :{}", std::mem::take(&mut state.offered).join(" ")))],
            }
        }
        ("CAP", "ACK") if settings.sasl => vec![send("AUTHENTICATE PLAIN")],
        ("CAP", "ACK" | "NAK") => vec![send("CAP END")],
        // An empty challenge, as PLAIN has it; who was not asked to log in gets no secret.
        ("AUTHENTICATE", _) if settings.sasl && line.param(0) == "+" => vec![send_secret("AUTHENTICATE", SASL)],
        // RPL_SASLSUCCESS
        ("903", _) => {
            state.phase = Phase::Identified;
            vec![send("CAP END")]
        }
        // ERR_NICKLOCKED, ERR_SASLFAIL, ERR_SASLTOOLONG, ERR_SASLABORTED, RPL_SASLMECHS
        ("902" | "904" | "905" | "906" | "908", _) => {
            let reason = format!("the server refuses the login: {}; look at the secret `{SASL}`", line.last());
            return refused(context, &state, reason);
        }
        // ERR_NICKNAMEINUSE, ERR_NICKCOLLISION, ERR_UNAVAILRESOURCE
        ("433" | "436" | "437", _) => {
            if state.nick.len() >= settings.nick.len() + TRIES {
                return refused(context, &state, format!("the nick {} is taken; set another `nick`", settings.nick));
            }
            state.nick.push('_');
            vec![send(format!("NICK {}", state.nick))]
        }
        // ERR_NONICKNAMEGIVEN, ERR_ERRONEUSNICKNAME
        ("431" | "432", _) => {
            return refused(context, &state, format!("the server takes no nick like {}: {}", state.nick, line.last()));
        }
        // ERR_PASSWDMISMATCH, ERR_YOUREBANNEDCREEP
        ("464" | "465", _) => {
            return refused(context, &state, format!("the server refuses us: {}", line.last()));
        }
        _ => return Received::default(),
    };
    Received { state: Some(state), actions, ..Received::default() }
}

/// RPL_WELCOME, whose first parameter is our nick, whatever we asked for.
pub fn welcome(context: &Context, settings: &IrcSettings, mut state: State, line: &Line<'_>) -> Received<State> {
    if settings.sasl && state.phase == Phase::Registering {
        // What the owner wants said by an account must not be said without it.
        return refused(context, &state, "the server welcomes us without a login: set `sasl = false`".into());
    }
    state.phase = Phase::Ready;
    state.failures = 0;
    state.nick = line.param(0).to_owned();
    let mut actions = vec![Action::Report(Health::Ready)];
    actions.extend(join(settings));
    Received { state: Some(state), actions, ..Received::default() }
}

/// Joins all channels; those that we are in don't mind.
pub fn join(settings: &IrcSettings) -> Vec<Action> {
    let mut lines: Vec<String> = vec![];
    for channel in &settings.channels {
        match lines.last_mut() {
            Some(line) if line.len() + channel.len() < JOINED => *line = format!("{line},{channel}"),
            _ => lines.push(format!("JOIN {channel}")),
        }
    }
    lines.into_iter().map(send).collect()
}

/// A line after the welcome, other than a message: whether it changed the state, and what to tell.
pub fn present(settings: &IrcSettings, state: &mut State, line: &Line<'_>) -> (bool, Option<Action>) {
    let is_us = |nick: &str| folded(nick) == folded(&state.nick);
    let change = match line.command {
        "NICK" if is_us(line.nick()) => {
            state.nick = line.param(0).to_owned();
            return (true, None);
        }
        "JOIN" if is_us(line.nick()) => state.troubles.remove(&folded(line.param(0))).is_some(),
        "KICK" if is_us(line.param(1)) => {
            trouble(settings, state, line.param(0), &format!("{} kicked us: {}", line.nick(), line.last()))
        }
        // ERR_NOSUCHCHANNEL, ERR_TOOMANYCHANNELS, ERR_CHANNELISFULL, ERR_INVITEONLYCHAN,
        // ERR_BANNEDFROMCHAN, ERR_BADCHANNELKEY, ERR_BADCHANMASK, ERR_NEEDREGGEDNICK, ERR_SECUREONLYCHAN
        "403" | "405" | "471" | "473" | "474" | "475" | "476" | "477" | "489" => {
            trouble(settings, state, line.param(1), line.last())
        }
        // Other errors: a nick that is not there, a channel that is moderated.
        command if command.len() == 3 && command.starts_with(['4', '5']) => {
            let what = format!("the server says {command} of {}: {}", line.param(1), line.last());
            exoclaw_guest::log(Level::Warn, &what);
            false
        }
        _ => false,
    };
    let health = || match state.troubles.iter().map(|(channel, why)| format!("{channel}: {why}")).collect::<Vec<_>>() {
        none if none.is_empty() => Health::Ready,
        troubles => Health::Degraded(troubles.join("; ")),
    };
    (change, change.then(|| Action::Report(health())))
}

/// Of a channel that we should be in.
fn trouble(settings: &IrcSettings, state: &mut State, channel: &str, why: &str) -> bool {
    let channel = folded(channel);
    let is_ours = settings.channels.iter().any(|ours| folded(ours) == channel);
    is_ours && state.troubles.insert(channel, why.to_owned()).as_deref() != Some(why)
}
