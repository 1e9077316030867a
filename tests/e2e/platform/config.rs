//! What the owner writes into the config file for each platform.

use std::fmt::Write as _;
use std::path::Path;

use crate::harness::Builder;

use super::server::CA_FILE;
use super::{Discord, GitHub, Irc, Issuer, Plain, Slack, Telegram, WhatsApp};
use super::{discord, github, irc, slack, telegram, whatsapp};

/// A channel: its plugin, its grants and secrets, and what the owner decides about it.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    name: &'static str,
    path: String,
    settings: String,
    origins: Vec<String>,
    secrets: Vec<(&'static str, &'static str)>,
    /// Its secrets are files, and not in the environment.
    filed: bool,
    limits: String,
    table: String,
}

impl Channel {
    fn new(name: &'static str, settings: String, origins: Vec<String>) -> Self {
        let table = "direct = \"open\"\ngroup = \"open\"\nmention = false\ndrafts = false\n".to_owned();
        Self {
            name,
            path: format!("bundled:{name}"),
            settings,
            origins,
            secrets: Vec::new(),
            filed: false,
            limits: String::new(),
            table,
        }
    }

    fn secret(mut self, name: &'static str, value: &'static str) -> Self {
        self.secrets.push((name, value));
        self
    }

    /// The same, whose secrets are files of its owner's, in this folder for keys.
    pub(crate) fn filed(mut self, folder: &Path) -> Self {
        for (secret, value) in &self.secrets {
            self.keep(folder, secret, value);
        }
        self.filed = true;
        self
    }

    /// Writes one of its secrets into its file.
    pub(crate) fn keep(&self, folder: &Path, secret: &str, value: &str) {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        let folder = folder.join("credentials");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).expect("a writable folder");
        let path = folder.join(format!("{}.{secret}.key", self.name));
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        std::io::Write::write_all(&mut file.expect("a file"), value.as_bytes()).expect("room for a key");
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

    /// Lines for the limits of its plugin.
    pub(crate) fn limits(mut self, lines: &str) -> Self {
        self.limits = format!("[plugins.limits]\n{lines}\n");
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
            "[[plugins]]\nname = {name:?}\npath = {:?}\nsettings = {{ {} }}\n[plugins.grants]\nhttp = [{}]\n",
            self.path,
            self.settings,
            granted.join(", ")
        );
        let hosts = &self.origins;
        for (secret, value) in &self.secrets {
            let variable = format!("{name}_{secret}").to_uppercase().replace('-', "_");
            let _ = writeln!(plugin, "secrets.{secret} = {{ env = {variable:?}, hosts = {hosts:?} }}");
            if !self.filed {
                gateway = gateway.env(&variable, value);
            }
        }
        plugin.push_str(&self.limits);
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
            .secret("webhook-secret", github::SECRET)
            .secret("github-token", github::TOKEN)
    }
}

impl Plain {
    /// The channel `mine`, whose plugin is this file.
    pub(crate) fn channel_table(&self, plugin: &Path, settings: &str) -> Channel {
        let settings = format!("base_url = {:?}{settings}", self.origin());
        let channel = Channel::new("mine", settings, vec![self.origin()]);
        Channel { path: plugin.display().to_string(), ..channel }
    }
}

impl Issuer {
    /// The guest `webhook`, called with this issuer's tokens for `audience`. It answers nobody.
    pub(crate) fn channel_table(&self, audience: &str) -> Channel {
        let origin = self.origin();
        let settings = format!(
            "verification = {{ kind = \"jwt\", jwks_url = \"{origin}/keys\", issuer = {origin:?}, audience = {audience:?} }}"
        );
        Channel::new("webhook", settings, vec![origin])
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
