//! What the owner sets in the config file.

use std::collections::BTreeMap;

use exoclaw_guest::Settings;
use exoclaw_guest::channel::{
    Challenge, Ed25519, Encoding, Hash, Hmac, Jwt, Place, SharedSecret, SignedTimestamp, Verification,
};
use serde::Deserialize;
use serde_json::Value;

use crate::shape::Shape;
use crate::template::{Event, Reading, Reference, Writing};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    #[serde(default)]
    pub verification: Proof,
    pub challenge: Option<ChallengeSettings>,
    /// The first that fits an event is taken.
    #[serde(default = "one_rule")]
    pub events: Vec<Rule>,
    pub reply: Option<Reply>,
}

/// Any that the contract has.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proof {
    SharedSecret {
        #[serde(default = "secret")]
        secret_name: String,
        header: Option<String>,
        query: Option<String>,
    },
    Hmac {
        #[serde(default)]
        hash: HashName,
        #[serde(default = "secret")]
        secret_name: String,
        header: String,
        #[serde(default)]
        prefix: String,
        #[serde(default)]
        encoding: EncodingName,
        #[serde(default = "body")]
        template: String,
        timestamp: Option<Timestamp>,
    },
    Ed25519 {
        public_key: String,
        header: String,
        #[serde(default = "body")]
        template: String,
        timestamp: Option<Timestamp>,
    },
    Jwt {
        jwks_url: String,
        issuer: String,
        audience: String,
    },
    None {},
}

/// As GitHub, Meta and others sign.
impl Default for Proof {
    fn default() -> Self {
        Self::Hmac {
            hash: HashName::Sha256,
            secret_name: secret(),
            header: "x-hub-signature-256".into(),
            prefix: "sha256=".into(),
            encoding: EncodingName::Hex,
            template: body(),
            timestamp: None,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashName {
    Sha1,
    #[default]
    Sha256,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncodingName {
    #[default]
    Hex,
    Base64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timestamp {
    header: String,
    #[serde(default = "five_minutes")]
    tolerance_seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeSettings {
    pub token_parameter: String,
    #[serde(default = "verify_token")]
    pub secret_name: String,
    pub echo_parameter: String,
}

/// How an event becomes a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default)]
    pub when: Conditions,
    #[serde(default)]
    pub unless: Conditions,
    #[serde(default = "event_id")]
    pub event_id: Reading,
    /// The event's id by default.
    pub message_id: Option<Reading>,
    #[serde(default = "sender")]
    pub sender: Reading,
    pub sender_name: Option<Reading>,
    /// The sender is a bot where all of these hold, and there are any.
    #[serde(default)]
    pub bot: Conditions,
    #[serde(default = "peer")]
    pub peer: Reading,
    pub thread: Option<Reading>,
    #[serde(default = "text")]
    pub text: Reading,
    #[serde(default)]
    pub conversation: ConversationName,
    /// A word that calls the agent: `@exoclaw`.
    pub mention: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationName {
    #[default]
    Direct,
    Group,
    Broadcast,
}

/// Parts of an event, and the values of which each must have one.
#[derive(Debug, Default, Deserialize)]
pub struct Conditions(BTreeMap<Reference, Values>);

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    Many(Vec<Value>),
    One(Value),
}

impl Conditions {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of them hold.
    pub fn hold(&self, event: &Event<'_>) -> bool {
        self.0.iter().all(|condition| holds(condition, event))
    }

    /// Whether one of them holds.
    pub fn any(&self, event: &Event<'_>) -> bool {
        self.0.iter().any(|condition| holds(condition, event))
    }
}

fn holds((reference, values): (&Reference, &Values), event: &Event<'_>) -> bool {
    let value = event.get(reference).unwrap_or(Value::Null);
    match values {
        Values::Many(values) => values.contains(&value),
        Values::One(one) => *one == value,
    }
}

/// A header of a request. Not a member of a table, since a config file refuses texts under names
/// like `authorization`, lest a key be written there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderSettings {
    pub name: String,
    pub value: Writing,
}

/// How an answer is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    pub base_url: String,
    #[serde(default)]
    pub method: Method,
    pub path: Writing,
    #[serde(default)]
    pub headers: Vec<HeaderSettings>,
    #[serde(default = "answer")]
    pub body: Shape,
    /// Where the platform's answer has the id that it gave.
    pub message_id: Option<Reference>,
    #[serde(default)]
    pub format: Format,
    /// The longest text of one request, in characters.
    #[serde(default = "max_length")]
    pub max_length: usize,
    /// The platform tells by `{id}` that it has a request already.
    #[serde(default)]
    pub idempotent: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Markdown,
    Plain,
}

fn secret() -> String {
    "webhook-secret".into()
}

fn verify_token() -> String {
    "verify-token".into()
}

fn body() -> String {
    "{body}".into()
}

fn five_minutes() -> u32 {
    300
}

fn max_length() -> usize {
    10_000
}

fn one_rule() -> Vec<Rule> {
    let rule = Rule {
        when: Conditions::default(),
        unless: Conditions::default(),
        event_id: event_id(),
        message_id: None,
        sender: sender(),
        sender_name: None,
        bot: Conditions::default(),
        peer: peer(),
        thread: None,
        text: text(),
        conversation: ConversationName::Direct,
        mention: None,
    };
    vec![rule]
}

fn event_id() -> Reading {
    Reading::pointer("/id")
}

fn sender() -> Reading {
    Reading::pointer("/sender")
}

fn peer() -> Reading {
    Reading::pointer("/peer")
}

fn text() -> Reading {
    Reading::pointer("/text")
}

fn answer() -> Shape {
    Shape::answer()
}

impl Proof {
    /// As the contract has it. Exactly one place must carry a shared secret.
    pub fn verification(self) -> Result<Verification, String> {
        let timestamp = |timestamp: Option<Timestamp>| {
            let signed = |Timestamp { header, tolerance_seconds }| SignedTimestamp { header, tolerance_seconds };
            timestamp.map(signed)
        };
        Ok(match self {
            Self::SharedSecret { secret_name: secret, header, query } => {
                let place = match (header, query) {
                    (Some(header), None) => Place::Header(header),
                    (None, Some(query)) => Place::Query(query),
                    _ => return Err("a shared secret stands in one `header` or in one `query` parameter".into()),
                };
                Verification::SharedSecret(SharedSecret { secret, place })
            }
            Self::Hmac { hash, secret_name: secret, header, prefix, encoding, template, timestamp: at } => {
                let hash = match hash {
                    HashName::Sha1 => Hash::Sha1,
                    HashName::Sha256 => Hash::Sha256,
                };
                let encoding = match encoding {
                    EncodingName::Hex => Encoding::Hex,
                    EncodingName::Base64 => Encoding::Base64,
                };
                Verification::Hmac(Hmac { hash, secret, header, prefix, encoding, template, timestamp: timestamp(at) })
            }
            Self::Ed25519 { public_key, header, template, timestamp: at } => {
                Verification::Ed25519(Ed25519 { public_key, header, template, timestamp: timestamp(at) })
            }
            Self::Jwt { jwks_url, issuer, audience } => Verification::Jwt(Jwt { jwks_url, issuer, audience }),
            Self::None {} => Verification::None,
        })
    }

    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::SharedSecret { secret_name, .. } | Self::Hmac { secret_name, .. } => Some(secret_name),
            Self::Ed25519 { .. } | Self::Jwt { .. } | Self::None {} => None,
        }
    }
}

impl From<ChallengeSettings> for Challenge {
    fn from(challenge: ChallengeSettings) -> Self {
        let ChallengeSettings { token_parameter, secret_name: secret, echo_parameter } = challenge;
        Self { token_parameter, secret, echo_parameter }
    }
}

impl Settings for WebhookSettings {
    const SCHEMA: &'static str = include_str!("settings.json");
}
