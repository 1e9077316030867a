//! TOML into a tree that knows its places, with every mistake in the syntax at once.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::DeTable;

use super::excerpt::line_around;
use super::problem::Problem;

/// A parsed text.
pub(super) struct Document<'i> {
    pub(super) root: DeTable<'i>,
    pub(super) problems: Vec<Problem>,
    /// Starts of the lines that have a mistake: what else is wrong there follows from it.
    broken: BTreeSet<usize>,
}

impl Document<'_> {
    /// Whether a place is on a line that has a mistake already, or under a header that has.
    pub(super) fn is_broken_at(&self, text: &str, at: usize) -> bool {
        let line = line_around(text, at.min(text.len())).start;
        let is_header = |&&start: &&usize| text[start..].trim_start().starts_with('[');
        self.broken.contains(&line)
            || self.broken.range(..line).rfind(is_header).is_some_and(|&header| {
                // No other header in between.
                !text[header..line].lines().skip(1).any(|line| line.trim_start().starts_with('['))
            })
    }
}

/// Parses as much as it can. `scratch` holds the text that the tree borrows where that differs
/// from `text`.
pub(super) fn parse<'i>(text: &'i str, scratch: &'i mut String) -> Document<'i> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut document = Document { root: root.into_inner(), problems: Vec::new(), broken: BTreeSet::new() };
    document.add(text, &errors);
    // The parser gives up at a line of bare words. Without them it sees the rest.
    let bare: Vec<Range<usize>> = document
        .broken
        .iter()
        .map(|&start| line_around(text, start))
        .filter(|line| !text[line.clone()].contains(['=', '[', ']', '{', '}', '"', '\'']))
        .collect();
    if !bare.is_empty() {
        *scratch = blanked(text, &bare);
        let (root, errors) = DeTable::parse_recoverable(scratch);
        document.root = root.into_inner();
        document.add(text, &errors);
    }
    document
}

impl Document<'_> {
    /// Keeps the first mistake of each line.
    fn add(&mut self, text: &str, errors: &[toml::de::Error]) {
        let mut errors: Vec<(Range<usize>, &str)> =
            errors.iter().map(|error| (visible(text, error.span().unwrap_or(0..0)), error.message())).collect();
        errors.sort_by_key(|(span, _)| span.start);
        for (span, message) in errors {
            if self.broken.insert(line_around(text, span.start).start) {
                self.problems.push(explain(text, span, message));
            }
        }
    }
}

/// A mistake at the end of the file is shown at the end of its last line.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    let start = span.start.min(text.len());
    let start = (0..=start).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    if text[start..].trim().is_empty() && span.is_empty() && text[..start].ends_with('\n') {
        let end = text[..start].trim_end().len();
        return end..end;
    }
    start..span.end.clamp(start, text.len())
}

fn explain(text: &str, span: Range<usize>, message: &str) -> Problem {
    match message {
        message if message.starts_with("string values must be quoted") && span.is_empty() => {
            Problem::new(span, "a value is missing")
        }
        message if message.starts_with("string values must be quoted") => {
            Problem::new(span, "a text must stand in quotes").help("write \"…\"")
        }
        message if message.starts_with("duplicate key") => {
            Problem::new(span, "this key is here a second time").help("keep one of them")
        }
        message if message.starts_with("key with no value") => {
            let line = line_around(text, span.start);
            let start = line.start + (text[line.clone()].len() - text[line.clone()].trim_start().len());
            Problem::new(start..line.end.max(start), "this is no setting").help("write `key = value`, or `#` before it")
        }
        message => {
            let plain = message
                .replace("multi-line basic string", "text in triple quotes")
                .replace("multi-line literal string", "text in triple quotes")
                .replace("basic string", "text in quotes")
                .replace("literal string", "text in quotes");
            Problem::new(span, plain)
        }
    }
}

/// The text with some lines made of spaces, at unchanged places.
fn blanked(text: &str, lines: &[Range<usize>]) -> String {
    let mut blanked = String::with_capacity(text.len());
    let mut from = 0;
    for line in lines {
        blanked.push_str(&text[from..line.start]);
        blanked.extend(std::iter::repeat_n(' ', line.len()));
        from = line.end;
    }
    blanked.push_str(&text[from..]);
    blanked
}
