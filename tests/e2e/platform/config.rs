//! What the owner writes into the config file for each platform.

use std::fmt::Write as _;

use crate::harness::Builder;

use super::server::CA_FILE;
use super::{Discord, GitHub, Irc, Slack, Telegram, WhatsApp};
use super::{discord, github, irc, slack, telegram, whatsapp};

/// A channel: its plugin, its grants and secrets, and what the owner decides about it.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    name: &'static str,
    settings: String,
    origins: Vec<String>,
    secrets: Vec<(&'static str, &'static str)>,
    table: String,
}

impl Channel {
    fn new(name: &'static str, settings: String, origins: Vec<String>) -> Self {
        let table = "direct = \"open\"\ngroup = \"open\"\nmention = false\ndrafts = false\n".to_owned();
        Self { name, settings, origins, secrets: Vec::new(), table }
    }

    fn secret(mut self, name: &'static str, value: &'static str) -> Self {
        self.secrets.push((name, value));
        self
    }

    /// The name of its plugin, by which its webhook is found.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Further lines for its table.
    pub(crate) fn line(mut self, line: &str) -> Self {
        let _ = writeln!(self.table, "{line}");
        self
    }

    /// Its table, and nothing of what would stand there otherwise.
    pub(crate) fn table(mut self, lines: &str) -> Self {
        self.table = format!("{lines}\n");
        self
    }

    /// Shows answers while they grow.
    pub(crate) fn drafts(mut self) -> Self {
        self.table = self.table.replace("drafts = false", "drafts = true");
        self
    }

    /// A gateway that has this channel.
    pub(crate) fn on(&self, mut gateway: Builder) -> Builder {
        let name = self.name;
        let origins = self.origins.iter();
        let granted: Vec<_> = origins.map(|origin| format!("{{ origin = {origin:?}, private = true }}")).collect();
        let mut plugin = format!(
            "[[plugins]]\nname = {name:?}\npath = \"bundled:{name}\"\nsettings = {{ {} }}\n[plugins.grants]\n\
             http = [{}]\n",
            self.settings,
            granted.join(", ")
        );
        for (secret, value) in &self.secrets {
            let variable = format!("{name}_{secret}").to_uppercase().replace('-', "_");
            let hosts = &self.origins;
            let _ = writeln!(plugin, "secrets.{secret} = {{ env = {variable:?}, hosts = {hosts:?} }}");
            gateway = gateway.env(&variable, value);
        }
        gateway.plugins(&plugin).tables(&format!("[channels.{name}]\n{}", self.table))
    }
}

/// A gateway that believes the platforms' certificates.
pub(crate) fn trusting(gateway: Builder) -> Builder {
    gateway.tables(&format!("[net]\nca_file = {CA_FILE:?}"))
}

impl Telegram {
    /// By long poll.
    pub(crate) fn polled(&self) -> Channel {
        let settings = format!("base_url = {:?}", self.origin());
        Channel::new("telegram", settings, vec![self.origin()]).secret("bot-token", telegram::TOKEN)
    }

    /// By webhook.
    pub(crate) fn hooking(&self) -> Channel {
        let settings = format!("base_url = {:?}, mode = \"webhook\"", self.origin());
        Channel::new("telegram", settings, vec![self.origin()])
            .secret("bot-token", telegram::TOKEN)
            .secret("webhook-secret", telegram::WEBHOOK_SECRET)
            .line(&format!("webhook_url = \"https://{}/webhook/telegram\"", telegram::PUBLIC_HOST))
    }
}

impl Discord {
    /// By the gateway, and by interactions.
    pub(crate) fn channel_table(&self) -> Channel {
        let settings = format!("base_url = \"{}/api/v10\", public_key = {:?}", self.origin(), Self::public_key());
        Channel::new("discord", settings, vec![self.origin()]).secret("bot-token", discord::TOKEN)
    }
}

impl Slack {
    /// By Socket Mode.
    pub(crate) fn socketed(&self) -> Channel {
        let settings = format!("base_url = \"{}/api\"", self.origin());
        Channel::new("slack", settings, vec![self.origin()])
            .secret("bot-token", slack::BOT_TOKEN)
            .secret("app-token", slack::APP_TOKEN)
    }

    /// By the Events API.
    pub(crate) fn hooking(&self) -> Channel {
        let settings = format!("base_url = \"{}/api\", mode = \"events\"", self.origin());
        Channel::new("slack", settings, vec![self.origin()])
            .secret("bot-token", slack::BOT_TOKEN)
            .secret("signing-secret", slack::SIGNING_SECRET)
    }
}

impl WhatsApp {
    pub(crate) fn channel_table(&self) -> Channel {
        let origin = self.origin();
        let settings = format!("base_url = {origin:?}, media_url = {origin:?}");
        Channel::new("whatsapp", settings, vec![origin])
            .secret("access-token", whatsapp::TOKEN)
            .secret("app-secret", whatsapp::APP_SECRET)
            .secret("verify-token", whatsapp::VERIFY_TOKEN)
    }
}

impl GitHub {
    /// The guest `webhook`, with the settings for GitHub that its documentation has.
    pub(crate) fn channel_table(&self) -> Channel {
        let documented = include_str!("../../../guests/webhook/golden/github.settings.json");
        let settings: serde_json::Value = serde_json::from_str(documented).expect("JSON");
        let settings = inline(&settings).replace("https://api.github.com", &self.origin());
        let settings = settings.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).expect("a table");
        Channel::new("webhook", settings.to_owned(), vec![self.origin()])
            .secret("secret", github::SECRET)
            .secret("github-token", github::TOKEN)
    }
}

impl Irc {
    /// In the channel `#lab`.
    pub(crate) fn channel_table(&self) -> Channel {
        let settings = format!("server = {:?}, nick = \"exo\", channels = [\"#lab\"], password = true", self.server());
        Channel::new("irc", settings, vec![self.server()]).secret("password", irc::PASSWORD)
    }
}

/// JSON as TOML has it within a line.
fn inline(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(fields) => {
            let field = |(name, value): (&String, _)| format!("{} = {}", quoted(name), inline(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A basic string of TOML, which is a string of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
