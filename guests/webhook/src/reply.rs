//! From the agent to the platform: one templated request for each part of an answer.

use std::collections::BTreeMap;

use exoclaw_chat::{Limit, Move, Plain, Shown, Unit, Verdict, backoff_ms, header, render, retry_after_ms, verdict};
use exoclaw_guest::Error;
use exoclaw_guest::channel::{
    Body, Call, Content, Hold, LimitedRequest, Next, Outbound, Outcome, Outgoing, Piece, Step, Template,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::AnyWebhook;
use crate::markdown::CommonMark;
use crate::settings::{Format, HeaderSettings, Reply};
use crate::shape::Pieces;
use crate::template::{Answer, Reference, WritePart, Writing, shown};

/// The rate limit that answers count against.
const LIMIT: &str = "replies";
/// How long a request may take, in milliseconds.
const TIMEOUT: u32 = 30_000;
/// So much of an error's body is shown to the operator, in characters.
const EXCERPT: usize = 200;

/// How far it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    shown: Shown,
    /// How often it was put off.
    tries: u32,
}

pub fn next(reply: Option<&Reply>, outgoing: &Outgoing, mut progress: Progress) -> Result<Step<Progress>, Error> {
    let rejected = |why: String| Ok(Next::Rejected(why).into());
    let markdown = match &outgoing.content {
        Content::Typing | Content::Draft(_) => return Ok(Next::Done(vec![]).into()),
        Content::Markdown(markdown) => markdown,
        Content::File(_) | Content::Reaction(_) => return rejected("this channel sends texts only".into()),
    };
    let Some(reply) = reply else {
        return rejected("this channel only listens: its settings have no `reply`".into());
    };
    let parts = reply.parts(markdown);
    let Some(next @ Move::Send(index)) = progress.shown.next_unsent(parts.iter().map(String::as_str)) else {
        return Ok(Next::Done(progress.shown.ids()).into());
    };
    let event = match outgoing.handle.as_deref() {
        Some(handle) if !handle.is_empty() => serde_json::from_slice(handle)?,
        _ => BTreeMap::new(),
    };
    let id = part_id(outgoing, index);
    let answer = Answer {
        text: parts.get(index).map_or("", String::as_str),
        peer: &outgoing.address.peer,
        thread: outgoing.address.thread.as_deref().unwrap_or_default(),
        id: &id,
        event: &event,
    };
    let request = match reply.request(&answer) {
        Ok(request) => request,
        Err(why) => return rejected(why),
    };
    progress.shown.begin(next);
    let next = Next::Request(LimitedRequest { request, keys: vec![LIMIT.into()] });
    Ok(Step { progress, holds: vec![], next })
}

pub fn answered(
    call: &Call<'_, AnyWebhook>,
    outgoing: &Outgoing,
    mut progress: Progress,
    outcome: &Outcome,
) -> Result<Step<Progress>, Error> {
    let (now, random) = (call.context.now, call.context.random);
    let Some(reply) = &call.settings.reply else { return next(None, outgoing, progress) };
    let _ = progress.shown.take();
    // GitHub answers a limit with 403: one that says when to come again is meant so.
    let wait = outcome.as_ref().ok().filter(|response| response.status == 403).and_then(|response| {
        retry_after_ms(response, now).or_else(|| {
            let reset: u64 = header(response, "x-ratelimit-reset")?.parse().ok()?;
            let is_spent = header(response, "x-ratelimit-remaining")? == "0";
            is_spent.then(|| {
                u32::try_from(reset.saturating_mul(1000).saturating_sub(now))
                    .unwrap_or(u32::MAX)
                    .clamp(1_000, 3_600_000)
            })
        })
    });
    let limited = match verdict(outcome, now) {
        Verdict::Done(response) => {
            let part = progress.shown.ids().len();
            let given = reply.message_id.as_ref().and_then(|reference| id(reference, &response.body));
            progress.shown.stands(part, given.unwrap_or_else(|| part_id(outgoing, part)), "");
            return next(Some(reply), outgoing, Progress { tries: 0, ..progress });
        }
        Verdict::Limited(_, wait) => Some(wait.unwrap_or_else(|| backoff_ms(progress.tries, random))),
        Verdict::Refused(_) if wait.is_some() => wait,
        Verdict::NotDone(_) => None,
        // Where it tells repeats, it can simply be asked again.
        Verdict::Unknown(_) if reply.idempotent => None,
        Verdict::Unknown(why) => return Ok(Step { progress, ..Next::Unknown(why).into() }),
        Verdict::Refused(response) => {
            let body = String::from_utf8_lossy(&response.body);
            let body: String = body.chars().filter(|char| !char.is_control()).take(EXCERPT).collect();
            return Ok(Next::Rejected(format!("the platform answered with {}: {body}", response.status)).into());
        }
    };
    let wait = limited.unwrap_or_else(|| backoff_ms(progress.tries, random));
    progress.tries = progress.tries.saturating_add(1);
    let holds = limited.map(|for_ms| Hold { key: LIMIT.into(), for_ms }).into_iter().collect();
    Ok(Step { progress, holds, next: Next::Wait(wait) })
}

/// Fits an idempotency key, and stays the same when the part is sent again.
fn part_id(outgoing: &Outgoing, part: usize) -> String {
    format!("{}-{part}", outgoing.id)
}

fn id(reference: &Reference, body: &[u8]) -> Option<String> {
    let Reference::Pointer(pointer) = reference else { return None };
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(shown(body.pointer(pointer))).filter(|id| !id.is_empty() && id.len() <= 1 << 10)
}

impl Reply {
    fn templates(&self) -> impl Iterator<Item = &Writing> {
        self.headers.iter().map(|header| &header.value).chain([&self.path])
    }

    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.templates().flat_map(Writing::secrets).chain(self.body.secrets())
    }

    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.templates().flat_map(Writing::references).chain(self.body.references())
    }

    /// What a schema can't say.
    pub fn check(&self) -> Result<(), String> {
        let is_path = |part: &WritePart| match part {
            WritePart::Text(text) => {
                text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\\<>\"^`{|}".contains(&byte))
            }
            _ => true,
        };
        if !matches!(self.path.0.first(), Some(WritePart::Text(text)) if text.starts_with('/')) {
            return Err("`path` begins with / as text".into());
        }
        if !self.path.0.iter().all(is_path) {
            return Err("`path` has characters that no address may have; percent-encode them".into());
        }
        if matches!(self.message_id, Some(Reference::Header(_))) {
            return Err("`reply.message_id` is a JSON pointer".into());
        }
        Ok(())
    }

    fn parts(&self, markdown: &str) -> Vec<String> {
        let limit = Limit::new(self.max_length, Unit::Chars);
        let parts = match self.format {
            // As the model wrote it, where it fits.
            Format::Markdown if markdown.chars().count() <= self.max_length => return vec![markdown.to_owned()],
            Format::Markdown => render(markdown, &CommonMark, limit),
            Format::Plain => render(markdown, &Plain, limit),
        };
        parts.into_iter().map(|part| part.markup).collect()
    }

    fn request(&self, answer: &Answer<'_>) -> Result<Outbound, String> {
        let mut headers = vec![];
        for HeaderSettings { name, value } in &self.headers {
            headers
                .push((name.to_ascii_lowercase(), filled(value, answer, |text| text.replace(char::is_control, " "))?));
        }
        if !self.headers.iter().any(|header| header.name.eq_ignore_ascii_case("content-type")) {
            headers.push(("content-type".into(), exoclaw_guest::channel::text("application/json")));
        }
        Ok(Outbound {
            method: self.method.name().into(),
            url: self.url(answer)?,
            headers,
            body: Body::Text(self.body.filled(answer)),
            timeout_ms: TIMEOUT,
        })
    }

    /// Whatever is filled in stays within its segment or parameter.
    fn url(&self, answer: &Answer<'_>) -> Result<Template, String> {
        let path = filled(&self.path, answer, percent_encoded)?;
        let text: String = path
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Secret(_) => "*",
            })
            .collect();
        let segments: Vec<_> = text.split('?').next().unwrap_or_default().split('/').skip(1).collect();
        let is_wrong = |(at, segment): &(usize, &&str)| {
            matches!(**segment, "." | "..") || segment.is_empty() && at + 1 < segments.len()
        };
        if let Some((_, wrong)) = segments.iter().enumerate().find(is_wrong) {
            return Err(format!("the event makes a path with the segment {wrong:?}"));
        }
        let mut url = Pieces::default();
        url.text(self.base_url.trim_end_matches('/'));
        for piece in path {
            match piece {
                Piece::Text(text) => url.text(&text),
                Piece::Secret(name) => url.secret(&name),
            }
        }
        Ok(url.0)
    }
}

/// A template with its places filled in; one that is empty makes no request.
fn filled(writing: &Writing, answer: &Answer<'_>, encode: impl Fn(&str) -> String) -> Result<Template, String> {
    let mut pieces = Pieces::default();
    for part in &writing.0 {
        match part {
            WritePart::Text(text) => pieces.text(text),
            WritePart::Secret(name) => pieces.secret(name),
            WritePart::Answer(word) => pieces.text(&encode(answer.word(*word))),
            WritePart::Event(reference) => {
                let value = shown(answer.event.get(&reference.to_string()));
                if value.is_empty() {
                    return Err(format!("the answer needs {{{reference}}} of an event, and there is none"));
                }
                pieces.text(&encode(&value));
            }
        }
    }
    Ok(pieces.0)
}

/// RFC 3986, section 2.3: unreserved characters stand for themselves.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
