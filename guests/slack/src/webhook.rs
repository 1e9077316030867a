//! Events that Slack posts ("Using the Events API"), signed, and checked by the host.

use exoclaw_chat::Turn;
use exoclaw_guest::channel::reply;
use exoclaw_guest::{Error, Header, Request, Response, failed, invalid, log};
use serde::Deserialize;
use serde_json::json;

use crate::events::{self, Source};
use crate::settings::Slack;
use crate::socket::NO_COMMANDS;
use crate::state::State;

#[derive(Deserialize)]
struct Outer {
    #[serde(default, rename = "type")]
    kind: String,
    challenge: Option<String>,
}

/// A call that Slack signed.
pub fn received(settings: &Slack, turn: &mut Turn<State>, request: &Request) -> Result<(), Error> {
    let body = std::str::from_utf8(&request.body)?;
    if is_form(request) {
        return form(turn, body);
    }
    let outer: Outer = serde_json::from_str(body)?;
    match outer.kind.as_str() {
        "url_verification" => {
            let challenge = outer.challenge.ok_or_else(|| invalid("a url_verification without a challenge"))?;
            turn.reply(reply(200, challenge));
            Ok(())
        }
        "event_callback" => events::received(settings, turn, Source::Body(body)),
        "app_rate_limited" => {
            log!(Warn, "Slack holds back events: more than 30,000 an hour");
            Ok(())
        }
        kind => {
            log!(Debug, "a call of type {kind:?} was passed over");
            Ok(())
        }
    }
}

fn is_form(request: &Request) -> bool {
    let kind = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
    kind.is_some_and(|header| header.value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
}

/// Slash commands and buttons come so. There are no buttons; whoever uses a command is told so.
fn form(turn: &mut Turn<State>, body: &str) -> Result<(), Error> {
    if body.split('&').any(|pair| pair.starts_with("command=")) {
        let answer = json!({ "response_type": "ephemeral", "text": NO_COMMANDS });
        turn.reply(Response {
            status: 200,
            headers: vec![Header { name: "content-type".into(), value: "application/json".into() }],
            body: serde_json::to_vec(&answer).map_err(failed)?,
        });
    }
    Ok(())
}
