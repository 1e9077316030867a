//! What is counted of a request, and how much counting it is worth.

use std::borrow::Cow;
use std::hash::Hash;

use super::cache::Cache;
use super::encoding::Encoding;
use super::family::{Family, Framing};
use super::schema;
use crate::metering::estimate::text_tokens;
use crate::provider::ToolSpec;

/// The shortest text, in bytes, whose count is remembered: shorter ones are counted as fast as they are looked up.
const REMEMBERED: usize = 48;

/// What a tool takes besides its words and its schema, for Anthropic's models and others whose form of it is not
/// known: the keys and quotes of its JSON.
const TOOL: u64 = 12;

/// How texts are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Exactly, as long as no more than so many bytes have to be that were not counted before.
    UpTo(usize),
    /// Exactly, however long it takes.
    Any,
    /// By their length, where there is no time for more.
    Rough,
}

/// The counts of a request so far.
pub(super) struct Tally<'a> {
    cache: &'a Cache,
    encoding: Encoding,
    effort: Effort,
    /// Tokens of what was counted, all by our encoding.
    pub(super) base: u64,
    /// Tokens of what the provider's documentation counts.
    pub(super) fixed: u64,
    /// Nothing but texts, in a known frame.
    pub(super) is_exact: bool,
    /// Something was left out, since it was too much.
    pub(super) is_cut: bool,
}

impl<'a> Tally<'a> {
    pub(super) fn new(cache: &'a Cache, family: Family, effort: Effort) -> Self {
        let is_exact = matches!(family.framing, Framing::Cookbook { .. }) && effort != Effort::Rough;
        // Loading the tables is more than anyone may wait for.
        let is_cut = matches!(effort, Effort::UpTo(_)) && !family.encoding.is_loaded();
        Self { cache, encoding: family.encoding, effort, base: 0, fixed: 0, is_exact, is_cut }
    }

    /// What is around texts.
    pub(super) fn add(&mut self, tokens: u64) {
        self.base = self.base.saturating_add(tokens);
    }

    /// What is counted by other means than ours, which makes it an estimate.
    pub(super) fn add_fixed(&mut self, tokens: u64) {
        self.fixed = self.fixed.saturating_add(tokens);
        self.is_exact = false;
    }

    pub(super) fn text(&mut self, text: &str) {
        let encoding = self.encoding;
        match text.len() < REMEMBERED {
            true => self.count(text.len(), || text_tokens(text), || encoding.count(text)),
            false => self.remembered((encoding, text), text.len(), || text_tokens(text), || encoding.count(text)),
        }
    }

    /// A tool as OpenAI's cookbook counts it, `function` being what it takes besides its words.
    pub(super) fn function(&mut self, tool: &ToolSpec, function: u64) {
        let encoding = self.encoding;
        let words = (encoding, function, &tool.name, &tool.description, tool.input_schema.get());
        let (length, rough) = rough(tool);
        self.remembered(
            words,
            length,
            || rough,
            || {
                let lines = schema::lines(tool);
                function + lines.fixed + lines.texts.iter().map(|line| encoding.count(line)).sum::<u64>()
            },
        );
    }

    /// A tool as JSON.
    pub(super) fn tool(&mut self, tool: &ToolSpec) {
        let encoding = self.encoding;
        let words = (encoding, &tool.name, &tool.description, tool.input_schema.get());
        let (length, rough) = rough(tool);
        self.remembered(
            words,
            length,
            || rough,
            || {
                let texts = [&tool.name, &tool.description, tool.input_schema.get()];
                texts.map(|text| encoding.count(text)).iter().sum::<u64>() + TOOL
            },
        );
    }

    fn remembered(&mut self, what: impl Hash, length: usize, rough: impl FnOnce() -> u32, count: impl FnOnce() -> u64) {
        if self.effort == Effort::Rough {
            return self.add(u64::from(rough()));
        }
        let key = self.cache.key(what, length);
        if let Some(tokens) = self.cache.get(key) {
            return self.add(tokens);
        }
        let cache = self.cache;
        self.count(length, rough, || {
            let tokens = count();
            cache.put(key, tokens);
            tokens
        });
    }

    fn count(&mut self, length: usize, rough: impl FnOnce() -> u32, count: impl FnOnce() -> u64) {
        let tokens = match &mut self.effort {
            Effort::Rough => u64::from(rough()),
            Effort::Any => count(),
            Effort::UpTo(left) => match left.checked_sub(length).filter(|_| !self.is_cut) {
                Some(rest) => {
                    *left = rest;
                    count()
                }
                None => {
                    self.is_cut = true;
                    return;
                }
            },
        };
        self.add(tokens);
    }
}

/// The bytes of a tool's words, and roughly their tokens.
fn rough(tool: &ToolSpec) -> (usize, u32) {
    let texts = [&tool.name, &tool.description, tool.input_schema.get()];
    let tokens = texts.map(text_tokens).into_iter().fold(0, u32::saturating_add);
    (texts.map(str::len).iter().sum(), tokens)
}

/// Texts of one message, as they are sent: joined, so that what two of them become together is counted.
pub(super) fn joined<'a>(mut texts: impl Iterator<Item = Cow<'a, str>>) -> Option<Cow<'a, str>> {
    let first = texts.next()?;
    Some(texts.fold(first, |before, text| {
        let mut before = before.into_owned();
        before.push_str("\n\n");
        before.push_str(&text);
        Cow::Owned(before)
    }))
}
