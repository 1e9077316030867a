//! IRC: a connection of lines, kept alive; what is said to the agent, and what it answers.
//!
//! The protocol is RFC 1459 and RFC 2812, as <https://modern.ircdocs.horse> describes what servers
//! do today, with the capabilities of IRCv3 that a server offers (<https://ircv3.net>).

mod connection;
mod delivery;
mod line;
mod message;
mod registration;
mod state;
mod text;

use exoclaw_guest::channel::{Call, Channel, Event, Features, Outcome, Outgoing, Received, Setup, Step};
use exoclaw_guest::{Error, Settings, invalid};
use serde::Deserialize;

use crate::delivery::Progress;
use crate::state::State;

/// The tag of the one connection.
const TAG: &str = "irc";
/// The name of the secret that `PASS` sends.
const PASSWORD: &str = "password";
/// The name of the secret that `AUTHENTICATE` sends.
const SASL: &str = "sasl";

/// What the owner sets in the config file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IrcSettings {
    server: String,
    nick: String,
    username: String,
    realname: String,
    channels: Vec<String>,
    password: bool,
    sasl: bool,
}

impl Default for IrcSettings {
    fn default() -> Self {
        Self {
            server: "tls://irc.libera.chat:6697".into(),
            nick: "exoclaw".into(),
            username: "exoclaw".into(),
            realname: "exoclaw".into(),
            channels: vec![],
            password: false,
            sasl: false,
        }
    }
}

impl Settings for IrcSettings {
    const SCHEMA: &'static str = r##"{
        "type": "object",
        "properties": {
            "server": {
                "type": "string",
                "pattern": "^(tls|tcp)://[^/]+:[0-9]+$",
                "description": "`tls://HOST:PORT`; tls://irc.libera.chat:6697 by default."
            },
            "nick": {
                "type": "string",
                "pattern": "^[A-Za-z\\[\\]\\\\`_^{|}][A-Za-z0-9\\[\\]\\\\`_^{|}-]{0,29}$",
                "description": "What it is called; `exoclaw` by default. Where it is taken, `_` is added."
            },
            "username": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,10}$", "description": "`exoclaw` by default."},
            "realname": {"type": "string", "maxLength": 50, "description": "What WHOIS shows; `exoclaw` by default."},
            "channels": {
                "type": "array",
                "maxItems": 100,
                "items": {"type": "string", "pattern": "^[#&+!][^ ,:\\u0000-\\u001f\\u007f]{1,63}$"},
                "description": "Channels that it joins: `[\"#lab\"]`."
            },
            "password": {"type": "boolean", "description": "Whether the server wants a password: the secret `password`."},
            "sasl": {"type": "boolean", "description": "Whether it logs in with SASL PLAIN: the secret `sasl`, which is the base64 of `\\0ACCOUNT\\0PASSWORD`."}
        },
        "additionalProperties": false
    }"##;
}

struct Irc;

impl Channel for Irc {
    type Settings = IrcSettings;
    type State = State;
    type Progress = Progress;

    const PLATFORM: &'static str = "irc";

    fn configure(settings: IrcSettings) -> Result<Setup, Error> {
        // The host has held them against the schema; what has become part of a line is looked at again.
        let words = [&settings.nick, &settings.username].into_iter().chain(&settings.channels);
        if let Some(wrong) = words.into_iter().find(|word| !line::is_param(word)) {
            return Err(invalid(format_args!("{wrong:?} can't be a nick, a username or a channel")));
        }
        let secrets = [(settings.password, PASSWORD), (settings.sasl, SASL)];
        Ok(Setup {
            secrets: secrets.iter().filter(|(used, _)| *used).map(|(_, name)| (*name).to_owned()).collect(),
            origins: vec![settings.server],
            webhook: None,
            // Clients show no typing, and what was said can't be changed.
            features: Features { typing_ms: None, draft_ms: None, file_bytes: None, reactions: false, threads: false },
        })
    }

    fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<State>, Error> {
        connection::receive(call, event)
    }

    fn deliver(call: Call<'_, Self>, outgoing: &Outgoing, progress: Progress) -> Result<Step<Progress>, Error> {
        Ok(delivery::next(call.context.now, &call.state, outgoing, progress))
    }

    fn answered(_: Call<'_, Self>, _: &Outgoing, _: Progress, _: Outcome) -> Result<Step<Progress>, Error> {
        Err(invalid("IRC has no requests that could be answered"))
    }
}

exoclaw_guest::channel!(Irc);

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
