//! Each way to verify, and each way around it that has been tried.

mod attacks;
mod examples;
mod properties;

use futures_util::FutureExt;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::*;
use crate::runtime::bindings::channel::{self, Encoding, Hash, Verification};

/// When every example was signed.
const SIGNED: u64 = 1_531_420_618;

fn secrets(name: &str) -> Option<Secret> {
    let text = match name {
        "slack" => "8f742231b10e8888abcd99yyyzzz85a5",
        "github" => "It's a Secret to Everybody",
        "key" => "key",
        "token" => "a+long=token",
        "empty" => " ",
        _ => return None,
    };
    Some(Secret::new(text.to_owned()))
}

fn parts() -> VerifierParts<'static> {
    VerifierParts { secret: &secrets, webhook_url: Some("https://bot.example/webhook/x"), unsigned: false, jwks: None }
}

fn verifier(verification: Verification) -> Result<Verifier, VerifierError> {
    Verifier::new(&channel::Webhook { verification, challenge: None }, &parts())
}

fn slack() -> channel::Hmac {
    channel::Hmac {
        hash: Hash::Sha256,
        secret: "slack".into(),
        header: "X-Slack-Signature".into(),
        prefix: "v0=".into(),
        encoding: Encoding::Hex,
        template: "v0:{header:X-Slack-Request-Timestamp}:{body}".into(),
        timestamp: Some(channel::SignedTimestamp {
            header: "X-Slack-Request-Timestamp".into(),
            tolerance_seconds: 300,
        }),
    }
}

const SLACK_SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
    channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
    response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
    trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

fn github() -> channel::Hmac {
    channel::Hmac {
        hash: Hash::Sha256,
        secret: "github".into(),
        header: "X-Hub-Signature-256".into(),
        prefix: "sha256=".into(),
        encoding: Encoding::Hex,
        template: "{body}".into(),
        timestamp: None,
    }
}

const GITHUB_SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

/// A call, as a test has it.
#[derive(Debug, Clone)]
struct Call {
    headers: HeaderMap,
    query: Option<String>,
    body: Vec<u8>,
    now: u64,
}

impl Call {
    fn new(headers: &[(&str, &str)], body: &str) -> Self {
        let pair = |(name, value): &(&str, &str)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        };
        let headers = headers.iter().map(pair).collect();
        Self { headers, query: None, body: body.as_bytes().to_vec(), now: SIGNED * 1000 }
    }

    fn slack() -> Self {
        let time = SIGNED.to_string();
        Self::new(&[("x-slack-signature", SLACK_SIGNATURE), ("x-slack-request-timestamp", &time)], SLACK_BODY)
    }

    fn github() -> Self {
        Self::new(&[("x-hub-signature-256", GITHUB_SIGNATURE)], "Hello, World!")
    }

    fn query(query: &str) -> Self {
        Self { query: Some(query.to_owned()), ..Self::new(&[], "") }
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        self
    }

    fn add(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, HeaderValue::from_str(value).expect("a value"));
        self
    }

    fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }

    fn head(&self) -> Head<'_> {
        Head { headers: &self.headers, query: self.query.as_deref(), now: Timestamp(self.now) }
    }

    /// What becomes of it, where nothing has to be waited for.
    fn check(&self, verifier: &Verifier) -> Result<Verified, Refusal> {
        verifier.admit(self.head()).now_or_never().expect("nothing to wait for")?.verify(&self.body)
    }
}
