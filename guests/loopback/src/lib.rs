//! A channel that talks to nobody: it exercises every part of `channel-plugin`, so that a host
//! can be held to it.
//!
//! A webhook's body, a frame's text and a server-sent event's data are all the same JSON:
//!
//! ```json
//! {"id": "1", "peer": "ada", "text": "hello", "attachment": "cat.png"}
//! ```

mod delivery;
mod incoming;

use serde::Deserialize;

use crate::exports::exoclaw::plugin::channel::{
    Challenge, Context, Description, Encoding, Error, Event, Features, Fetch, Guest, Hash, Hmac, Incoming, Outbound,
    Outcome, Outgoing, Piece, Response, Setup, SignedTimestamp, Step, Verification, Webhook,
};

wit_bindgen::generate!({ world: "channel-plugin", path: "../../wit" });

const SETTINGS_SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "origin": {"type": "string", "pattern": "^https://", "description": "Where it pretends to reach."},
        "webhook": {"type": "boolean", "description": "Whether it has one; yes by default."}
    },
    "additionalProperties": false
}"#;

/// The secret that it names in templates and for its webhook.
const SECRET: &str = "loopback-token";

#[derive(Deserialize)]
struct Settings {
    #[serde(default = "default_origin")]
    origin: String,
    #[serde(default = "yes")]
    webhook: bool,
}

fn default_origin() -> String {
    "https://loopback.invalid".into()
}

fn yes() -> bool {
    true
}

impl Settings {
    fn parse(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(|error| Error::InvalidInput(error.to_string()))
    }
}

struct Loopback;

impl Guest for Loopback {
    fn describe() -> Description {
        Description { platform: "loopback".into(), settings_schema: SETTINGS_SCHEMA.into() }
    }

    fn configure(settings: String) -> Result<Setup, Error> {
        let settings = Settings::parse(&settings)?;
        let webhook = settings.webhook.then(|| Webhook {
            verification: Verification::Hmac(Hmac {
                hash: Hash::Sha256,
                secret: SECRET.into(),
                header: "x-loopback-signature".into(),
                prefix: "v0=".into(),
                encoding: Encoding::Hex,
                template: "v0:{header:x-loopback-time}:{body}".into(),
                timestamp: Some(SignedTimestamp { header: "x-loopback-time".into(), tolerance_seconds: 300 }),
            }),
            challenge: Some(Challenge {
                token_parameter: "token".into(),
                secret: SECRET.into(),
                echo_parameter: "challenge".into(),
            }),
        });
        Ok(Setup {
            secrets: vec![SECRET.into()],
            origins: vec![settings.origin],
            webhook,
            features: Features {
                typing_ms: Some(4_000),
                draft_ms: Some(500),
                file_bytes: Some(1 << 20),
                reactions: true,
                threads: false,
            },
        })
    }

    fn parse_incoming(context: Context, state: Vec<u8>, event: Event) -> Result<Incoming, Error> {
        incoming::parse(&context, &state, event)
    }

    fn format_outgoing(
        context: Context,
        _state: Vec<u8>,
        outgoing: Outgoing,
        progress: Vec<u8>,
    ) -> Result<Step, Error> {
        delivery::format(&context, &outgoing, &progress)
    }

    fn parse_delivery(
        _context: Context,
        _state: Vec<u8>,
        outgoing: Outgoing,
        progress: Vec<u8>,
        outcome: Outcome,
    ) -> Result<Step, Error> {
        delivery::settle(&outgoing, progress, outcome)
    }

    fn fetch_attachment(
        context: Context,
        _state: Vec<u8>,
        handle: Vec<u8>,
        previous: Option<Response>,
    ) -> Result<Fetch, Error> {
        let name = String::from_utf8(handle).map_err(|error| Error::InvalidInput(error.to_string()))?;
        match previous {
            None => Ok(Fetch::Lookup(request(&context, "GET", &format!("/files/{name}"))?)),
            Some(Response { status: 200, body, .. }) => {
                let place = String::from_utf8(body).map_err(|error| Error::InvalidInput(error.to_string()))?;
                // What does not begin a path would go on with the host's name.
                if !place.starts_with('/') {
                    return Err(Error::InvalidInput(format!("{place} is no path")));
                }
                Ok(Fetch::Download(request(&context, "GET", &place)?))
            }
            Some(Response { status, .. }) => {
                Err(Error::Failed(format!("the lookup of {name} was answered with {status}")))
            }
        }
    }
}

/// A request with the secret in its header, to a path of the configured origin.
fn request(context: &Context, method: &str, path: &str) -> Result<Outbound, Error> {
    use crate::exports::exoclaw::plugin::channel::Body;

    let Settings { origin, .. } = Settings::parse(&context.settings)?;
    Ok(Outbound {
        method: method.into(),
        url: vec![Piece::Text(origin + path)],
        headers: vec![("authorization".into(), vec![Piece::Text("Bearer ".into()), Piece::Secret(SECRET.into())])],
        body: Body::Bytes(vec![]),
        timeout_ms: 10_000,
    })
}

export!(Loopback);
