//! Requests to the Graph API, and what its errors mean.

use exoclaw_chat::{Verdict, backoff_ms, retry_after_ms, verdict};
use exoclaw_guest::channel::{Outbound, Outcome, Outgoing, text};
use exoclaw_guest::{Error, Response};
use serde::{Deserialize, Serialize};

use crate::payload::Problem;
use crate::{ACCESS_TOKEN, WhatsAppSettings};

/// `https://graph.facebook.com/v25.0/{path}`
pub fn url(settings: &WhatsAppSettings, path: &str) -> String {
    format!("{}/{}/{path}", settings.base_url, settings.version)
}

/// A JSON document, posted with our token.
pub fn post(settings: &WhatsAppSettings, path: &str, value: &impl Serialize) -> Result<Outbound, Error> {
    Ok(exoclaw_chat::post_json(text(url(settings, path)), value)?.bearer(ACCESS_TOKEN))
}

/// What is left to do after an answer.
pub enum Meaning {
    Done(Vec<u8>),
    /// Nothing was done, and after so many milliseconds it may go again. The limit holds the number
    /// or this conversation, where it is one.
    Later(u32, Option<Limit>),
    Rejected(String),
    Unknown(String),
}

/// What the platform limits.
pub enum Limit {
    Number,
    Conversation,
}

/// Reads an answer by the API's own words, which decide where there are any (Cloud API, "Error codes").
pub fn meaning(outcome: &Outcome, now: u64, tries: u32, random: u64) -> Meaning {
    let later = |response: &Response| retry_after_ms(response, now).unwrap_or_else(|| backoff_ms(tries, random));
    if let Some((response, problem)) = outcome.as_ref().ok().and_then(|response| Some((response, problem(response)?))) {
        return match problem.code {
            // Too many calls of the app; of the account; messages of the number.
            4 | 80007 | 130429 => Meaning::Later(later(response), Some(Limit::Number)),
            // Too many messages to this one person: one in six seconds.
            131056 => Meaning::Later(later(response).max(6_000), Some(Limit::Conversation)),
            // The service is down or overloaded, and says so.
            2 | 131016 | 133004 => Meaning::Later(later(response), None),
            _ if response.status >= 500 => Meaning::Unknown(explained(&problem)),
            _ => Meaning::Rejected(explained(&problem)),
        };
    }
    match verdict(outcome, now) {
        Verdict::Done(response) => Meaning::Done(response.body.clone()),
        Verdict::Limited(_, wait) => Meaning::Later(wait.unwrap_or(backoff_ms(tries, random)), Some(Limit::Number)),
        Verdict::NotDone(_) => Meaning::Later(backoff_ms(tries, random), None),
        Verdict::Unknown(why) => Meaning::Unknown(why),
        Verdict::Refused(response) => Meaning::Rejected(format!("the Graph API answered with {}", response.status)),
    }
}

fn problem(response: &Response) -> Option<Problem> {
    #[derive(Deserialize)]
    struct Failed {
        error: Problem,
    }
    serde_json::from_slice::<Failed>(&response.body).ok().map(|failed| failed.error)
}

/// In the API's words, and what to do about it in ours.
pub fn explained(problem: &Problem) -> String {
    let advice = match problem.code {
        0 | 190 => "the access token is not valid any more; give a new one",
        3 | 10 | 200..=299 => "the access token may not do this; give it whatsapp_business_messaging",
        131047 => "it is over 24 hours since this person wrote; they have to write first",
        131026 => "this person can't be reached: no WhatsApp, an old version, or they blocked us",
        131042 => "the account has no valid payment; look at its billing",
        131048 | 368 => "WhatsApp restricts this account; look at its quality in the WhatsApp Manager",
        131030 => "a test number reaches only the recipients that are listed with it",
        _ => return problem.to_string(),
    };
    format!("{advice} ({problem})")
}

/// Of the number: all that it sends.
pub fn number_key(account: &str) -> String {
    format!("number:{account}")
}

/// Of the conversation.
pub fn conversation_key(account: &str, outgoing: &Outgoing) -> String {
    format!("conversation:{account}:{}", outgoing.address.peer)
}
