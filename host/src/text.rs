//! Text from strangers, made fit for a person's screen.

use std::borrow::Cow;

/// Whether a character can move the cursor, recolour the screen, or make text read otherwise
/// than it is: control characters, line separators, bidirectional formatting (Unicode UAX #9,
/// section 2), and the invisible tags of U+E0000.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The text with deceptive characters written out as `\u{1b}`, but for those in `keep`.
#[must_use]
pub fn escape<'a>(text: &'a str, keep: &[char]) -> Cow<'a, str> {
    let bad = |character: char| is_deceptive(character) && !keep.contains(&character);
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if bad(character) {
            escaped.extend(character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// The text on one line, escaped, with blanks run together and cut after `limit` characters.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    for word in text.split_whitespace() {
        for character in (!line.is_empty()).then_some(' ').into_iter().chain(word.chars()) {
            if count == limit {
                line.push('…');
                return line;
            }
            count += 1;
            if is_deceptive(character) {
                line.extend(character.escape_unicode());
            } else {
                line.push(character);
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_shown_and_not_obeyed() {
        assert_eq!(escape("a\u{1b}[2Jb\n", &['\n']), "a\\u{1b}[2Jb\n");
        assert_eq!(escape("admin\u{202e}gpj.exe", &[]), "admin\\u{202e}gpj.exe");
        assert!(matches!(escape("plain, ünïcode, 日本", &[]), Cow::Borrowed(_)));
    }

    #[test]
    fn one_line_joins_blanks_and_cuts_by_characters() {
        assert_eq!(one_line("  a\n\tb  c ", 10), "a b c");
        assert_eq!(one_line("äöü äöü", 5), "äöü ä…");
        assert_eq!(one_line("", 5), "");
        assert_eq!(one_line("abc", 3), "abc");
    }
}
