//! From the agent to Slack.
//!
//! Slack knows no idempotency keys: what was posted and not answered may stand there or not, and is
//! `unknown`. Edits, deletions and reactions come to the same when they are made twice.

use std::hash::{DefaultHasher, Hasher as _};

use exoclaw_chat::{Limit, Move, Part, Shown, Starred, Unit, backoff_ms, render};
use exoclaw_guest::Error;
use exoclaw_guest::channel::{
    Body, Call, Content, File, Hold, LimitedRequest, Next, Outbound, Outcome, Outgoing, Reaction, Step, text,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Slack;
use crate::api::{self, Failure, Refusal};
use crate::emoji;
use crate::settings::Slack as Settings;

/// "For best results, limit the number of characters in the text field to 4,000" (`chat.postMessage`).
const LIMIT: Limit = Limit::new(4_000, Unit::Chars);
/// How long a file may take.
const UPLOAD_MS: u32 = 120_000;
/// Tries of one request, with waits that double: a quarter of an hour.
const MAX_TRIES: u32 = 10;

/// How far a delivery is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    shown: Shown,
    /// Of a file: what is uploaded, and how far that is.
    upload: Option<Upload>,
    /// Of the request that comes next, in vain so far.
    tries: u32,
    /// A hash of the text that was asked for. By the time of the answer a draft may have grown.
    asked: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Upload {
    file_id: String,
    upload_url: String,
    /// All bytes are there.
    #[serde(default)]
    sent: bool,
}

/// One delivery on its way.
pub struct Delivery<'a> {
    settings: &'a Settings,
    now: u64,
    random: u64,
    outgoing: &'a Outgoing,
    progress: Progress,
}

impl<'a> Delivery<'a> {
    pub fn new(call: &'a Call<'_, Slack>, outgoing: &'a Outgoing, progress: Progress) -> Self {
        let context = call.context;
        Self { settings: &call.settings, now: context.now, random: context.random, outgoing, progress }
    }

    /// To begin, when a draft has grown, after a wait and after a restart.
    pub fn next(mut self) -> Result<Step<Progress>, Error> {
        // Stored before its request left, and never answered.
        match self.progress.shown.take() {
            Some(Move::Send(_)) => Ok(self.step(Next::Unknown("the gateway stopped before Slack answered".into()))),
            _ => self.go(),
        }
    }

    /// The next request, or the end.
    fn go(self) -> Result<Step<Progress>, Error> {
        let outgoing = self.outgoing;
        match &outgoing.content {
            Content::Typing => Ok(self.done()),
            Content::Reaction(reaction) => self.react(reaction),
            Content::File(_) if !self.progress.shown.is_empty() => Ok(self.done()),
            Content::File(file) => self.file(file),
            Content::Draft(markdown) | Content::Markdown(markdown) => {
                let parts = parts(markdown);
                match self.next_move(&parts) {
                    Some(next) => self.message(next, &parts),
                    None => Ok(self.done()),
                }
            }
        }
    }

    /// Nothing is taken away while an answer still grows.
    fn next_move(&self, parts: &[Part]) -> Option<Move> {
        let growing = matches!(self.outgoing.content, Content::Draft(_));
        let next = self.progress.shown.next(parts.iter().map(|part| part.markup.as_str()));
        next.filter(|next| !(growing && matches!(next, Move::Delete(_))))
    }

    fn message(mut self, next: Move, parts: &[Part]) -> Result<Step<Progress>, Error> {
        let (Move::Send(index) | Move::Edit(index) | Move::Delete(index)) = next;
        let text = parts.get(index).map(|part| part.markup.as_str()).unwrap_or_default();
        let mut arguments = self.channel();
        match next {
            Move::Send(_) => arguments.extend(self.thread()),
            Move::Edit(_) | Move::Delete(_) => {
                arguments.insert("ts".into(), self.progress.shown.id(index).unwrap_or_default().into());
            }
        }
        if !matches!(next, Move::Delete(_)) {
            arguments.insert("text".into(), text.into());
        }
        if matches!(next, Move::Send(_)) {
            arguments.insert("unfurl_links".into(), false.into());
            arguments.insert("unfurl_media".into(), false.into());
        }
        self.progress.asked = hash(text);
        self.progress.shown.begin(next);
        self.call(&arguments)
    }

    fn react(self, reaction: &Reaction) -> Result<Step<Progress>, Error> {
        let Some(name) = emoji::name(&reaction.emoji) else {
            let why = format!("Slack's name of the emoji {:?} is not known", reaction.emoji);
            return Ok(self.step(Next::Rejected(why)));
        };
        let mut arguments = self.channel();
        arguments.insert("timestamp".into(), reaction.message_id.as_str().into());
        arguments.insert("name".into(), name.into());
        self.call(&arguments)
    }

    /// In three steps ("Working with files"): where to, the bytes, and into which channel.
    fn file(mut self, file: &File) -> Result<Step<Progress>, Error> {
        let request = match &self.progress.upload {
            None => {
                let length = file.size.to_string();
                api::form(self.settings, "files.getUploadURLExternal", &[("filename", &file.name), ("length", &length)])
            }
            Some(upload) if !upload.sent => Outbound {
                method: "POST".into(),
                url: text(upload.upload_url.as_str()),
                headers: vec![("content-type".into(), text("application/octet-stream"))],
                body: Body::File(file.id.clone()),
                timeout_ms: UPLOAD_MS,
            },
            Some(upload) => {
                let mut arguments = Map::new();
                arguments.insert("files".into(), json!([{ "id": upload.file_id, "title": file.name }]));
                arguments.insert("channel_id".into(), self.outgoing.address.peer.as_str().into());
                arguments.extend(self.thread());
                self.progress.shown.begin(Move::Send(0));
                return self.call(&arguments);
            }
        };
        Ok(self.request(request))
    }

    fn channel(&self) -> Map<String, Value> {
        Map::from_iter([("channel".to_owned(), self.outgoing.address.peer.as_str().into())])
    }

    fn thread(&self) -> Option<(String, Value)> {
        self.outgoing.address.thread.as_deref().map(|thread| ("thread_ts".to_owned(), thread.into()))
    }

    /// The method that is called next or was called; Slack limits each by itself.
    fn method(&self) -> &'static str {
        match (&self.outgoing.content, self.progress.shown.under_way()) {
            (Content::Reaction(_), _) => "reactions.add",
            (Content::File(_), Some(_)) => "files.completeUploadExternal",
            (Content::File(_), None) => "files.getUploadURLExternal",
            (_, Some(Move::Edit(_))) => "chat.update",
            (_, Some(Move::Delete(_))) => "chat.delete",
            (_, _) => "chat.postMessage",
        }
    }

    fn call(self, arguments: &Map<String, Value>) -> Result<Step<Progress>, Error> {
        let request = api::call(self.settings, self.method(), arguments)?;
        Ok(self.request(request))
    }

    fn request(self, request: Outbound) -> Step<Progress> {
        let keys = vec![self.method().to_owned()];
        self.step(Next::Request(LimitedRequest { request, keys }))
    }

    /// What follows from an answer.
    pub fn answered(mut self, outcome: &Outcome) -> Result<Step<Progress>, Error> {
        let method = self.method();
        if self.is_upload() {
            return self.uploaded(outcome);
        }
        let result = api::result::<Value>(outcome, self.now);
        let asked = self.progress.shown.take();
        match result {
            Ok(answer) => self.did(asked, &answer),
            Err(Failure::Limited(for_ms)) => {
                let holds = vec![Hold { key: method.to_owned(), for_ms }];
                Ok(Step { holds, ..self.step(Next::Wait(for_ms)) })
            }
            // Another post would stand beside the first, if that stands.
            Err(Failure::Unknown(why)) if matches!(asked, Some(Move::Send(_))) => Ok(self.step(Next::Unknown(why))),
            Err(Failure::NotDone(why) | Failure::Unknown(why)) => Ok(self.again(why)),
            Err(Failure::Refused(refusal)) => self.refused(asked, &refusal),
        }
    }

    fn did(mut self, asked: Option<Move>, answer: &Value) -> Result<Step<Progress>, Error> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        self.progress.tries = 0;
        match (asked, &self.outgoing.content) {
            (None, Content::File(_)) => {
                let (Some(file_id), Some(upload_url)) = (text("file_id"), text("upload_url")) else {
                    return Ok(self.step(Next::Rejected("Slack does not say where to upload the file".into())));
                };
                if !self.settings.is_file(upload_url) {
                    let why = "Slack names an address to upload to that is not one of its own";
                    return Ok(self.step(Next::Rejected(why.into())));
                }
                let (file_id, upload_url) = (file_id.to_owned(), upload_url.to_owned());
                self.progress.upload = Some(Upload { file_id, upload_url, sent: false });
            }
            (Some(_), Content::File(_)) => {
                let id = self.progress.upload.as_ref().map(|upload| upload.file_id.clone()).unwrap_or_default();
                self.progress.shown.stands(0, id, "");
            }
            (Some(Move::Send(part)), _) => {
                let Some(ts) = text("ts") else {
                    return Ok(self.step(Next::Unknown("Slack does not say which message it is".into())));
                };
                self.stands(part, ts);
            }
            (Some(Move::Edit(part)), _) => self.still_stands(part),
            (Some(Move::Delete(part)), _) => self.progress.shown.gone(part),
            (None, _) => return Ok(self.done()),
        }
        self.go()
    }

    /// With the text that was asked for, or with one that is not known: then it is edited next.
    fn stands(&mut self, part: usize, ts: &str) {
        let parts = match &self.outgoing.content {
            Content::Draft(markdown) | Content::Markdown(markdown) => parts(markdown),
            Content::File(_) | Content::Reaction(_) | Content::Typing => vec![],
        };
        let asked = self.progress.asked;
        let known = parts.get(part).map(|part| part.markup.as_str()).filter(|markup| hash(markup) == asked);
        self.progress.shown.stands(part, ts, known.unwrap_or_default());
    }

    fn still_stands(&mut self, part: usize) {
        let ts = self.progress.shown.id(part).unwrap_or_default().to_owned();
        self.stands(part, &ts);
    }

    fn refused(mut self, asked: Option<Move>, refusal: &Refusal) -> Result<Step<Progress>, Error> {
        match (asked, refusal.code.as_str()) {
            (None, "already_reacted") => return Ok(self.done()),
            // Somebody removed it: it is not put there again.
            (Some(Move::Edit(part)), "message_not_found") => self.still_stands(part),
            (Some(Move::Delete(part)), "message_not_found") => self.progress.shown.gone(part),
            _ => return Ok(self.step(Next::Rejected(refusal.why()))),
        }
        self.go()
    }

    /// Whether the bytes of a file are on their way.
    fn is_upload(&self) -> bool {
        let is_file = matches!(self.outgoing.content, Content::File(_));
        is_file && self.progress.upload.as_ref().is_some_and(|upload| !upload.sent)
    }

    /// Slack answers 200 to bytes that it has, in plain text. What went wrong is begun anew, which
    /// nobody sees: only the last step shows the file.
    fn uploaded(mut self, outcome: &Outcome) -> Result<Step<Progress>, Error> {
        use exoclaw_chat::{Verdict, verdict};

        match verdict(outcome, self.now) {
            Verdict::Done(_) => {
                self.progress.tries = 0;
                if let Some(upload) = &mut self.progress.upload {
                    upload.sent = true;
                }
                self.go()
            }
            Verdict::Limited(_, pause) => Ok(self.step(Next::Wait(pause.unwrap_or(1_000).max(1)))),
            Verdict::NotDone(why) | Verdict::Unknown(why) => {
                self.progress.upload = None;
                Ok(self.again(why))
            }
            Verdict::Refused(response) => {
                let why = format!("Slack does not take the file: HTTP {}", response.status);
                Ok(self.step(Next::Rejected(why)))
            }
        }
    }

    fn again(mut self, why: String) -> Step<Progress> {
        if self.progress.tries >= MAX_TRIES {
            return self.step(Next::Rejected(why));
        }
        let wait = backoff_ms(self.progress.tries, self.random);
        self.progress.tries += 1;
        self.step(Next::Wait(wait))
    }

    fn done(self) -> Step<Progress> {
        let ids = self.progress.shown.ids();
        self.step(Next::Done(ids))
    }

    fn step(self, next: Next) -> Step<Progress> {
        Step { progress: self.progress, holds: vec![], next }
    }
}

fn parts(markdown: &str) -> Vec<Part> {
    render(markdown, &Starred::Slack, LIMIT)
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}
