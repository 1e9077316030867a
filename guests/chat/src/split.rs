//! Cuts an answer into parts that a platform takes, each well-formed by itself.
//!
//! A part ends where its text does best: at a paragraph, else a line, a sentence, a word, a
//! character as people see it (a grapheme). What is open there is closed, and opened again in the
//! next part: a block of code goes on as one, in its language.

use unicode_segmentation::UnicodeSegmentation;

use crate::dialect::{Dialect, Mark};
use crate::document::{self, Run};
use crate::plain::Plain;
use crate::writer::Writer;

/// What a platform counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Of UTF-8.
    Bytes,
    /// Unicode scalar values.
    Chars,
    /// UTF-16 code units.
    Utf16,
}

impl Unit {
    /// How many of them a text has.
    pub fn count(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Chars => text.chars().count(),
            Self::Utf16 => text.chars().map(char::len_utf16).sum(),
        }
    }
}

/// How long a part may be. One of fewer than 64 units may be exceeded by a part's markup.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    max: usize,
    unit: Unit,
    counts_markup: bool,
}

impl Limit {
    /// At most so many units, markup included.
    pub const fn new(max: usize, unit: Unit) -> Self {
        Self { max, unit, counts_markup: true }
    }

    /// At most so many units of what is left when the platform has taken out the markup.
    pub const fn of_text(max: usize, unit: Unit) -> Self {
        Self { max, unit, counts_markup: false }
    }

    /// The beginning of a text that fits.
    pub fn truncate(self, text: &str) -> &str {
        let mut len = 0;
        let end = text.char_indices().find(|(_, character)| {
            len += self.unit.count(character.encode_utf8(&mut [0; 4]));
            len > self.max
        });
        end.map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
    }

    /// Of markup that says this text.
    pub(crate) fn measure(self, markup: &str, text: &str) -> usize {
        self.unit.count(if self.counts_markup { markup } else { text })
    }
}

/// One message of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// In the platform's markup.
    pub markup: String,
    /// The same without any, for a platform that refuses the markup. It may be longer: addresses are written out.
    pub plain: String,
}

/// An answer in CommonMark, in parts of a platform's markup. One without text has none.
pub fn render(markdown: &str, dialect: &impl Dialect, limit: Limit) -> Vec<Part> {
    let mut rest = Rest { runs: document::parse(markdown, dialect), dialect, limit };
    let mut parts = Vec::new();
    let mut from = Position::default();
    while let Some(cut) = rest.cut(rest.skip_space(from)) {
        let markup = rest.write(cut, dialect);
        // White space that is longer than a part.
        if !markup.is_empty() {
            parts.push(Part { markup, plain: rest.write(cut, &Plain) });
        }
        from = cut.next;
    }
    parts
}

/// A byte of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    run: usize,
    at: usize,
}

/// Where a part begins, where its text ends, and where the next one may begin.
#[derive(Clone, Copy)]
struct Cut {
    from: Position,
    to: Position,
    next: Position,
}

/// Where a part could end, and how full it would be.
#[derive(Default)]
struct Ends {
    paragraph: Option<(usize, Cut)>,
    line: Option<(usize, Cut)>,
    sentence: Option<(usize, Cut)>,
    word: Option<(usize, Cut)>,
}

impl Ends {
    /// The part could end at `space`, which stands between `before` and what comes.
    fn add(&mut self, before: &str, space: &str, in_code: bool, len: usize, cut: Cut) {
        let end = if space == "\n" {
            if before == "\n" && !in_code { &mut self.paragraph } else { &mut self.line }
        } else if before.ends_with(['.', '!', '?', '…', ':', ';', '。', '！', '？']) {
            &mut self.sentence
        } else {
            &mut self.word
        };
        *end = Some((len, cut));
    }

    /// The best end, unless it leaves too much of a part empty that could be `len` long.
    fn best(&self, len: usize) -> Option<Cut> {
        let half = |(filled, _): &(usize, Cut)| *filled >= len / 2;
        let quarter = |(filled, _): &(usize, Cut)| *filled >= len / 4;
        let best = self.paragraph.filter(half).or(self.line.filter(half)).or(self.sentence.filter(half));
        best.or(self.word.filter(quarter)).map(|(_, cut)| cut)
    }
}

struct Rest<'d, D> {
    runs: Vec<Run>,
    dialect: &'d D,
    limit: Limit,
}

impl<D: Dialect> Rest<'_, D> {
    /// Past the lines and spaces that the last cut left; a line of code keeps its indentation.
    fn skip_space(&self, mut from: Position) -> Position {
        while let Some(run) = self.runs.get(from.run) {
            let rest = run.text.get(from.at..).unwrap_or_default();
            let left = if is_code(run) { rest.trim_start_matches('\n') } else { rest.trim_start() };
            match left {
                "" => from = Position { run: from.run + 1, at: 0 },
                _ if run.marker => return from,
                _ => return Position { run: from.run, at: run.text.len() - left.len() },
            }
        }
        from
    }

    /// The part that begins here. None where nothing is left.
    fn cut(&mut self, from: Position) -> Option<Cut> {
        let mut writer = Writer::new(self.dialect, self.limit);
        let mut ends = Ends::default();
        // The longest part so far, and what stands at its end.
        let mut whole: Option<Cut> = None;
        let mut before = "";
        let mut position = from;
        while let Some(run) = self.runs.get(position.run) {
            let rest = run.text.get(position.at..).unwrap_or_default();
            let atom = if run.marker { rest } else { rest.graphemes(true).next().unwrap_or_default() };
            if atom.is_empty() {
                position = Position { run: position.run + 1, at: 0 };
                continue;
            }
            let next = Position { run: position.run, at: position.at + atom.len() };
            let to = whole.map_or(from, |whole| whole.to);
            let space = atom.chars().all(char::is_whitespace);
            if space {
                ends.add(before, atom, is_code(run), writer.len(), Cut { from, to, next });
            }
            writer.push(atom, run);
            if writer.len() > self.limit.max {
                return ends.best(writer.len()).or(whole).or_else(|| self.force(from));
            }
            whole = Some(Cut { from, to: if space { to } else { next }, next });
            // Where no space follows the end of a sentence.
            if atom.ends_with(['。', '！', '？']) {
                ends.sentence = whole.map(|cut| (writer.len(), cut));
            }
            before = atom;
            position = next;
        }
        whole
    }

    /// Where not one grapheme fits: it goes without its marks, and as many characters of it as do.
    fn force(&mut self, from: Position) -> Option<Cut> {
        let run = self.runs.get_mut(from.run)?;
        run.marks = [].into();
        let mut writer = Writer::new(self.dialect, self.limit);
        let mut to = from;
        for character in run.text.get(from.at..)?.chars() {
            writer.push(character.encode_utf8(&mut [0; 4]), run);
            if writer.len() > self.limit.max && to != from {
                break;
            }
            to.at += character.len_utf8();
        }
        Some(Cut { from, to, next: to })
    }

    fn write(&self, Cut { from, to, .. }: Cut, dialect: &impl Dialect) -> String {
        let mut writer = Writer::new(dialect, self.limit);
        let runs = self.runs.get(from.run..=to.run.min(self.runs.len().saturating_sub(1))).unwrap_or_default();
        for (index, run) in (from.run..).zip(runs) {
            let begin = if index == from.run { from.at } else { 0 };
            let end = if index == to.run { to.at } else { run.text.len() };
            writer.push(run.text.get(begin..end).unwrap_or_default(), run);
        }
        writer.finish()
    }
}

fn is_code(run: &Run) -> bool {
    matches!(run.marks.first(), Some(Mark::Pre { .. }))
}
