//! Slack's Web API: every answer is JSON with `ok`, and an error is a word ("Using the Slack Web API").

use exoclaw_chat::{Verdict, verdict};
use exoclaw_guest::channel::{Body, Outbound, Outcome, text};
use exoclaw_guest::{Error, Response, failed};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::settings::{BOT_TOKEN, Slack};

/// How long a request may take.
const TIMEOUT_MS: u32 = 15_000;
/// How long a 429 that does not say how long is taken for.
const UNTOLD_MS: u32 = 30_000;

/// What came of a call, where it is not what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was done; the method may be called again after so many milliseconds.
    Limited(u32),
    /// Nothing was done, and the same call may do later.
    NotDone(String),
    /// It may have been done.
    Unknown(String),
    /// The same call will not do.
    Refused(Refusal),
}

/// Why Slack refuses.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Slack's word, or `http_404` and the like.
    pub code: String,
    /// The scopes that the token lacks.
    pub needed: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    ok: bool,
    error: Option<String>,
    needed: Option<String>,
}

/// A method without arguments, with the token that the secret holds.
pub fn bare(settings: &Slack, method: &str, secret: &str) -> Outbound {
    let request = Outbound {
        method: "POST".into(),
        url: text(format!("{}/{method}", settings.base_url)),
        headers: vec![],
        body: Body::Bytes(vec![]),
        timeout_ms: TIMEOUT_MS,
    };
    request.bearer(secret)
}

/// A method with arguments in JSON.
pub fn call(settings: &Slack, method: &str, arguments: &impl Serialize) -> Result<Outbound, Error> {
    let mut request = bare(settings, method, BOT_TOKEN);
    request.headers.push(("content-type".into(), text("application/json; charset=utf-8")));
    request.body = Body::Text(text(serde_json::to_string(arguments).map_err(failed)?));
    Ok(request)
}

/// A method that takes its arguments as a form only.
pub fn form(settings: &Slack, method: &str, arguments: &[(&str, &str)]) -> Outbound {
    let mut request = bare(settings, method, BOT_TOKEN);
    request.headers.push(("content-type".into(), text("application/x-www-form-urlencoded")));
    let pairs: Vec<String> =
        arguments.iter().map(|(name, value)| format!("{name}={}", exoclaw_chat::segment(value))).collect();
    request.body = Body::Text(text(pairs.join("&")));
    request
}

/// What an outcome means.
pub fn result<T: DeserializeOwned>(outcome: &Outcome, now: u64) -> Result<T, Failure> {
    match verdict(outcome, now) {
        Verdict::Done(response) => answer(response),
        Verdict::Limited(_, pause) => Err(Failure::Limited(pause.unwrap_or(UNTOLD_MS).max(1))),
        Verdict::NotDone(why) => Err(Failure::NotDone(why)),
        Verdict::Unknown(why) => Err(Failure::Unknown(why)),
        Verdict::Refused(response) => {
            Err(Failure::Refused(Refusal { code: format!("http_{}", response.status), needed: None }))
        }
    }
}

fn answer<T: DeserializeOwned>(response: &Response) -> Result<T, Failure> {
    let read = |error| Failure::Unknown(format!("Slack's answer is not as it should be: {error}"));
    let envelope: Envelope = serde_json::from_slice(&response.body).map_err(read)?;
    if envelope.ok {
        return serde_json::from_slice(&response.body).map_err(read);
    }
    let code = envelope.error.unwrap_or_else(|| "no_error_given".into());
    Err(match code.as_str() {
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => Failure::Limited(UNTOLD_MS),
        "service_unavailable" | "request_timeout" | "team_added_to_org" => Failure::NotDone(code),
        // "It's possible some aspect of the operation succeeded before the error was raised."
        "internal_error" | "fatal_error" => Failure::Unknown(code),
        _ => Failure::Refused(Refusal { code, needed: envelope.needed }),
    })
}

impl Refusal {
    /// Whether it says that the token is of no use at all, so that the owner must do something.
    pub fn is_of_the_token(&self) -> bool {
        matches!(
            self.code.as_str(),
            "invalid_auth"
                | "not_authed"
                | "account_inactive"
                | "token_revoked"
                | "token_expired"
                | "org_login_required"
                | "missing_scope"
                | "not_allowed_token_type"
                | "no_permission"
                | "access_denied"
                | "forbidden_team"
                | "http_401"
                | "http_403"
        )
    }

    /// For the operator, with what can be done.
    pub fn why(&self) -> String {
        let advice = match self.code.as_str() {
            "channel_not_found" => "there is no such channel, or the bot is not in it",
            "not_in_channel" => "the bot is not in the channel; write `/invite @bot` there",
            "is_archived" => "the channel is archived",
            "restricted_action" | "restricted_action_read_only_channel" | "restricted_action_thread_only_channel" => {
                "the workspace does not let the bot write there"
            }
            "msg_too_long" => "the text is longer than Slack takes",
            "message_not_found" => "there is no such message",
            "missing_scope" => "the token lacks a scope; add it (OAuth & Permissions) and install the app again",
            "not_allowed_token_type" => "this is a token of another kind; look which secret holds which",
            "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" | "http_401" => {
                "Slack refuses the token; install the app again and store its new token"
            }
            _ => "Slack refuses it",
        };
        match &self.needed {
            Some(needed) => format!("{advice} ({}, needed: {needed})", self.code),
            None => format!("{advice} ({})", self.code),
        }
    }
}

impl Failure {
    /// For the operator.
    pub fn why(&self) -> String {
        match self {
            Self::Limited(ms) => format!("Slack asks to wait for {ms} ms"),
            Self::NotDone(why) | Self::Unknown(why) => why.clone(),
            Self::Refused(refusal) => refusal.why(),
        }
    }
}

#[cfg(test)]
mod tests {
    use exoclaw_guest::Header;
    use exoclaw_guest::channel::Piece;
    use serde_json::Value;

    use super::*;

    fn of(status: u16, body: &str) -> Result<Value, Failure> {
        let header = Header { name: "Retry-After".into(), value: "7".into() };
        result(&Ok(Response { status, headers: vec![header], body: body.into() }), 0)
    }

    #[test]
    fn an_error_is_what_slack_says_it_is() {
        assert!(of(200, r#"{"ok": true, "ts": "1.2"}"#).is_ok());
        assert_eq!(of(429, ""), Err(Failure::Limited(7_000)));
        assert_eq!(of(200, r#"{"ok": false, "error": "ratelimited"}"#), Err(Failure::Limited(30_000)));
        assert!(matches!(of(200, r#"{"ok": false, "error": "service_unavailable"}"#), Err(Failure::NotDone(_))));
        for body in [r#"{"ok": false, "error": "internal_error"}"#, "<html>", ""] {
            assert!(matches!(of(200, body), Err(Failure::Unknown(_))), "{body}");
        }
        let Err(Failure::Refused(refusal)) =
            of(200, r#"{"ok": false, "error": "missing_scope", "needed": "chat:write"}"#)
        else {
            panic!("a refusal was expected")
        };
        assert!(refusal.is_of_the_token());
        assert!(refusal.why().ends_with("(missing_scope, needed: chat:write)"), "{}", refusal.why());
        assert!(matches!(of(404, ""), Err(Failure::Refused(refusal)) if refusal.code == "http_404"));
    }

    #[test]
    fn a_form_keeps_its_names_apart_from_its_values() {
        let settings: Slack = serde_json::from_str("{}").unwrap();
        let request =
            form(&settings, "files.getUploadURLExternal", &[("filename", "a&length=1 .txt"), ("length", "5")]);
        let Body::Text(template) = request.body else { panic!("a text was expected") };
        assert!(matches!(&template[..], [Piece::Text(text)] if text == "filename=a%26length%3D1%20%2Etxt&length=5"));
    }
}
