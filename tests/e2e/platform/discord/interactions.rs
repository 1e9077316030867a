//! Discord's interactions: commands that it pushes to a webhook, signed, and what answers them.

use std::time::Instant;

use serde_json::{Value, json};

use super::rest::{self, MESSAGE};
use super::{APPLICATION_ID, Api, Channel, Discord, Shown, User};
use crate::platform::check::check;
use crate::platform::push::{Hook, Pushed, SigningKey, now};
use crate::platform::server::{Answer, Request};

/// Whose key signs interactions.
pub(crate) const SIGNING_SEED: u8 = 7;

/// An interaction that may still be answered.
#[derive(Debug, Clone)]
pub(super) struct Open {
    channel: String,
    /// The message that answers it.
    original: Option<String>,
    /// That message says that the bot thinks.
    loading: bool,
}

/// `LOADING`, of a message that says that the bot thinks.
const LOADING: u64 = 1 << 7;

impl Discord {
    /// The application's public key, in hexadecimal.
    pub(crate) fn public_key() -> String {
        SigningKey::from_seed(SIGNING_SEED).public()
    }

    /// Asks who answers, as when the owner enters the webhook's address.
    pub(crate) async fn pings(&self, hook: &Hook) -> Result<Pushed, String> {
        let ping = json!({"id": self.platform().fresh_id(), "application_id": APPLICATION_ID, "type": 1, "version": 1});
        self.push(hook, &ping, &SigningKey::from_seed(SIGNING_SEED), now()).await
    }

    /// A user gives a command with these options; the interaction's token comes back with the webhook's answer.
    pub(crate) async fn commands(
        &self,
        hook: &Hook,
        (channel, user): (&Channel, &User),
        (name, options): (&str, Value),
    ) -> (String, Result<Pushed, String>) {
        let interaction = self.interaction(channel, user, name, options);
        let token = interaction["token"].as_str().expect("just made").to_owned();
        (token, self.push(hook, &interaction, &SigningKey::from_seed(SIGNING_SEED), now()).await)
    }

    /// A command that is not pushed yet.
    pub(crate) fn interaction(&self, channel: &Channel, user: &User, name: &str, options: Value) -> Value {
        let id = self.platform().fresh_id();
        let token = format!("interaction-token-{id}");
        let open = Open { channel: channel.id.clone(), original: None, loading: false };
        self.platform().state.lock().expect("no poison").interactions.insert(token.clone(), open);
        let mut interaction = json!({
            "id": id, "application_id": APPLICATION_ID, "type": 2, "version": 1, "token": token,
            "channel_id": channel.id, "channel": {"id": channel.id, "type": u8::from(channel.guild.is_none())},
            "data": {"id": "1", "name": name, "type": 1, "options": options},
            "locale": "en-GB", "entitlements": [], "app_permissions": "0",
        });
        match &channel.guild {
            None => interaction["user"] = user.json(),
            Some(guild) => {
                interaction["guild_id"] = guild.as_str().into();
                interaction["member"] = json!({"user": user.json(), "roles": []});
            }
        }
        interaction
    }

    /// Pushes an interaction, signed with this key for this time.
    pub(crate) async fn push(
        &self,
        hook: &Hook,
        interaction: &Value,
        key: &SigningKey,
        timestamp: u64,
    ) -> Result<Pushed, String> {
        let (body, timestamp) = (interaction.to_string(), timestamp.to_string());
        let signature = key.sign(format!("{timestamp}{body}").as_bytes());
        let headers = [
            ("content-type", "application/json"),
            ("x-signature-ed25519", signature.as_str()),
            ("x-signature-timestamp", timestamp.as_str()),
        ];
        let answer = hook.post(&headers, body).await?;
        if answer.status == 200 {
            self.answered(interaction, &answer);
        }
        Ok(answer)
    }

    /// Shows what the first answer to an interaction says.
    fn answered(&self, interaction: &Value, answer: &Pushed) {
        let Some(token) = interaction["token"].as_str() else { return };
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let loading = match said["type"].as_u64() {
            Some(4) => false,
            Some(5) => true,
            _ => return self.desk().violation(format!("no answer to a command: {}", answer.text())),
        };
        let api = self.platform();
        let mut shown = Shown {
            request: u64::MAX,
            at: Instant::now(),
            channel: String::new(),
            id: api.fresh_id(),
            content: said["data"]["content"].as_str().unwrap_or_default().to_owned(),
            nonce: None,
            reply_to: None,
            earlier: Vec::new(),
            files: Vec::new(),
        };
        let mut state = api.state.lock().expect("no poison");
        let open = state.interactions.get_mut(token).expect("it was pushed");
        (open.original, open.loading) = (Some(shown.id.clone()), loading);
        shown.channel = open.channel.clone();
        drop(state);
        api.messages.push(shown);
    }
}

/// Messages by an interaction's token.
pub(super) fn follow_up(
    api: &Api,
    request: &Request,
    method: &str,
    token: &str,
    rest: &[&str],
) -> Result<Answer, (u16, u32, String)> {
    let open = api.state.lock().expect("no poison").interactions.get(token).cloned();
    let open = open.ok_or_else(|| (404, 10_015, "Unknown Webhook".to_owned()))?;
    if let ("GET", ["messages", "@original"]) = (method, rest) {
        let id = open.original.ok_or_else(|| (404, 10_008, "Unknown Message".to_owned()))?;
        let shown = api.messages.all().into_iter().find(|shown| shown.id == id);
        let content = shown.map(|shown| shown.content).unwrap_or_default();
        let flags = if open.loading { LOADING } else { 0 };
        return Ok(Answer::json(200, &json!({"id": id, "content": content, "flags": flags})));
    }
    let (message, files) = rest::read(request)?;
    check(&message, MESSAGE).map_err(rest::invalid)?;
    let content = rest::content(&message)?;
    let target = match (method, rest) {
        ("POST", []) => None,
        ("PATCH", ["messages", "@original"]) => open.original.clone(),
        ("PATCH", ["messages", id]) => Some((*id).to_owned()),
        _ => return Err((404, 0, "404: Not Found".into())),
    };
    if let Some(open) = api.state.lock().expect("no poison").interactions.get_mut(token) {
        open.loading = false;
    }
    let shown = match target {
        Some(id) => api.messages.edit(|messages| {
            let shown = messages.iter_mut().find(|shown| shown.id == id)?;
            shown.earlier.push(std::mem::replace(&mut shown.content, content));
            Some(shown.clone())
        }),
        None => {
            let shown = Shown {
                request: request.number,
                at: Instant::now(),
                channel: open.channel.clone(),
                id: api.fresh_id(),
                content,
                nonce: None,
                reply_to: None,
                earlier: Vec::new(),
                files,
            };
            api.messages.push(shown.clone());
            let mut state = api.state.lock().expect("no poison");
            let open = state.interactions.get_mut(token).expect("just seen");
            open.original.get_or_insert_with(|| shown.id.clone());
            Some(shown)
        }
    };
    let shown = shown.ok_or_else(|| (404, 10_008, "Unknown Message".to_owned()))?;
    Ok(Answer::json(200, &json!({"id": shown.id, "channel_id": shown.channel, "content": shown.content})))
}
