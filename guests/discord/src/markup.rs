//! Discord's Markdown (Help Center, "Markdown Text 101"), which is not quite CommonMark.

use exoclaw_chat::{Dialect, Limit, Mark, Part, Place, Unit, render};

/// A message holds 2000 characters ("Create Message"). Counted as UTF-16, of which a text has never
/// fewer units than characters.
pub const LIMIT: Limit = Limit::new(2_000, Unit::Utf16);

/// Levels of headings that Discord has.
const LEVELS: u8 = 3;

/// An answer, in messages.
pub fn parts(markdown: &str) -> Vec<Part> {
    render(markdown, &Markup, LIMIT)
}

struct Markup;

impl Dialect for Markup {
    fn links(&self, url: &str) -> bool {
        ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme))
    }

    fn open(&self, mark: &Mark, out: &mut String) {
        match mark {
            Mark::Pre { language } => {
                out.push_str("```");
                out.push_str(language.as_deref().unwrap_or_default());
                out.push('\n');
            }
            Mark::Heading(level @ ..=LEVELS) => {
                out.extend(std::iter::repeat_n('#', usize::from(*level)));
                out.push(' ');
            }
            Mark::Link { bare: false, .. } => out.push('['),
            mark => out.push_str(delimiter(mark)),
        }
    }

    fn close(&self, mark: &Mark, out: &mut String) {
        match mark {
            Mark::Pre { .. } => out.push_str("\n```"),
            // In angle brackets it may hold parentheses, and shows no preview.
            Mark::Link { url, bare: false } => {
                out.push_str("](<");
                out.push_str(url);
                out.push_str(">)");
            }
            mark => out.push_str(delimiter(mark)),
        }
    }

    fn line(&self, marks: &[Mark], out: &mut String) {
        if marks.first() == Some(&Mark::Quote) {
            out.push_str("> ");
        }
    }

    fn marker(&self, text: &str, out: &mut String) {
        // Of this Discord makes a list of its own.
        out.push_str(&text.replace('•', "-"));
    }

    fn escape(&self, character: char, place: Place<'_>, out: &mut String) {
        match character {
            // Three of them would end the block: what has no width keeps them apart.
            '`' if place.is_pre() => out.push_str(if place.before == Some('`') { "\u{200b}`" } else { "`" }),
            // It would end the code; a letter that looks like it does not.
            '`' if place.is_code() => out.push('\u{02cb}'),
            character if place.is_code() => out.push(character),
            // A backslash would become a part of the address.
            character if place.is_bare_link() => out.push(character),
            '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '[' | ']' => out.extend(['\\', character]),
            '#' | '>' | '-' if place.line_start => out.extend(['\\', character]),
            character => out.push(character),
        }
    }
}

fn delimiter(mark: &Mark) -> &'static str {
    match mark {
        // A heading of a level that Discord has not is at least bold.
        Mark::Strong | Mark::Heading(LEVELS..) => "**",
        Mark::Emphasis => "*",
        Mark::Strike => "~~",
        Mark::Code => "`",
        Mark::Quote | Mark::Pre { .. } | Mark::Link { .. } | Mark::Heading(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markup(markdown: &str) -> String {
        parts(markdown).into_iter().map(|part| part.markup).collect::<Vec<_>>().join("\n---\n")
    }

    #[test]
    fn what_discord_has_keeps_its_meaning() {
        for (markdown, expected) in [
            ("**bold** *italic* ~~gone~~ `code`", "**bold** *italic* ~~gone~~ `code`"),
            ("# One\n\ntext", "# One\n\ntext"),
            ("#### Four", "**Four**"),
            ("- a\n- b\n  1. c", "- a\n- b\n  1. c"),
            ("> quoted\n> more", "> quoted\n> more"),
            ("[text](https://example.com/a_(b))", "[text](<https://example.com/a_(b)>)"),
            ("see https://example.com/a_b_c", "see https://example.com/a_b_c"),
            ("```rust\nlet a = \"*\";\n```", "```rust\nlet a = \"*\";\n```"),
        ] {
            assert_eq!(markup(markdown), expected);
        }
    }

    #[test]
    fn text_is_not_taken_for_markup() {
        for (markdown, expected) in [
            ("snake_case_name and 2 \\* 3", "snake\\_case\\_name and 2 \\* 3"),
            ("\\# no heading", "\\# no heading"),
            ("||no spoiler||", "\\|\\|no spoiler\\|\\|"),
            ("hi \\<@42>", "hi \\<@42>"),
            ("[text](javascript:alert)", "text (javascript:alert)"),
        ] {
            assert_eq!(markup(markdown), expected);
        }
    }

    #[test]
    fn code_can_not_be_left_from_within() {
        assert_eq!(markup("`` a`b ``"), "`a\u{02cb}b`");
        assert_eq!(markup("````\n```\n````"), "```\n`\u{200b}`\u{200b}`\n```");
    }

    #[test]
    fn no_part_is_longer_than_discord_takes() {
        for text in
            ["👋🏽".repeat(3_000), "word ".repeat(2_000), format!("```\n{}", "x_".repeat(4_000)), "*_`[(".repeat(4_000)]
        {
            let parts = parts(&text);
            assert!(parts.len() > 1);
            for part in parts {
                assert!(part.markup.encode_utf16().count() <= 2_000);
            }
        }
    }
}
