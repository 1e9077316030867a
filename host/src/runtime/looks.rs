//! What `plugin.inspect` says of a plugin besides its parts: the grants that it lacks, as lines of
//! the config, and what a channel has set up.

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::{GrantsConfig, OriginPattern};

use super::bindings::channel;
use super::imports::{self, Capability, Import, Provision};
use super::plugin::PluginKind;

/// Something that a plugin imports or asks for, and was not granted.
#[derive(Debug, Clone, Serialize)]
pub struct LackInfo {
    /// In a few words.
    pub what: String,
    /// The line under `[plugins.grants]` that grants it, in place of a line of the same key.
    pub line: String,
    /// Whether it is refused without: it imports it. Else it only says that it needs it.
    pub needed: bool,
}

/// What grants lack of what a plugin imports (`imports`) and asks for (`hosts`, `secrets`).
pub(super) fn lacks(
    kind: PluginKind,
    hosts: &[String],
    secrets: &[String],
    imports: &[Import],
    grants: &GrantsConfig,
) -> Vec<LackInfo> {
    let mut lacks = Vec::new();
    let origins: Vec<String> = hosts.iter().map(|host| grantable(host)).collect();
    let missing: Vec<&String> = origins.iter().filter(|host| !is_granted(host, grants)).collect();
    let capabilities = imports::lacking(imports, grants);
    let needed = capabilities.contains(&Capability::Http);
    // Hosts are of use to who sends requests: a channel by its actions, a tool by `wasi:http`.
    let sends = kind == PluginKind::Channel || imports.iter().any(|import| import.provision == Provision::Http);
    if needed || sends && !missing.is_empty() {
        let what = match missing.as_slice() {
            [] => Capability::Http.what().to_owned(),
            [host] => format!("requests to {host}"),
            [host, others @ ..] => format!("requests to {host} and {} more", others.len()),
        };
        let granted = grants.http.iter().map(ToString::to_string);
        let hosts: Vec<String> = granted.chain(missing.iter().map(|host| quoted(host))).collect();
        let line = if hosts.is_empty() { Capability::Http.line(&[]) } else { format!("http = [{}]", hosts.join(", ")) };
        lacks.push(LackInfo { what, line, needed });
    }
    for capability in capabilities.into_iter().filter(|capability| *capability != Capability::Http) {
        lacks.push(LackInfo { what: capability.what().to_owned(), line: capability.line(&[]), needed: true });
    }
    for secret in secrets.iter().filter(|secret| !grants.secrets.contains_key(*secret)) {
        let what = format!("the secret {secret:?}");
        lacks.push(LackInfo { what, line: secret_line(kind, secret, &origins), needed: false });
    }
    lacks
}

/// `secrets.bot-token = { env = "BOT_TOKEN", hosts = ["api.telegram.org"] }`. A tool's secret also
/// needs a place in the request; a channel's templates say theirs.
fn secret_line(kind: PluginKind, secret: &str, origins: &[String]) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let key = if !secret.is_empty() && secret.bytes().all(bare) { secret.to_owned() } else { quoted(secret) };
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    let variable: String = secret.chars().map(letter).collect();
    let hosts = if origins.is_empty() {
        quoted("HOST")
    } else {
        origins.iter().map(|origin| quoted(origin)).collect::<Vec<_>>().join(", ")
    };
    let place = if kind == PluginKind::Tool { ", bearer = true" } else { "" };
    format!("secrets.{key} = {{ env = \"{variable}\", hosts = [{hosts}]{place} }}")
}

/// An origin as a grant names it: a WebSocket's is that of the request that opens it.
fn grantable(host: &str) -> String {
    let plain = match host.split_once("://") {
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(("ws", rest)) => format!("http://{rest}"),
        _ => host.to_owned(),
    };
    plain.parse::<OriginPattern>().map_or(plain, |origin| origin.to_string())
}

fn is_granted(host: &str, grants: &GrantsConfig) -> bool {
    host.parse().is_ok_and(|asked| grants.http.iter().any(|grant| grant.origin.covers(&asked)))
}

/// A TOML basic string: `\u` takes four digits, `\U` eight.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if crate::text::is_deceptive(letter) => quoted.push_str(&format!("\\U{:08x}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A channel, as `plugin.inspect` shows it. Its origins and secrets are the plugin's `hosts` and
/// `secrets`.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelInfo {
    /// The platform's name.
    pub platform: String,
    /// How a webhook is verified, by the names of the contract; null without a webhook.
    pub webhook: Value,
    /// What the platform can do.
    pub features: FeaturesInfo,
}

/// `channel.features`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct FeaturesInfo {
    /// How often `typing` must be repeated.
    pub typing_ms: Option<u32>,
    /// The shortest time between two versions of a growing text.
    pub draft_ms: Option<u32>,
    /// The largest file, in bytes.
    pub file_bytes: Option<u64>,
    /// Whether it has reactions.
    pub reactions: bool,
    /// Whether it has threads.
    pub threads: bool,
}

impl ChannelInfo {
    pub(super) fn of(platform: &str, setup: &channel::Setup) -> Self {
        let channel::Features { typing_ms, draft_ms, file_bytes, reactions, threads } = setup.features;
        Self {
            platform: platform.to_owned(),
            webhook: setup.webhook.as_ref().map_or(Value::Null, webhook),
            features: FeaturesInfo { typing_ms, draft_ms, file_bytes, reactions, threads },
        }
    }
}

fn webhook(webhook: &channel::Webhook) -> Value {
    use channel::{Encoding, Hash, Place, Verification};

    let age = |timestamp: &Option<channel::SignedTimestamp>| {
        timestamp.as_ref().map(|t| json!({ "header": t.header, "tolerance_seconds": t.tolerance_seconds }))
    };
    let verification = match &webhook.verification {
        Verification::SharedSecret(shared) => {
            let place = match &shared.place {
                Place::Header(name) => json!({ "header": name }),
                Place::Query(name) => json!({ "query": name }),
            };
            json!({ "by": "shared-secret", "secret": shared.secret, "place": place })
        }
        Verification::Hmac(hmac) => json!({
            "by": "hmac",
            "hash": match hmac.hash { Hash::Sha1 => "sha1", Hash::Sha256 => "sha256" },
            "secret": hmac.secret,
            "header": hmac.header,
            "prefix": hmac.prefix,
            "encoding": match hmac.encoding { Encoding::Hex => "hex", Encoding::Base64 => "base64" },
            "template": hmac.template,
            "timestamp": age(&hmac.timestamp),
        }),
        Verification::Ed25519(signed) => json!({
            "by": "ed25519",
            "public_key": signed.public_key,
            "header": signed.header,
            "template": signed.template,
            "timestamp": age(&signed.timestamp),
        }),
        Verification::Jwt(jwt) => {
            json!({ "by": "jwt", "jwks_url": jwt.jwks_url, "issuer": jwt.issuer, "audience": jwt.audience })
        }
        Verification::None => json!({ "by": "none" }),
    };
    let challenge = webhook.challenge.as_ref().map(|challenge| {
        json!({
            "token_parameter": challenge.token_parameter,
            "secret": challenge.secret,
            "echo_parameter": challenge.echo_parameter,
        })
    });
    json!({ "verification": verification, "challenge": challenge })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, HttpGrant, PluginConfig, SecretGrant, SecretSource};

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn http() -> Vec<Import> {
        vec![Import { name: "wasi:http/types@0.2.4".into(), provision: Provision::Http }]
    }

    /// What the config makes of the lines.
    fn pasted(lacks: &[LackInfo]) -> PluginConfig {
        let lines: Vec<&str> = lacks.iter().map(|lack| lack.line.as_str()).collect();
        let text =
            format!("[[plugins]]\nname = \"x\"\npath = \"bundled:echo\"\n[plugins.grants]\n{}\n", lines.join("\n"));
        let config = Config::parse(&text, std::path::Path::new("pasted.toml"));
        config.unwrap_or_else(|errors| panic!("{text}\n{errors}")).plugins.remove(0)
    }

    #[test]
    fn the_lines_can_be_pasted_and_then_nothing_lacks() {
        let (hosts, secrets) =
            (strings(&["api.example.com", "wss://*.discord.gg", "tls://irc.example:6697"]), strings(&["bot-token"]));
        let lacking = lacks(PluginKind::Tool, &hosts, &secrets, &http(), &GrantsConfig::default());
        assert_eq!(lacking[0].line, r#"http = ["api.example.com", "*.discord.gg", "tls://irc.example:6697"]"#);
        assert!(lacking[0].needed && !lacking[1].needed);
        let grants = pasted(&lacking).grants;
        let SecretGrant { source, .. } = &grants.secrets["bot-token"];
        assert_eq!(*source, SecretSource::Environment("BOT_TOKEN".into()));
        assert!(lacks(PluginKind::Tool, &hosts, &secrets, &http(), &grants).is_empty());
    }

    #[test]
    fn the_line_keeps_what_is_granted_already() {
        let grants =
            GrantsConfig { http: vec![HttpGrant::of("a.example.com".parse().unwrap())], ..GrantsConfig::default() };
        let lacking = lacks(PluginKind::Channel, &strings(&["b.example.com"]), &[], &[], &grants);
        assert_eq!(lacking[0].line, r#"http = ["a.example.com", "b.example.com"]"#);
        assert!(!lacking[0].needed, "a channel imports nothing");
        let idle = lacks(PluginKind::Tool, &strings(&["b.example.com"]), &[], &[], &grants);
        assert!(idle.is_empty(), "a tool without HTTP reaches no host");
    }

    #[test]
    fn names_that_break_out_of_their_line_do_not() {
        let (hosts, secrets) = (strings(&["a\"]\nstore = true\n#"]), strings(&["x = 1\n\"y"]));
        for lack in lacks(PluginKind::Channel, &hosts, &secrets, &[], &GrantsConfig::default()) {
            assert!(!lack.line.contains('\n'), "{}", lack.line);
            let table: toml::Table = lack.line.parse().unwrap();
            assert_eq!(table.len(), 1, "{}", lack.line);
        }
    }
}
