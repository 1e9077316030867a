//! What is wrong with a file, and how a person is told.

use std::fmt;
use std::ops::Range;

use super::excerpt::{Excerpt, Place};
use super::sensitive::Hidden;
use crate::text;

/// One mistake, where it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Bytes of the text.
    pub(super) span: Range<usize>,
    /// What is wrong. Names keys, never values: they stand in the excerpt, where secrets are hidden.
    pub(super) what: String,
    /// What to do.
    pub(super) help: Option<String>,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, what: impl Into<String>) -> Self {
        Self { span, what: what.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A mistake in a config file, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    place: Place,
    what: String,
    help: Option<String>,
    excerpt: Excerpt,
}

impl ConfigError {
    /// The line, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.place.line
    }

    /// The column in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.place.column
    }

    /// What is wrong, without place or remedy.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        let gutter = line.to_string().len();
        writeln!(f, "{}:{line}:{column}: {}", self.file, self.what)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{line} | {}", self.excerpt.line)?;
        write!(f, "{:gutter$} | {}", "", self.excerpt.underline)?;
        match &self.help {
            Some(help) => write!(f, " {help}"),
            None => Ok(()),
        }
    }
}

/// Every mistake of a file, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    /// Mistakes past [`SHOWN`].
    more: usize,
}

/// Mistakes of a file that are told; a file with more is better read from its beginning.
const SHOWN: usize = 100;

impl ConfigErrors {
    /// Puts problems in order and beside the lines that they are about.
    pub(super) fn new(file: &str, source: &str, hidden: &Hidden, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
        let more = problems.len().saturating_sub(SHOWN);
        problems.truncate(SHOWN);
        let show = |problem: Problem| ConfigError {
            file: file.to_owned(),
            place: Place::of(source, problem.span.start),
            excerpt: Excerpt::of(source, &problem.span, hidden),
            what: text::escape(&problem.what, &[]).into_owned(),
            help: problem.help,
        };
        Self { errors: problems.into_iter().map(show).collect(), more }
    }

    /// Each of the first 100.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.errors.len() + self.more
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            error.fmt(f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}
