//! CommonMark as a dialect of its own: an answer that is too long for one request is cut, and each
//! part holds by itself.

use exoclaw_chat::{Dialect, Mark, Place};

/// With GitHub's strikethrough.
pub struct CommonMark;

impl Dialect for CommonMark {
    fn links(&self, url: &str) -> bool {
        url.starts_with("https://") || url.starts_with("http://") || url.starts_with("mailto:")
    }

    fn open(&self, mark: &Mark, out: &mut String) {
        match mark {
            Mark::Quote => {}
            Mark::Pre { language } => {
                out.push_str("```");
                out.push_str(language.as_deref().unwrap_or_default());
                out.push('\n');
            }
            Mark::Heading(level) => {
                out.extend((0..*level).map(|_| '#'));
                out.push(' ');
            }
            Mark::Link { bare: true, .. } => {}
            Mark::Link { .. } => out.push('['),
            Mark::Strong => out.push_str("**"),
            Mark::Emphasis => out.push('*'),
            Mark::Strike => out.push_str("~~"),
            Mark::Code => out.push('`'),
        }
    }

    fn close(&self, mark: &Mark, out: &mut String) {
        match mark {
            Mark::Quote | Mark::Heading(_) | Mark::Link { bare: true, .. } => {}
            Mark::Pre { .. } => out.push_str("\n```"),
            Mark::Link { url, .. } => {
                out.push_str("](<");
                out.push_str(url);
                out.push_str(">)");
            }
            Mark::Strong => out.push_str("**"),
            Mark::Emphasis => out.push('*'),
            Mark::Strike => out.push_str("~~"),
            Mark::Code => out.push('`'),
        }
    }

    fn line(&self, marks: &[Mark], out: &mut String) {
        if marks.first() == Some(&Mark::Quote) {
            out.push_str("> ");
        }
    }

    fn marker(&self, text: &str, out: &mut String) {
        out.push_str(&text.replace('•', "-"));
    }

    fn escape(&self, character: char, place: Place<'_>, out: &mut String) {
        match character {
            // It would end the code; a letter that looks like it does not.
            '`' if place.is_code() => out.push('\u{02cb}'),
            '\\' | '`' | '*' | '_' | '~' | '[' | ']' | '<' | '>' | '&' | '|'
                if !place.is_code() && !place.is_bare_link() =>
            {
                out.push('\\');
                out.push(character);
            }
            '#' | '+' | '-' | '=' if place.line_start && !place.is_code() => {
                out.push('\\');
                out.push(character);
            }
            character => out.push(character),
        }
    }
}
