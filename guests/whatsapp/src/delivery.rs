//! From the agent to the platform: texts in parts, files by id, reactions, and that we are typing.

use exoclaw_chat::{Limit as Length, Move, Shown, Starred, Unit, render};
use exoclaw_guest::channel::{Call, Content, File, Hold, LimitedRequest, Next, Outbound, Outcome, Outgoing, Step};
use exoclaw_guest::{Error, invalid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::graph::{self, Limit, Meaning, conversation_key, number_key};
use crate::{WhatsApp, WhatsAppSettings, media};

/// The longest text (Cloud API, "Text messages").
const TEXT: Length = Length::new(4096, Unit::Chars);
/// How far it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    shown: Shown,
    /// The id of a file that is uploaded.
    media: Option<String>,
    /// How often it was put off.
    tries: u32,
    /// An indicator was asked for.
    asked: bool,
}

pub fn next(settings: &WhatsAppSettings, outgoing: &Outgoing, mut progress: Progress) -> Result<Step<Progress>, Error> {
    let account = account(settings, outgoing);
    let Some(account) = account else {
        return Ok(Next::Rejected("no number to send from: set `phone_number_id`".into()).into());
    };
    let request = match &outgoing.content {
        Content::Draft(_) => None,
        Content::Typing => typing(settings, account, outgoing, &mut progress)?,
        Content::Markdown(markdown) => {
            let parts: Vec<_> =
                render(markdown, &Starred::WhatsApp, TEXT).into_iter().map(|part| part.markup).collect();
            match progress.shown.next_unsent(parts.iter().map(String::as_str)) {
                Some(next @ Move::Send(index)) => {
                    progress.shown.begin(next);
                    let body = parts.get(index).map_or("", String::as_str);
                    let reply_to = outgoing.reply_to.as_deref().filter(|_| index == 0);
                    let text = json!({"body": body, "preview_url": false});
                    Some(send(settings, account, outgoing, "text", text, reply_to)?)
                }
                _ => None,
            }
        }
        Content::Reaction(reaction) if progress.shown.is_empty() => {
            progress.shown.begin(Move::Send(0));
            let reaction = json!({"message_id": reaction.message_id, "emoji": reaction.emoji});
            Some(send(settings, account, outgoing, "reaction", reaction, None)?)
        }
        Content::File(file) if progress.shown.is_empty() => Some(match &progress.media {
            None => media::upload(settings, account, file),
            Some(id) => {
                progress.shown.begin(Move::Send(0));
                let (kind, value) = described(file, id);
                send(settings, account, outgoing, kind, value, outgoing.reply_to.as_deref())?
            }
        }),
        Content::Reaction(_) | Content::File(_) => None,
    };
    let next = match request {
        Some(request) => {
            let keys = vec![number_key(account), conversation_key(account, outgoing)];
            Next::Request(LimitedRequest { request, keys })
        }
        None => Next::Done(progress.shown.ids()),
    };
    Ok(Step { progress, holds: vec![], next })
}

pub fn answered(
    call: &Call<'_, WhatsApp>,
    outgoing: &Outgoing,
    mut progress: Progress,
    outcome: &Outcome,
) -> Result<Step<Progress>, Error> {
    if matches!(outgoing.content, Content::Typing) {
        // Whatever became of it: it is gone in a moment anyway.
        return Ok(Next::Done(vec![]).into());
    }
    let account = account(&call.settings, outgoing).unwrap_or_default();
    let under_way = progress.shown.take();
    let meaning = graph::meaning(outcome, call.context.now, progress.tries, call.context.random);
    Ok(match (meaning, under_way) {
        (Meaning::Done(body), Some(_)) => {
            // Sent it is, even where the answer can't be read; only receipts find it no more.
            let part = progress.shown.ids().len();
            let id = sent(&body).unwrap_or_else(|| format!("{}-{part}", outgoing.id));
            progress.shown.stands(part, id, "");
            return next(&call.settings, outgoing, Progress { tries: 0, ..progress });
        }
        (Meaning::Done(body), None) => {
            let Some(id) = uploaded(&body) else {
                return Ok(Next::Rejected("the Graph API gave no id for the uploaded file".into()).into());
            };
            return next(&call.settings, outgoing, Progress { media: Some(id), tries: 0, ..progress });
        }
        (Meaning::Later(wait, limit), _) => {
            let key = limit.map(|limit| match limit {
                Limit::Number => number_key(account),
                Limit::Conversation => conversation_key(account, outgoing),
            });
            let holds = key.map(|key| Hold { key, for_ms: wait }).into_iter().collect();
            progress.tries = progress.tries.saturating_add(1);
            Step { progress, holds, next: Next::Wait(wait) }
        }
        (Meaning::Rejected(why), _) => Next::Rejected(why).into(),
        (Meaning::Unknown(why), Some(_)) => Step { progress, ..Next::Unknown(why).into() },
        // A file that was uploaded twice was sent once.
        (Meaning::Unknown(why), None) => {
            let wait = exoclaw_chat::backoff_ms(progress.tries, call.context.random);
            exoclaw_guest::log(exoclaw_guest::Level::Info, &format!("an upload is tried again: {why}"));
            progress.tries = progress.tries.saturating_add(1);
            Step { progress, holds: vec![], next: Next::Wait(wait) }
        }
    })
}

/// The number that the conversation is with, or the one that is set.
fn account<'a>(settings: &'a WhatsAppSettings, outgoing: &'a Outgoing) -> Option<&'a str> {
    let is_id = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    outgoing.address.account.as_deref().filter(is_id).or(settings.phone_number_id.as_deref())
}

/// Marks the newest message as read and shows that we are typing, for 25 s or until we answer.
fn typing(
    settings: &WhatsAppSettings,
    account: &str,
    outgoing: &Outgoing,
    progress: &mut Progress,
) -> Result<Option<Outbound>, Error> {
    let message = outgoing.handle.as_deref().and_then(|handle| std::str::from_utf8(handle).ok());
    let Some(message) = message.filter(|_| !progress.asked) else { return Ok(None) };
    progress.asked = true;
    let indicator = json!({
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": message,
        "typing_indicator": {"type": "text"},
    });
    graph::post(settings, &format!("{account}/messages"), &indicator).map(Some)
}

/// `POST /{phone-number-id}/messages`
fn send(
    settings: &WhatsAppSettings,
    account: &str,
    outgoing: &Outgoing,
    kind: &str,
    value: Value,
    reply_to: Option<&str>,
) -> Result<Outbound, Error> {
    let peer = &outgoing.address.peer;
    if peer.is_empty() {
        return Err(invalid("a message to nobody"));
    }
    // A phone number, or the id of a user who hides theirs.
    let is_number = peer.bytes().all(|byte| byte.is_ascii_digit() || byte == b'+');
    let mut message = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        if is_number { "to" } else { "recipient" }: peer,
        "type": kind,
        kind: value,
    });
    if let (Some(id), Some(message)) = (reply_to, message.as_object_mut()) {
        message.insert("context".into(), json!({"message_id": id}));
    }
    graph::post(settings, &format!("{account}/messages"), &message)
}

/// As what a file is sent: a picture, a film or a sound where WhatsApp shows its type, else a document.
fn described(file: &File, id: &str) -> (&'static str, Value) {
    match media::kind(file) {
        "document" => ("document", json!({"id": id, "filename": file.name})),
        kind => (kind, json!({"id": id})),
    }
}

/// The id that a sent message was given.
fn sent(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Sent {
        messages: Vec<Id>,
    }
    let sent: Sent = serde_json::from_slice(body).ok()?;
    sent.messages.into_iter().next().map(|message| message.id).filter(|id| !id.is_empty())
}

/// The id that an uploaded file was given.
fn uploaded(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Id>(body).ok().map(|uploaded| uploaded.id).filter(|id| !id.is_empty())
}

#[derive(Deserialize)]
struct Id {
    id: String,
}
