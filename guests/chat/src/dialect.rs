//! A platform's markup, as far as answers use it.

use std::rc::Rc;

/// What a stretch of text is. Of `Quote` and `Pre` there is at most one, and it stands first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Quoted text, over several lines. What is quoted within it is no deeper.
    Quote,
    /// A block of code, whose language is at most 32 of `[A-Za-z0-9_+#.-]`. No other mark is within it.
    Pre {
        /// As the model wrote it.
        language: Option<Rc<str>>,
    },
    /// A heading, whose level is from 1 to 6. No `Strong` is within it.
    Heading(u8),
    /// A link that [`Dialect::links`] took, or an address that stands in the text.
    Link {
        /// Where it leads: printable ASCII without `<`, `>` and `"`, where it was [`Dialect::links`] that took it.
        url: Rc<str>,
        /// The text is the address itself, which most platforms find by themselves.
        bare: bool,
    },
    /// Mostly bold.
    Strong,
    /// Mostly italic.
    Emphasis,
    /// Struck through.
    Strike,
    /// Code within a line.
    Code,
}

impl Mark {
    /// Whether it goes on over the end of a line; every other mark is closed there and opened again.
    pub(crate) fn is_block(&self) -> bool {
        matches!(self, Self::Quote | Self::Pre { .. })
    }
}

/// Where a character stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// What is open around it, outermost first.
    pub marks: &'a [Mark],
    /// The character before it in this part, of whatever kind.
    pub before: Option<char>,
    /// Only white space stands before it in its line, or a list's marker.
    pub line_start: bool,
}

impl Place<'_> {
    /// Within code, in a line or a block.
    pub fn is_code(&self) -> bool {
        self.marks.iter().any(|mark| matches!(mark, Mark::Code | Mark::Pre { .. }))
    }

    /// Within a block of code.
    pub fn is_pre(&self) -> bool {
        self.marks.iter().any(|mark| matches!(mark, Mark::Pre { .. }))
    }

    /// Within an address that stands in the text.
    pub fn is_bare_link(&self) -> bool {
        self.marks.iter().any(|mark| matches!(mark, Mark::Link { bare: true, .. }))
    }
}

/// A platform's markup. What is opened is closed in the reverse order, and text between is escaped,
/// so that nothing that a model writes is markup.
pub trait Dialect {
    /// Whether it can hide this address behind a text; otherwise the address follows the text.
    fn links(&self, url: &str) -> bool {
        let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
        lower.starts_with("https://") || lower.starts_with("http://") || lower.starts_with("mailto:")
    }

    /// Begins a mark. A block of code begins at the beginning of a line.
    fn open(&self, mark: &Mark, out: &mut String);

    /// Ends it.
    fn close(&self, mark: &Mark, out: &mut String);

    /// Begins a line that is not empty: `> ` within a quote, where the platform has it so.
    fn line(&self, _marks: &[Mark], _out: &mut String) {}

    /// What stands before a list's item: `• `, `1. `, `☑ `, and white space that indents.
    fn marker(&self, text: &str, out: &mut String) {
        out.push_str(text);
    }

    /// One character of text, so that it stands for itself.
    fn escape(&self, character: char, place: Place<'_>, out: &mut String);
}
