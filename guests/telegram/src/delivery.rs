//! From the agent to Telegram.
//!
//! Telegram knows no idempotency keys: what was sent and not answered may stand there or not, and
//! is `unknown`. Edits, deletions and reactions come to the same when they are made twice.

use exoclaw_chat::{Move, Part, Shown, backoff_ms};
use exoclaw_guest::Error;
use exoclaw_guest::channel::{
    Body, Call, Content, Field, FieldValue, File, Hold, LimitedRequest, Next, Outbound, Outcome, Outgoing, Step, text,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::{self, Failure};
use crate::update::GENERAL_TOPIC;
use crate::{Telegram, html};

/// The rate limit of all that a bot sends, about 30 a second.
const ALL: &str = "bot";
/// How long everything waits when one chat's limit is met: it may have been everyone's.
const ALL_HOLD_MS: u32 = 1_000;
/// The largest picture that `sendPhoto` takes.
const MAX_PHOTO: u64 = 10_000_000;

/// How far a delivery is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    shown: Shown,
    /// Where the group has moved to, while this delivery was under way.
    chat: Option<i64>,
    /// Telegram refused this part's markup, or this picture as one.
    plain: bool,
    /// Of the request that comes next, in vain so far.
    tries: u32,
}

type Delivery<'a> = Call<'a, Telegram>;
type Parameters = Map<String, Value>;

/// The next request, or the end.
pub fn next(call: &Delivery<'_>, outgoing: &Outgoing, mut progress: Progress) -> Result<Step<Progress>, Error> {
    // Stored before its request left, and never answered.
    if let Some(Move::Send(_)) = progress.shown.take() {
        return Ok(step(progress, Next::Unknown("the gateway stopped before Telegram answered".into())));
    }
    let Some(place) = Place::of(outgoing, &progress) else {
        let why = format!("{:?} is no chat or topic of Telegram's", outgoing.address.peer);
        return Ok(step(progress, Next::Rejected(why)));
    };
    let request = match &outgoing.content {
        Content::Typing => {
            let mut parameters = place.chat();
            parameters.extend(place.thread.map(|thread| ("message_thread_id".into(), thread.into())));
            parameters.insert("action".into(), "typing".into());
            api::call(&call.settings, "sendChatAction", &parameters)?
        }
        Content::Reaction(reaction) => {
            // Telegram's list has each emoji without the selector of its picture.
            let emoji = reaction.emoji.replace('\u{fe0f}', "");
            let reactions = if emoji.is_empty() { json!([]) } else { json!([{"type": "emoji", "emoji": emoji}]) };
            let mut parameters = place.chat();
            parameters.insert("message_id".into(), number(&reaction.message_id));
            parameters.insert("reaction".into(), reactions);
            api::call(&call.settings, "setMessageReaction", &parameters)?
        }
        Content::File(_) if !progress.shown.is_empty() => return Ok(done(progress)),
        Content::File(file) => {
            progress.shown.begin(Move::Send(0));
            send_file(call, &place, outgoing, file, progress.plain)?
        }
        Content::Draft(markdown) | Content::Markdown(markdown) => {
            let parts = html::parts(markdown);
            let Some(next) = next_move(&progress.shown, &parts, outgoing) else { return Ok(done(progress)) };
            progress.shown.begin(next);
            match next {
                Move::Send(part) => {
                    let mut parameters = place.message(outgoing, part == 0);
                    parameters.extend(body(parts.get(part), progress.plain));
                    api::call(&call.settings, "sendMessage", &parameters)?
                }
                Move::Edit(part) => {
                    let mut parameters = place.shown(&progress.shown, part);
                    parameters.extend(body(parts.get(part), progress.plain));
                    api::call(&call.settings, "editMessageText", &parameters)?
                }
                Move::Delete(part) => api::call(&call.settings, "deleteMessage", &place.shown(&progress.shown, part))?,
            }
        }
    };
    let keys = vec![ALL.into(), place.limit()];
    Ok(step(progress, Next::Request(LimitedRequest { request, keys })))
}

/// Nothing is taken away while an answer still grows.
fn next_move(shown: &Shown, parts: &[Part], outgoing: &Outgoing) -> Option<Move> {
    let growing = matches!(outgoing.content, Content::Draft(_));
    let next = shown.next(parts.iter().map(|part| part.markup.as_str()));
    next.filter(|next| !(growing && matches!(next, Move::Delete(_))))
}

/// What follows from an answer.
pub fn answered(
    call: &Delivery<'_>,
    outgoing: &Outgoing,
    mut progress: Progress,
    outcome: &Outcome,
) -> Result<Step<Progress>, Error> {
    let asked = progress.shown.take();
    let result = api::result::<Value>(outcome, call.context.now);
    match (&outgoing.content, result) {
        // Shown for a moment or not: it comes again by itself.
        (Content::Typing, Err(Failure::Limited { after_ms, .. })) => Ok(limited(outgoing, progress, after_ms, done)),
        (Content::Typing, _) => Ok(done(progress)),
        (_, Ok(result)) => {
            progress.tries = 0;
            match (asked, &outgoing.content) {
                (Some(Move::Send(part)), content) => {
                    let Some(id) = result.get("message_id").and_then(Value::as_i64) else {
                        return Ok(step(progress, Next::Unknown("Telegram does not say which message it is".into())));
                    };
                    stands(&mut progress, part, id.to_string(), content);
                }
                (Some(Move::Edit(part)), content) => still_stands(&mut progress, part, content),
                (Some(Move::Delete(part)), _) => progress.shown.gone(part),
                // A reaction.
                (None, _) => return Ok(done(progress)),
            }
            next(call, outgoing, progress)
        }
        (_, Err(Failure::Limited { after_ms, .. })) => {
            Ok(limited(outgoing, progress, after_ms, |progress| step(progress, Next::Wait(after_ms))))
        }
        (_, Err(Failure::Migrated(chat))) if progress.chat != Some(chat) => {
            progress.chat = Some(chat);
            next(call, outgoing, progress)
        }
        (_, Err(Failure::Unknown(why))) if matches!(asked, Some(Move::Send(_))) => {
            Ok(step(progress, Next::Unknown(why)))
        }
        // The token: the owner is told of it by the channel's health, and may mend it.
        (_, Err(Failure::NotDone(_) | Failure::Unknown(_) | Failure::Refused(401 | 404, _))) => {
            Ok(retry(call, progress))
        }
        (content, Err(failure)) => refused(call, outgoing, progress, asked, content, failure.why()),
    }
}

/// What can be made of a refusal: <https://core.telegram.org/bots/api#making-requests> says only that
/// descriptions are for people, so these are Telegram's words of today.
fn refused(
    call: &Delivery<'_>,
    outgoing: &Outgoing,
    mut progress: Progress,
    asked: Option<Move>,
    content: &Content,
    why: String,
) -> Result<Step<Progress>, Error> {
    let says = |words: &str| why.contains(words);
    match (asked, content) {
        (Some(Move::Edit(part)), _) if says("message is not modified") => still_stands(&mut progress, part, content),
        // Someone deleted it.
        (Some(Move::Edit(part)), _) if says("message to edit not found") => progress.shown.gone(part),
        (Some(Move::Delete(part)), _) => progress.shown.gone(part),
        (Some(_), Content::Draft(_) | Content::Markdown(_)) if says("can't parse entities") && !progress.plain => {
            progress.plain = true;
        }
        // No picture by Telegram's measure: it goes as a document.
        (Some(_), Content::File(file)) if is_photo(file) && !progress.plain && says("Bad Request") => {
            progress.plain = true;
        }
        _ => return Ok(step(progress, Next::Rejected(why))),
    }
    next(call, outgoing, progress)
}

fn stands(progress: &mut Progress, part: usize, id: String, content: &Content) {
    let shows = match content {
        Content::Draft(markdown) | Content::Markdown(markdown) => {
            html::parts(markdown).into_iter().nth(part).map(|part| part.markup).unwrap_or_default()
        }
        _ => String::new(),
    };
    progress.shown.stands(part, id, &shows);
    progress.plain = false;
}

fn still_stands(progress: &mut Progress, part: usize, content: &Content) {
    let id = progress.shown.id(part).unwrap_or_default().to_owned();
    stands(progress, part, id, content);
}

fn step(progress: Progress, next: Next) -> Step<Progress> {
    Step { progress, holds: vec![], next }
}

fn done(progress: Progress) -> Step<Progress> {
    let ids = progress.shown.ids();
    step(progress, Next::Done(ids))
}

/// The host gives up on a delivery that takes too long.
fn retry(call: &Delivery<'_>, mut progress: Progress) -> Step<Progress> {
    let wait = backoff_ms(progress.tries, call.context.random);
    progress.tries = progress.tries.saturating_add(1);
    step(progress, Next::Wait(wait))
}

/// Telegram does not say whose limit was met, the chat's or the bot's.
fn limited(
    outgoing: &Outgoing,
    progress: Progress,
    after_ms: u32,
    then: impl FnOnce(Progress) -> Step<Progress>,
) -> Step<Progress> {
    let chat = Place::of(outgoing, &progress).map(|place| Hold { key: place.limit(), for_ms: after_ms });
    let all = Hold { key: ALL.into(), for_ms: after_ms.min(ALL_HOLD_MS) };
    Step { holds: chat.into_iter().chain([all]).collect(), ..then(progress) }
}

/// Where a message goes.
struct Place {
    /// A number, or the name of a channel: `@name`.
    chat: Value,
    thread: Option<i64>,
}

impl Place {
    fn of(outgoing: &Outgoing, progress: &Progress) -> Option<Self> {
        let peer = &outgoing.address.peer;
        let chat = match (progress.chat, peer.parse::<i64>()) {
            (Some(moved), _) => moved.into(),
            (None, Ok(chat)) => chat.into(),
            (None, Err(_)) if peer.starts_with('@') => peer.as_str().into(),
            (None, Err(_)) => return None,
        };
        let thread = outgoing.address.thread.as_ref().map(|thread| thread.parse()).transpose().ok()?;
        Some(Self { chat, thread })
    }

    /// The rate limit of this chat.
    fn limit(&self) -> String {
        format!("chat:{}", self.chat.as_str().map_or_else(|| self.chat.to_string(), str::to_owned))
    }

    fn chat(&self) -> Parameters {
        Parameters::from_iter([("chat_id".to_owned(), self.chat.clone())])
    }

    /// Of a new message. What is sent to a forum's general topic names no topic.
    fn message(&self, outgoing: &Outgoing, first: bool) -> Parameters {
        let mut parameters = self.chat();
        let thread = self.thread.filter(|thread| *thread != GENERAL_TOPIC);
        parameters.extend(thread.map(|thread| ("message_thread_id".to_owned(), thread.into())));
        let reply = outgoing.reply_to.as_ref().filter(|_| first).and_then(|id| id.parse::<i64>().ok());
        let reply = reply.map(|id| json!({"message_id": id, "allow_sending_without_reply": true}));
        parameters.extend(reply.map(|reply| ("reply_parameters".to_owned(), reply)));
        parameters
    }

    /// Of a message that stands.
    fn shown(&self, shown: &Shown, part: usize) -> Parameters {
        let mut parameters = self.chat();
        parameters.insert("message_id".into(), number(shown.id(part).unwrap_or_default()));
        parameters
    }
}

fn number(id: &str) -> Value {
    id.parse::<i64>().map_or_else(|_| id.into(), Value::from)
}

fn body(part: Option<&Part>, plain: bool) -> Parameters {
    let mut parameters = Parameters::new();
    let Some(part) = part else { return parameters };
    if plain {
        parameters.insert("text".into(), html::LIMIT.truncate(&part.plain).into());
    } else {
        parameters.insert("text".into(), part.markup.as_str().into());
        parameters.insert("parse_mode".into(), "HTML".into());
    }
    parameters
}

fn is_photo(file: &File) -> bool {
    matches!(file.mime_type.as_str(), "image/jpeg" | "image/png" | "image/webp") && file.size <= MAX_PHOTO
}

/// A picture, or else a document, whose bytes the host puts into the form.
fn send_file(
    call: &Delivery<'_>,
    place: &Place,
    outgoing: &Outgoing,
    file: &File,
    as_document: bool,
) -> Result<Outbound, Error> {
    let (method, name) =
        if is_photo(file) && !as_document { ("sendPhoto", "photo") } else { ("sendDocument", "document") };
    let parameters = place.message(outgoing, true).into_iter().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Field { name, filename: None, mime_type: None, value: FieldValue::Text(text(value)) }
    });
    let bytes = Field {
        name: name.into(),
        filename: Some(file.name.clone()),
        mime_type: Some(file.mime_type.clone()),
        value: FieldValue::File(file.id.clone()),
    };
    Ok(Outbound {
        method: "POST".into(),
        url: api::method(&call.settings, method),
        headers: vec![],
        body: Body::Form(parameters.chain([bytes]).collect()),
        timeout_ms: UPLOAD_MS,
    })
}

/// How long an upload may take, in milliseconds.
const UPLOAD_MS: u32 = 120_000;
