//! What the owner sets, and what follows from it for the host.

use exoclaw_chat::{is_plain, is_within, origin, origin_of};
use exoclaw_guest::channel::{Encoding, Features, Hash, Hmac, Setup, SignedTimestamp, Verification, Webhook};
use exoclaw_guest::{Error, Settings};
use serde::Deserialize;

/// The secret with which all is asked and sent: `xoxb-…`.
pub const BOT_TOKEN: &str = "bot-token";
/// The secret that opens Socket Mode's connections: `xapp-…`.
pub const APP_TOKEN: &str = "app-token";
/// The secret that Slack signs its webhook calls with.
const SIGNING_SECRET: &str = "signing-secret";

/// Where Slack's Web API is.
const BASE_URL: &str = "https://slack.com/api";
/// Socket Mode's connections: `apps.connections.open` names one.
const SOCKETS: &str = "wss://*.slack.com";
/// Where files are, and where they are uploaded to.
const FILES: &str = "https://files.slack.com";
/// "If the request timestamp is more than five minutes from local time" it is not to be trusted
/// (Verifying requests from Slack).
const TOLERANCE_SECONDS: u32 = 300;
/// `chat.update` is of tier 3, some 50 a minute (Rate limits).
const DRAFT_MS: u32 = 2_000;
/// The largest file that Slack takes.
const FILE_BYTES: u64 = 1 << 30;

/// How Slack reaches the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By a connection that the channel opens.
    #[default]
    Socket,
    /// By webhook.
    Events,
}

/// Under `settings` of the plugin.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// How events come.
    #[serde(default)]
    pub mode: Mode,
    /// Of the Web API.
    #[serde(default = "base_url")]
    pub base_url: String,
    /// Whether what is answered in a channel opens a thread there.
    #[serde(default = "yes")]
    pub threads: bool,
}

fn base_url() -> String {
    BASE_URL.into()
}

fn yes() -> bool {
    true
}

impl Settings for Slack {
    const SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {
            "mode": {
                "enum": ["socket", "events"],
                "description": "How events come: by a connection that the gateway opens, or by webhook. Default: socket."
            },
            "base_url": {
                "type": "string",
                "pattern": "^https?://[^/?#]+(/[^?#]*[^/?#])?$",
                "description": "The Web API. Default: https://slack.com/api. Another one's sockets and files are expected on its host."
            },
            "threads": {
                "type": "boolean",
                "description": "Whether answers in channels go into a thread. Default: true."
            }
        },
        "additionalProperties": false
    }"#;
}

impl Slack {
    fn is_slacks(&self) -> bool {
        self.base_url == BASE_URL
    }

    fn sockets(&self) -> Result<String, Error> {
        if self.is_slacks() { Ok(SOCKETS.into()) } else { Ok(origin(&self.base_url)?.replacen("http", "ws", 1)) }
    }

    fn files(&self) -> Result<&str, Error> {
        if self.is_slacks() { Ok(FILES) } else { origin(&self.base_url) }
    }

    /// Whether this is an address of one of Slack's sockets.
    pub fn may_connect(&self, url: &str) -> bool {
        if self.is_slacks() {
            return is_within(url, "wss", "slack.com");
        }
        self.sockets().is_ok_and(|sockets| origin_of(url) == Some(&sockets)) && is_plain(url)
    }

    /// Whether this is an address of a file at Slack's, or of where one is uploaded to. The token goes
    /// there with it.
    pub fn is_file(&self, url: &str) -> bool {
        let files = self.files();
        files.is_ok_and(|files| url.strip_prefix(files).is_some_and(|path| path.starts_with('/'))) && is_plain(url)
    }

    /// What the host needs to know.
    pub fn setup(self) -> Result<Setup, Error> {
        let mut origins = vec![origin(&self.base_url)?.to_owned()];
        let files = self.files()?.to_owned();
        if !origins.contains(&files) {
            origins.push(files);
        }
        let mut secrets = vec![BOT_TOKEN.to_owned()];
        let webhook = match self.mode {
            Mode::Socket => {
                origins.push(self.sockets()?);
                secrets.push(APP_TOKEN.into());
                None
            }
            Mode::Events => {
                secrets.push(SIGNING_SECRET.into());
                Some(Webhook { verification: Verification::Hmac(signature()), challenge: None })
            }
        };
        let features = Features {
            typing_ms: None,
            draft_ms: Some(DRAFT_MS),
            file_bytes: Some(FILE_BYTES),
            reactions: true,
            threads: true,
        };
        Ok(Setup { secrets, origins, webhook, features })
    }
}

/// "Verifying requests from Slack".
fn signature() -> Hmac {
    Hmac {
        hash: Hash::Sha256,
        secret: SIGNING_SECRET.into(),
        header: "X-Slack-Signature".into(),
        prefix: "v0=".into(),
        encoding: Encoding::Hex,
        template: "v0:{header:X-Slack-Request-Timestamp}:{body}".into(),
        timestamp: Some(SignedTimestamp {
            header: "X-Slack-Request-Timestamp".into(),
            tolerance_seconds: TOLERANCE_SECONDS,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Slack {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_mode_needs_its_own_secret() {
        let socket = read("{}").setup().unwrap();
        assert_eq!(socket.secrets, ["bot-token", "app-token"]);
        assert_eq!(socket.origins, ["https://slack.com", "https://files.slack.com", "wss://*.slack.com"]);
        assert!(socket.webhook.is_none());
        let events = read(r#"{"mode": "events"}"#).setup().unwrap();
        assert_eq!(events.secrets, ["bot-token", "signing-secret"]);
        assert_eq!(events.origins, ["https://slack.com", "https://files.slack.com"]);
        let Some(Webhook { verification: Verification::Hmac(hmac), .. }) = events.webhook else {
            panic!("a webhook was expected")
        };
        assert_eq!((hmac.prefix.as_str(), hmac.timestamp.unwrap().tolerance_seconds), ("v0=", 300));
    }

    #[test]
    fn another_server_has_all_on_its_host() {
        let settings = read(r#"{"base_url": "http://127.0.0.1:9/api"}"#);
        assert!(settings.may_connect("ws://127.0.0.1:9/link/?ticket=1"));
        assert!(!settings.may_connect("ws://127.0.0.1:10/link/?ticket=1"));
        assert!(settings.is_file("http://127.0.0.1:9/files/1"));
        assert_eq!(settings.setup().unwrap().origins, ["http://127.0.0.1:9", "ws://127.0.0.1:9"]);
    }

    #[test]
    fn sockets_and_files_are_slacks_only() {
        let settings = read("{}");
        assert!(settings.may_connect("wss://wss-primary.slack.com/link/?ticket=a-b&app_id=c"));
        assert!(settings.is_file("https://files.slack.com/files-pri/T1-F1/cat.png"));
        for url in [
            "wss://slack.com.evil.example/",
            "wss://evil.example#.slack.com",
            "ws://wss.slack.com/",
            "wss://.slack.com",
        ] {
            assert!(!settings.may_connect(url), "{url}");
        }
        for url in ["https://files.slack.com.evil.example/x", "https://slack.com/x", "https://files.slack.com/a b"] {
            assert!(!settings.is_file(url), "{url}");
        }
    }
}
