//! Slash commands, which Discord posts to the webhook ("Receiving and Responding to Interactions").
//!
//! The answer is due within three seconds, so it is deferred: Discord shows that the bot thinks, and
//! the text follows by the interaction's token within fifteen minutes.

use exoclaw_chat::Turn;
use exoclaw_guest::channel::{Context, Kind, Message, Sender};
use exoclaw_guest::{Error, Header, Request, Response, failed, invalid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dispatch::{Author, Member, address, conversation, sent_at};
use crate::places::{self, Channel};
use crate::settings::Discord;
use crate::state::State;

/// How long a token lasts: fifteen minutes, less what a request may take.
const TOKEN_MS: u64 = 14 * 60_000;

const PING: u8 = 1;
const APPLICATION_COMMAND: u8 = 2;
const MESSAGE_COMPONENT: u8 = 3;
const AUTOCOMPLETE: u8 = 4;

/// Handed back with the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// Of the application.
    pub application: String,
    /// In whose name the answer is given.
    pub token: String,
    /// When that ends, in milliseconds.
    pub ends_at: u64,
}

#[derive(Deserialize)]
struct Interaction {
    #[serde(rename = "type")]
    kind: u8,
    id: String,
    application_id: Option<String>,
    token: Option<String>,
    channel_id: Option<String>,
    channel: Option<Channel>,
    guild_id: Option<String>,
    /// In a guild.
    member: Option<Member>,
    /// In a direct conversation.
    user: Option<Author>,
    data: Option<Command>,
}

#[derive(Deserialize)]
struct Command {
    #[serde(default)]
    name: String,
    #[serde(default)]
    options: Vec<Choice>,
}

/// What was entered, or a subcommand with more of them.
#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    name: String,
    value: Option<Value>,
    #[serde(default)]
    options: Vec<Choice>,
}

/// A call that Discord signed.
pub fn received(settings: &Discord, context: &Context, turn: &mut Turn<State>, request: &Request) -> Result<(), Error> {
    let interaction: Interaction = serde_json::from_slice(&request.body)?;
    let answer = match interaction.kind {
        PING => json!({ "type": 1 }),
        APPLICATION_COMMAND => {
            command(settings, context, turn, interaction)?;
            // DEFERRED_CHANNEL_MESSAGE_WITH_SOURCE
            json!({ "type": 5 })
        }
        // This channel makes no buttons and no forms; these answers leave them as they are.
        AUTOCOMPLETE => json!({ "type": 8, "data": { "choices": [] } }),
        MESSAGE_COMPONENT.. => json!({ "type": 6 }),
        kind => return Err(invalid(format_args!("an interaction of type {kind}"))),
    };
    turn.reply(Response {
        status: 200,
        headers: vec![Header { name: "content-type".into(), value: "application/json".into() }],
        body: serde_json::to_vec(&answer).map_err(failed)?,
    });
    Ok(())
}

fn command(
    settings: &Discord,
    context: &Context,
    turn: &mut Turn<State>,
    interaction: Interaction,
) -> Result<(), Error> {
    let missing = |what| move || invalid(format_args!("a command without {what}"));
    let command = interaction.data.ok_or_else(missing("data"))?;
    let channel = interaction.channel_id.ok_or_else(missing("channel_id"))?;
    if let (Some(known), Some(_)) = (interaction.channel, &interaction.guild_id) {
        places::learn(turn, &channel, known);
    }
    let (nick, user) = match interaction.member {
        Some(member) => member.split(),
        None => (None, interaction.user),
    };
    let user = user.ok_or_else(missing("a user"))?;
    let handle = Handle {
        application: interaction.application_id.ok_or_else(missing("application_id"))?,
        token: interaction.token.ok_or_else(missing("token"))?,
        ends_at: context.now.saturating_add(TOKEN_MS),
    };
    let message = Message {
        event_id: format!("interaction:{}", interaction.id),
        sent_at: sent_at(&interaction.id),
        id: interaction.id,
        kind: Kind::New,
        conversation: conversation(interaction.guild_id.as_deref()),
        address: address(channel, interaction.guild_id),
        sender: Sender { name: nick.or_else(|| user.name()), bot: user.bot, id: user.id },
        text: written(settings, &command),
        attachments: vec![],
        reply_to: None,
        mentions_agent: true,
        handle: serde_json::to_vec(&handle).map_err(failed)?,
    };
    let message = places::placed(message, &turn.state);
    turn.message(message);
    Ok(())
}

/// As if it had been written: `/stop now`; of the agent's own command, only what was entered.
fn written(settings: &Discord, command: &Command) -> String {
    let mut words = Vec::new();
    let slash = format!("/{}", command.name);
    if command.name != settings.command {
        words.push(slash);
    }
    collect(&command.options, &mut words);
    words.join(" ")
}

fn collect(choices: &[Choice], words: &mut Vec<String>) {
    for choice in choices {
        match &choice.value {
            Some(Value::String(text)) => words.push(text.clone()),
            Some(value) => words.push(value.to_string()),
            None => words.push(choice.name.clone()),
        }
        collect(&choice.options, words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &str = r#"{
        "type": 2, "id": "1100000000000000000", "application_id": "42", "token": "aW50ZXJhY3Rpb24", "version": 1,
        "channel_id": "5", "guild_id": "6",
        "member": {"nick": "Countess", "user": {"id": "7", "username": "ada"}, "roles": [], "permissions": "0"},
        "data": {"id": "8", "name": "NAME", "type": 1, "options": [{"name": "prompt", "type": 3, "value": "How late is it?"}]}
    }"#;

    fn call(body: &str) -> Result<(Vec<Message>, String), Error> {
        let settings: Discord = serde_json::from_str("{}").unwrap();
        let context = Context { settings: "{}".into(), webhook_url: None, now: 1_000, random: 0, attempt: 1 };
        let request = Request { method: "POST".into(), url: "/".into(), headers: vec![], body: body.into() };
        let mut turn = Turn::new(State::default());
        received(&settings, &context, &mut turn, &request)?;
        let done = turn.done();
        Ok((done.messages, String::from_utf8(done.reply.unwrap().body).unwrap()))
    }

    #[test]
    fn a_ping_is_answered_by_a_pong() {
        let (messages, reply) = call(r#"{"type": 1, "id": "1", "token": "x", "version": 1}"#).unwrap();
        assert!(messages.is_empty());
        assert_eq!(reply, r#"{"type":1}"#);
    }

    #[test]
    fn a_command_is_a_message_whose_answer_is_deferred() {
        let (messages, reply) = call(&COMMAND.replace("NAME", "ask")).unwrap();
        assert_eq!(reply, r#"{"type":5}"#);
        let [message] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(message.text, "How late is it?");
        assert_eq!(message.sender.name.as_deref(), Some("Countess"));
        let handle: Handle = serde_json::from_slice(&message.handle).unwrap();
        assert_eq!((handle.application.as_str(), handle.ends_at), ("42", 841_000));
    }

    #[test]
    fn another_command_keeps_its_name() {
        let (messages, _) = call(&COMMAND.replace("NAME", "status")).unwrap();
        assert_eq!(messages[0].text, "/status How late is it?");
    }

    #[test]
    fn what_is_no_interaction_is_refused() {
        for body in ["", "{}", r#"{"type": 0, "id": "1"}"#, r#"{"type": 2, "id": "1"}"#] {
            assert!(matches!(call(body), Err(Error::InvalidInput(_))), "{body}");
        }
    }
}
