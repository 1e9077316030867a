//! The line that a mistake stands on, with the mistake underlined.

use std::borrow::Cow;
use std::ops::Range;

use super::sensitive::Hidden;
use crate::text;

/// Characters shown of a long line.
const WIDTH: usize = 120;
/// Of which this many stand before the mistake.
const BEFORE: usize = 60;
/// What stands where a secret may be.
const HIDDEN: &str = "[hidden]";
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A position for people: both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) fn of(text: &str, at: usize) -> Self {
        let at = floor(text, at);
        let line = line_around(text, at);
        Self {
            line: text[..line.start].matches('\n').count() + 1,
            column: text[line.start..at].chars().filter(|&c| c != BYTE_ORDER_MARK).count() + 1,
        }
    }
}

/// A line and its underline, fit for a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) line: String,
    pub(super) underline: String,
}

impl Excerpt {
    pub(super) fn of(text: &str, span: &Range<usize>, hidden: &Hidden) -> Self {
        let start = floor(text, span.start);
        let whole = line_around(text, start);
        let shown = window(text, &whole, start);
        // Each piece of the screen's line, with the bytes that it stands for.
        let mut pieces: Vec<(Cow<'static, str>, Range<usize>)> = Vec::new();
        for (offset, character) in text[shown.clone()].char_indices() {
            let at = shown.start + offset;
            let bytes = at..at + character.len_utf8();
            match pieces.last_mut() {
                Some((piece, before)) if hidden.covers(at) && piece == HIDDEN => before.end = bytes.end,
                _ if hidden.covers(at) => pieces.push((HIDDEN.into(), bytes)),
                _ if character == BYTE_ORDER_MARK && at == 0 => {}
                _ if character == '\t' => pieces.push((" ".into(), bytes)),
                _ => pieces.push((text::escape(character.encode_utf8(&mut [0; 4]), &[]).into_owned().into(), bytes)),
            }
        }
        let mut marked: Vec<bool> =
            pieces.iter().map(|(_, bytes)| bytes.start < span.end && bytes.end > start).collect();
        if !marked.contains(&true) {
            // An empty span: what stands there is underlined, or the place behind the line.
            let index = pieces.iter().position(|(_, bytes)| bytes.start >= start).unwrap_or(pieces.len());
            marked.resize(pieces.len().max(index + 1), false);
            marked[index] = true;
            pieces.resize(marked.len(), (" ".into(), start..start));
        }
        let (mut line, mut underline) = (String::new(), String::new());
        if shown.start > whole.start {
            line.push('…');
            underline.push(' ');
        }
        for ((piece, _), marked) in pieces.iter().zip(marked) {
            line.push_str(piece);
            underline.extend(piece.chars().map(|_| if marked { '^' } else { ' ' }));
        }
        if shown.end < whole.end {
            line.push('…');
        }
        line.truncate(line.trim_end().len());
        underline.truncate(underline.trim_end().len());
        Self { line, underline }
    }
}

/// The part of a long line that is shown.
fn window(text: &str, line: &Range<usize>, start: usize) -> Range<usize> {
    let start = start.min(line.end);
    if text[line.clone()].chars().nth(WIDTH).is_none() {
        return line.clone();
    }
    let from =
        text[line.start..start].char_indices().rev().take(BEFORE).last().map_or(start, |(at, _)| line.start + at);
    let to = text[from..line.end].char_indices().nth(WIDTH).map_or(line.end, |(at, _)| from + at);
    from..to
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// The line that holds `at`, without its end.
pub(super) fn line_around(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    start..if text[start..end].ends_with('\r') { end - 1 } else { end }
}
