//! Writes runs in a dialect: opens, closes, escapes, and knows how long the result is.

use std::rc::Rc;

use crate::dialect::{Dialect, Mark, Place};
use crate::document::Run;
use crate::split::Limit;

/// One part, as it grows.
pub(crate) struct Writer<'d, D> {
    dialect: &'d D,
    limit: Limit,
    out: String,
    /// Of what is written, in the limit's unit.
    len: usize,
    /// Of what would close what is open.
    closing: usize,
    marks: Rc<[Mark]>,
    /// How many of `marks` are open.
    open: usize,
    /// White space, written when something follows it.
    space: String,
    /// White space with which a block of code begins, written when it is open.
    indent: String,
    before: Option<char>,
    line_start: bool,
}

impl<'d, D: Dialect> Writer<'d, D> {
    pub(crate) fn new(dialect: &'d D, limit: Limit) -> Self {
        Self {
            dialect,
            limit,
            out: String::new(),
            len: 0,
            closing: 0,
            marks: Rc::from([]),
            open: 0,
            space: String::new(),
            indent: String::new(),
            before: None,
            line_start: true,
        }
    }

    /// How long the part is when it ends here.
    pub(crate) fn len(&self) -> usize {
        self.len + self.closing
    }

    /// Text of a run, or the whole of a marker.
    pub(crate) fn push(&mut self, text: &str, run: &Run) {
        if run.marker {
            self.flush(run);
            return self.append(text, |dialect, _, out| dialect.marker(text, out));
        }
        let mut utf8 = [0; 4];
        for character in text.chars() {
            match character {
                '\n' | ' ' | '\t' => self.space(character, run),
                // Nobody sees them, and some protocols end a line at them.
                _ if character.is_control() => {}
                _ => {
                    self.flush(run);
                    let text = &*character.encode_utf8(&mut utf8);
                    self.append(text, |dialect, place, out| dialect.escape(character, place, out));
                    self.line_start = false;
                }
            }
        }
    }

    /// Ends the part.
    pub(crate) fn finish(mut self) -> String {
        self.close_to(0);
        self.out
    }

    fn space(&mut self, character: char, run: &Run) {
        // A block ends before what separates it from the next, which may be one like it.
        if self.blocks() > 0 && self.marks.first() != run.marks.first() {
            self.space.clear();
            self.close_to(0);
        }
        match run.marks.first() {
            Some(Mark::Pre { .. }) if self.blocks() == 0 => self.indent.push(character),
            _ => {
                self.space.push_str(&std::mem::take(&mut self.indent));
                self.space.push(character);
            }
        }
    }

    /// How many marks are open that go on over lines.
    fn blocks(&self) -> usize {
        self.marks.iter().take(self.open).take_while(|mark| mark.is_block()).count()
    }

    /// Writes the white space that stands before something of `run`, with what ends and begins there.
    fn flush(&mut self, run: &Run) {
        if !Rc::ptr_eq(&self.marks, &run.marks) {
            let open = self.marks.iter().take(self.open);
            let shared = open.zip(run.marks.iter()).take_while(|(open, next)| open == next).count();
            self.close_to(shared);
            self.marks = run.marks.clone();
        }
        if !matches!(run.marks.first(), Some(Mark::Pre { .. })) {
            self.space.push_str(&std::mem::take(&mut self.indent));
        }
        let mut begins = self.out.is_empty();
        let mut utf8 = [0; 4];
        for character in std::mem::take(&mut self.space).chars() {
            if character == '\n' {
                // What is open within a line ends with it.
                self.close_to(self.blocks());
                (self.line_start, begins) = (true, true);
            } else if std::mem::take(&mut begins) {
                self.append("", |dialect, place, out| dialect.line(place.marks, out));
            }
            self.append(character.encode_utf8(&mut utf8), |_, _, out| out.push(character));
        }
        if begins {
            self.append("", |dialect, place, out| dialect.line(place.marks, out));
        }
        while let Some(mark) = run.marks.get(self.open) {
            self.append("", |dialect, _, out| dialect.open(mark, out));
            self.open += 1;
            self.closing = self.cost_of_closing();
        }
        for character in std::mem::take(&mut self.indent).chars() {
            self.append(character.encode_utf8(&mut utf8), |_, _, out| out.push(character));
        }
    }

    fn close_to(&mut self, open: usize) {
        while self.open > open {
            self.open -= 1;
            let marks = self.marks.clone();
            if let Some(mark) = marks.get(self.open) {
                self.append("", |dialect, _, out| dialect.close(mark, out));
            }
            self.closing = self.cost_of_closing();
        }
    }

    fn cost_of_closing(&self) -> usize {
        let mut out = String::new();
        for mark in self.marks.iter().take(self.open).rev() {
            self.dialect.close(mark, &mut out);
        }
        self.limit.measure(&out, "")
    }

    /// What `write` writes for `text`, or for none.
    fn append(&mut self, text: &str, write: impl FnOnce(&D, Place<'_>, &mut String)) {
        let from = self.out.len();
        let place = Place { marks: &self.marks, before: self.before, line_start: self.line_start };
        write(self.dialect, place, &mut self.out);
        let new = self.out.get(from..).unwrap_or_default();
        self.len += self.limit.measure(new, text);
        self.before = new.chars().next_back().or(self.before);
    }
}
