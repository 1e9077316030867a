//! The markup of Slack (mrkdwn) and WhatsApp: `*bold*`, `_italic_`, `~struck~`, code in backticks.
//!
//! Neither can escape these characters, so text that holds them may come out bold; nothing worse.

use crate::dialect::{Dialect, Mark, Place};

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starred {
    /// `<address|text>` are links, and `<...>` is how users and channels are called, so `&`, `<`
    /// and `>` are escaped (<https://docs.slack.dev/messaging/formatting-message-text/#escaping>).
    Slack,
    /// Nothing is escaped, and there are no links
    /// (<https://faq.whatsapp.com/539178204879377>).
    WhatsApp,
}

impl Starred {
    fn entity(self, character: char, out: &mut String) {
        match (self, character) {
            (Self::Slack, '&') => out.push_str("&amp;"),
            (Self::Slack, '<') => out.push_str("&lt;"),
            (Self::Slack, '>') => out.push_str("&gt;"),
            _ => out.push(character),
        }
    }

    fn delimiter(mark: &Mark) -> &'static str {
        match mark {
            Mark::Heading(_) | Mark::Strong => "*",
            Mark::Emphasis => "_",
            Mark::Strike => "~",
            Mark::Code => "`",
            Mark::Quote | Mark::Pre { .. } | Mark::Link { .. } => "",
        }
    }
}

impl Dialect for Starred {
    fn links(&self, url: &str) -> bool {
        let schemes = ["https://", "http://", "mailto:"];
        *self == Self::Slack && !url.contains('|') && schemes.iter().any(|scheme| url.starts_with(scheme))
    }

    fn open(&self, mark: &Mark, out: &mut String) {
        match mark {
            // Neither knows languages.
            Mark::Pre { .. } => out.push_str("```\n"),
            Mark::Link { url, bare: false } => {
                out.push('<');
                url.chars().for_each(|character| self.entity(character, out));
                out.push('|');
            }
            mark => out.push_str(Self::delimiter(mark)),
        }
    }

    fn close(&self, mark: &Mark, out: &mut String) {
        match mark {
            Mark::Pre { .. } => out.push_str("\n```"),
            Mark::Link { bare: false, .. } => out.push('>'),
            mark => out.push_str(Self::delimiter(mark)),
        }
    }

    fn line(&self, marks: &[Mark], out: &mut String) {
        if marks.first() == Some(&Mark::Quote) {
            out.push_str("> ");
        }
    }

    fn escape(&self, character: char, place: Place<'_>, out: &mut String) {
        match character {
            // It would end the code; a letter that looks like it does not.
            '`' if place.is_code() => out.push('\u{02cb}'),
            // Three of them would begin a block of code.
            '`' if place.before == Some('`') => out.push('\u{02cb}'),
            character => self.entity(character, out),
        }
    }
}
