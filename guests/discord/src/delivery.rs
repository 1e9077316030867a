//! From the agent to Discord.
//!
//! A message carries a nonce, made of the delivery's id and the part's number. With `enforce_nonce`,
//! Discord gives back the message that it has already under this nonce, for some minutes. So within
//! these what was sent and not answered is simply sent again; later on it is `unknown`.

use std::hash::{DefaultHasher, Hasher as _};

use exoclaw_chat::{Move, Part, Shown, Verdict, backoff_ms, segment, verdict};
use exoclaw_guest::channel::{Call, Content, Hold, LimitedRequest, Next, Outcome, Outgoing, Step};
use exoclaw_guest::{Error, Response};
use serde::{Deserialize, Serialize};

use crate::Discord;
use crate::interactions::Handle;
use crate::limits::{self, GLOBAL};
use crate::markup;
use crate::send::{self, Place};
use crate::settings::Discord as Settings;

/// How long Discord is trusted to know a nonce: it says "the past few minutes" ("Create Message").
const NONCE_MS: u64 = 120_000;
/// What an operator reads of a message that may be there or not.
const UNANSWERED: &str = "Discord did not answer, and no longer knows whether the message was sent";
/// Tries of one request, with waits that double: a quarter of an hour.
const MAX_TRIES: u32 = 10;

/// How far a delivery is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    shown: Shown,
    /// Whether the interaction's own message is there for this delivery; none while that is not known.
    original: Option<bool>,
    /// Of the move that comes next, or is under way.
    attempt: Attempt,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Attempt {
    /// In vain so far.
    tries: u32,
    /// When the first was made that may have been carried out, in milliseconds.
    maybe: Option<u64>,
    /// When the one under way was made.
    at: u64,
    /// A hash of its text. By the time of the answer a draft may have grown.
    text: u64,
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
    pub fn new(call: &'a Call<'_, Discord>, outgoing: &'a Outgoing, progress: Progress) -> Self {
        let context = call.context;
        Self { settings: &call.settings, now: context.now, random: context.random, outgoing, progress }
    }

    /// To begin, when a draft has grown, after a wait and after a restart.
    pub fn next(mut self) -> Result<Step<Progress>, Error> {
        // Stored before its request left, and never answered.
        if self.progress.shown.take().is_some() {
            self.may_stand();
        }
        self.go(vec![])
    }

    /// What was asked last may have been carried out.
    fn may_stand(&mut self) {
        let at = self.progress.attempt.at;
        self.progress.attempt.maybe.get_or_insert(at);
    }

    /// Whether to send the part, perhaps again, could show it twice.
    fn could_double(&self) -> bool {
        self.progress.attempt.maybe.is_some_and(|first| first.saturating_add(NONCE_MS) < self.now)
    }

    /// What is edited comes to the same when it is edited twice.
    fn is_original(&self) -> bool {
        self.progress.original == Some(true) && self.progress.shown.is_empty()
    }

    /// The interaction that is answered, while its token lasts.
    fn interaction(&self) -> Option<Handle> {
        let handle: Handle = serde_json::from_slice(self.outgoing.handle.as_ref()?).ok()?;
        (self.now < handle.ends_at).then_some(handle)
    }

    fn place(&self) -> Place<'a> {
        let Outgoing { address, .. } = self.outgoing;
        Place { settings: self.settings, channel: segment(address.thread.as_ref().unwrap_or(&address.peer)) }
    }

    /// The next request, or the end.
    fn go(mut self, holds: Vec<Hold>) -> Result<Step<Progress>, Error> {
        let place = self.place();
        let outgoing = self.outgoing;
        let request = match &outgoing.content {
            Content::Typing => place.typing(),
            Content::Reaction(reaction) => place.react(&reaction.message_id, &reaction.emoji),
            Content::File(_) if !self.progress.shown.is_empty() => return Ok(self.done(holds)),
            Content::File(_) if self.could_double() => return Ok(self.unknown(UNANSWERED)),
            Content::File(file) => {
                self.begin(Move::Send(0), "");
                place.file(&nonce(outgoing, 0), file, outgoing.reply_to.as_deref())?
            }
            Content::Draft(markdown) | Content::Markdown(markdown) => {
                let parts = markup::parts(markdown);
                let Some(next) = self.next_move(&parts) else { return Ok(self.done(holds)) };
                if matches!(next, Move::Send(_)) && !self.is_original() && self.could_double() {
                    return Ok(self.unknown(UNANSWERED));
                }
                match (self.progress.original, self.interaction()) {
                    (None, Some(handle)) if self.progress.shown.is_empty() => send::original(self.settings, &handle),
                    (_, interaction) => self.message(&place, next, &parts, interaction)?,
                }
            }
        };
        let keys = vec![GLOBAL.to_owned(), self.route()];
        Ok(Step { progress: self.progress, holds, next: Next::Request(LimitedRequest { request, keys }) })
    }

    /// Nothing is taken away while an answer still grows: what came back would have the nonce of what went.
    fn next_move(&self, parts: &[Part]) -> Option<Move> {
        let growing = matches!(self.outgoing.content, Content::Draft(_));
        let next = self.progress.shown.next(parts.iter().map(|part| part.markup.as_str()));
        next.filter(|next| !(growing && matches!(next, Move::Delete(_))))
    }

    fn message(
        &mut self,
        place: &Place<'_>,
        next: Move,
        parts: &[Part],
        interaction: Option<Handle>,
    ) -> Result<exoclaw_guest::channel::Outbound, Error> {
        let (Move::Send(index) | Move::Edit(index) | Move::Delete(index)) = next;
        let text = parts.get(index).map(|part| part.markup.as_str()).unwrap_or_default();
        let claimed = interaction.filter(|_| index == 0 && self.progress.original == Some(true));
        let id = self.progress.shown.id(index).unwrap_or_default().to_owned();
        if claimed.is_none() && matches!(next, Move::Send(0)) {
            // Its token ended meanwhile: a message of the channel has to do.
            self.progress.original = self.progress.original.map(|_| false);
        }
        self.begin(next, text);
        match (next, claimed) {
            (Move::Send(_) | Move::Edit(_), Some(handle)) => send::edit_original(self.settings, &handle, text),
            (Move::Send(_), None) => {
                let reply = self.outgoing.reply_to.as_deref().filter(|_| index == 0);
                place.send(&nonce(self.outgoing, index), text, reply)
            }
            (Move::Edit(_), None) => place.edit(&id, text),
            (Move::Delete(_), _) => Ok(place.delete(&id)),
        }
    }

    fn begin(&mut self, next: Move, text: &str) {
        self.progress.shown.begin(next);
        self.progress.attempt.at = self.now;
        self.progress.attempt.text = hash(text);
    }

    /// The rate limit of what is asked next or was asked: Discord counts by method, route and channel.
    fn route(&self) -> String {
        let what = match (&self.outgoing.content, self.progress.shown.under_way()) {
            (Content::Typing, _) => "typing",
            (Content::Reaction(_), _) => "react",
            (_, None) => "interaction",
            (_, Some(Move::Send(_) | Move::Edit(_))) if self.is_original() => "interaction",
            (_, Some(Move::Send(_))) => "send",
            (_, Some(Move::Edit(_))) => "edit",
            (_, Some(Move::Delete(_))) => "delete",
        };
        format!("{what}:{}", self.place().channel)
    }

    /// What follows from an answer.
    pub fn answered(mut self, outcome: &Outcome) -> Result<Step<Progress>, Error> {
        let verdict = verdict(outcome, self.now);
        let route = self.route();
        // It comes again by itself, and to nobody's harm not at all.
        if matches!(self.outgoing.content, Content::Typing) {
            let holds = match &verdict {
                Verdict::Limited(response, _) => vec![limits::exceeded(response, &route, self.now)],
                Verdict::Done(response) | Verdict::Refused(response) => limits::learnt(response, &route),
                Verdict::NotDone(_) | Verdict::Unknown(_) => vec![],
            };
            return Ok(self.done(holds));
        }
        match verdict {
            Verdict::Done(response) => self.did(response, &route),
            Verdict::Limited(response, _) => {
                self.progress.shown.take();
                let hold = limits::exceeded(response, &route, self.now);
                let next = Next::Wait(hold.for_ms);
                Ok(Step { progress: self.progress, holds: vec![hold], next })
            }
            Verdict::NotDone(why) => {
                let asked = self.progress.shown.take();
                Ok(self.again(asked, why))
            }
            Verdict::Unknown(why) => {
                self.may_stand();
                let asked = self.progress.shown.take();
                Ok(self.again(asked, why))
            }
            Verdict::Refused(response) => self.refused(response, &route),
        }
    }

    fn did(mut self, response: &Response, route: &str) -> Result<Step<Progress>, Error> {
        let holds = limits::learnt(response, route);
        let Some(asked) = self.progress.shown.take() else {
            if matches!(self.outgoing.content, Content::Reaction(_)) {
                return Ok(self.done(holds));
            }
            self.progress.original = Some(send::is_waiting(response));
            self.progress.attempt = Attempt::default();
            return self.go(holds);
        };
        match asked {
            Move::Send(part) => {
                let Some(id) = send::id(response) else {
                    return Ok(self.unknown("Discord does not say which message it is"));
                };
                self.stands(part, &id);
            }
            Move::Edit(part) => self.still_stands(part),
            Move::Delete(part) => self.progress.shown.gone(part),
        }
        self.progress.attempt = Attempt::default();
        self.go(holds)
    }

    fn still_stands(&mut self, part: usize) {
        let id = self.progress.shown.id(part).unwrap_or_default().to_owned();
        self.stands(part, &id);
    }

    /// With the text that was asked for, or with one that is not known: then it is edited next.
    fn stands(&mut self, part: usize, id: &str) {
        let parts = match &self.outgoing.content {
            Content::Draft(markdown) | Content::Markdown(markdown) => markup::parts(markdown),
            Content::File(_) | Content::Reaction(_) | Content::Typing => vec![],
        };
        let Attempt { maybe, text, .. } = self.progress.attempt;
        let first = self.progress.shown.id(part).is_none();
        let known = parts.get(part).map(|part| part.markup.as_str()).filter(|markup| hash(markup) == text);
        // What an earlier try left there had perhaps an earlier text.
        let known = known.filter(|_| !(first && maybe.is_some()));
        self.progress.shown.stands(part, id, known.unwrap_or_default());
    }

    fn refused(mut self, response: &Response, route: &str) -> Result<Step<Progress>, Error> {
        let holds = limits::learnt(response, route);
        let asked = self.progress.shown.take();
        match (asked, response.status) {
            // The interaction can't be answered, or not any more.
            (None, _) if !matches!(self.outgoing.content, Content::Reaction(_)) => self.progress.original = Some(false),
            (Some(Move::Send(0)), 401 | 403 | 404) if self.is_original() => self.progress.original = Some(false),
            // Somebody removed it: it is not put there again.
            (Some(Move::Edit(part)), 404) => self.still_stands(part),
            (Some(Move::Delete(part)), 404) => self.progress.shown.gone(part),
            _ => {
                return Ok(Step { progress: self.progress, holds, next: Next::Rejected(send::refusal(response)) });
            }
        }
        self.progress.attempt = Attempt::default();
        self.go(holds)
    }

    fn again(mut self, asked: Option<Move>, why: String) -> Step<Progress> {
        let tries = self.progress.attempt.tries;
        if tries >= MAX_TRIES {
            let maybe = self.progress.attempt.maybe.is_some() && matches!(asked, Some(Move::Send(_)));
            return if maybe { self.unknown(&why) } else { self.step(Next::Rejected(why)) };
        }
        self.progress.attempt.tries = tries + 1;
        let wait = backoff_ms(tries, self.random);
        self.step(Next::Wait(wait))
    }

    /// Whoever tries again after this, sends again.
    fn unknown(mut self, why: &str) -> Step<Progress> {
        self.progress.shown.take();
        self.progress.attempt = Attempt::default();
        self.step(Next::Unknown(why.to_owned()))
    }

    fn done(self, holds: Vec<Hold>) -> Step<Progress> {
        let ids = self.progress.shown.ids();
        Step { holds, ..self.step(Next::Done(ids)) }
    }

    fn step(self, next: Next) -> Step<Progress> {
        Step { progress: self.progress, holds: vec![], next }
    }
}

/// At most 25 characters: an id has 20, and no answer has ten thousand parts.
fn nonce(outgoing: &Outgoing, part: usize) -> String {
    format!("{}-{part}", outgoing.id)
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}
