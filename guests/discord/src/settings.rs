//! What the owner sets, and what follows from it for the host.

use exoclaw_chat::{is_plain, is_within, origin, origin_of};
use exoclaw_guest::channel::{Ed25519, Features, Setup, SignedTimestamp, Verification, Webhook};
use exoclaw_guest::{Error, Settings};
use serde::Deserialize;

/// The name of the bot's token among the plugin's secrets.
pub const TOKEN: &str = "bot-token";

/// Where Discord's REST API is (Reference, "HTTP API").
const BASE_URL: &str = "https://discord.com/api/v10";
/// Every gateway of Discord's: the one that `GET /gateway/bot` names, and those to resume at.
const GATEWAYS: &str = "wss://*.discord.gg";
/// Where attachments are (Reference, "CDN Base URL").
const CDN_URL: &str = "https://cdn.discordapp.com";
/// How old a signature may be: Discord gives no bound of its own.
const TOLERANCE_SECONDS: u32 = 300;
/// A typing indicator lasts 10 s (Channel, "Trigger Typing Indicator").
const TYPING_MS: u32 = 8_000;
/// Five requests in five seconds is what a channel's bucket has held for years; half of that leaves
/// room for the answer itself.
const DRAFT_MS: u32 = 2_000;
/// What a bot may upload to a server without boosts (Reference, "Uploading Files").
const FILE_BYTES: u64 = 10 << 20;

/// Under `settings` of the plugin.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discord {
    /// Of the REST API.
    #[serde(default = "base_url")]
    pub base_url: String,
    /// Of attachments; that of `base_url` where only this one is set.
    cdn_url: Option<String>,
    /// In hexadecimal; with it the channel takes interactions by webhook.
    public_key: Option<String>,
    /// The slash command whose text is for the agent; others keep their name, as `/stop`.
    #[serde(default = "command")]
    pub command: String,
}

fn base_url() -> String {
    BASE_URL.into()
}

fn command() -> String {
    "ask".into()
}

impl Settings for Discord {
    const SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {
            "base_url": {
                "type": "string",
                "pattern": "^https?://[^/?#]+(/[^?#]*[^/?#])?$",
                "description": "The REST API. Default: https://discord.com/api/v10. Another one's gateway is expected on its host."
            },
            "cdn_url": {
                "type": "string",
                "pattern": "^https?://[^/?#]+$",
                "description": "The origin of attachments. Default: https://cdn.discordapp.com, or that of another base_url."
            },
            "public_key": {
                "type": "string",
                "pattern": "^[0-9a-fA-F]{64}$",
                "description": "The application's public key. With it, slash commands are taken by webhook."
            },
            "command": {
                "type": "string",
                "pattern": "^[a-z0-9_-]{1,32}$",
                "description": "The slash command whose text goes to the agent as it is. Default: ask."
            }
        },
        "additionalProperties": false
    }"#;
}

impl Discord {
    fn is_discords(&self) -> bool {
        self.base_url == BASE_URL
    }

    /// The origins of gateways.
    fn gateways(&self) -> Result<Vec<String>, Error> {
        if self.is_discords() {
            return Ok(vec![GATEWAYS.into()]);
        }
        let origin = origin(&self.base_url)?;
        Ok(vec![origin.replacen("http", "ws", 1)])
    }

    /// Whether a gateway that Discord names is one that this channel may connect to.
    pub fn may_connect(&self, url: &str) -> bool {
        if self.is_discords() {
            return is_within(url, "wss", "discord.gg");
        }
        let named = origin_of(url).filter(|_| is_plain(url));
        self.gateways().is_ok_and(|gateways| gateways.iter().any(|one| Some(one.as_str()) == named))
    }

    /// The origin of attachments.
    pub fn cdn(&self) -> Result<&str, Error> {
        match &self.cdn_url {
            Some(url) => Ok(url),
            None if self.is_discords() => Ok(CDN_URL),
            None => origin(&self.base_url),
        }
    }

    /// Whether this is the address of a file there.
    pub fn is_file(&self, url: &str) -> bool {
        self.cdn().is_ok_and(|cdn| url.strip_prefix(cdn).is_some_and(|path| path.starts_with('/'))) && is_plain(url)
    }

    /// What the host needs to know.
    pub fn setup(self) -> Result<Setup, Error> {
        let mut origins = vec![origin(&self.base_url)?.to_owned()];
        origins.extend(self.gateways()?);
        let cdn = self.cdn()?.to_owned();
        if !origins.contains(&cdn) {
            origins.push(cdn);
        }
        let features = Features {
            typing_ms: Some(TYPING_MS),
            draft_ms: Some(DRAFT_MS),
            file_bytes: Some(FILE_BYTES),
            reactions: true,
            threads: true,
        };
        Ok(Setup { secrets: vec![TOKEN.into()], origins, webhook: self.public_key.map(interactions), features })
    }
}

/// Interactions are signed over the timestamp and the body (Interactions, "Validating Security Request Headers").
fn interactions(public_key: String) -> Webhook {
    let verification = Verification::Ed25519(Ed25519 {
        public_key,
        header: "X-Signature-Ed25519".into(),
        template: "{header:X-Signature-Timestamp}{body}".into(),
        timestamp: Some(SignedTimestamp {
            header: "X-Signature-Timestamp".into(),
            tolerance_seconds: TOLERANCE_SECONDS,
        }),
    });
    Webhook { verification, challenge: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Discord {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn discord_itself_needs_its_api_its_gateways_and_its_files() {
        let setup = read("{}").setup().unwrap();
        assert_eq!(setup.origins, ["https://discord.com", "wss://*.discord.gg", "https://cdn.discordapp.com"]);
        assert_eq!(setup.secrets, ["bot-token"]);
        assert!(setup.webhook.is_none());
    }

    #[test]
    fn another_server_has_all_on_its_host() {
        let settings = read(r#"{"base_url": "http://127.0.0.1:9/api/v10"}"#);
        assert!(settings.may_connect("ws://127.0.0.1:9/gateway"));
        assert!(!settings.may_connect("ws://127.0.0.1:10/gateway"));
        assert!(settings.is_file("http://127.0.0.1:9/attachments/1"));
        assert_eq!(settings.setup().unwrap().origins, ["http://127.0.0.1:9", "ws://127.0.0.1:9"]);
    }

    #[test]
    fn the_token_goes_to_discords_gateways_only() {
        let settings = read("{}");
        assert!(settings.may_connect("wss://gateway-us-east1-b.discord.gg"));
        assert!(settings.may_connect("wss://gateway.discord.gg/?v=10"));
        for url in [
            "wss://discord.gg.evil.example",
            "wss://evil.example/.discord.gg",
            "wss://evil.example#.discord.gg",
            "wss://x@evil.example:1\\.discord.gg",
            "ws://gateway.discord.gg",
            "wss://.discord.gg",
            "gateway.discord.gg",
        ] {
            assert!(!settings.may_connect(url), "{url}");
        }
    }

    #[test]
    fn files_are_fetched_from_the_cdn_only() {
        let settings = read("{}");
        assert!(settings.is_file("https://cdn.discordapp.com/attachments/1/2/cat.png?ex=1&is=2&hm=3"));
        for url in [
            "https://cdn.discordapp.com.evil.example/x",
            "http://cdn.discordapp.com/x",
            "https://cdn.discordapp.com/a b",
        ] {
            assert!(!settings.is_file(url), "{url}");
        }
    }

    #[test]
    fn interactions_are_signed_with_the_applications_key() {
        let setup = read(&format!(r#"{{"public_key": "{}"}}"#, "0a".repeat(32))).setup().unwrap();
        let Some(Webhook { verification: Verification::Ed25519(signed), .. }) = setup.webhook else {
            panic!("a webhook was expected")
        };
        assert_eq!(signed.template, "{header:X-Signature-Timestamp}{body}");
    }
}
