//! What in a config file may be a key, and so is never shown.
//!
//! Keys do not belong in the file, but the file that has one is the very file whose mistakes are
//! printed. So this errs towards hiding: by the name before a `=`, parsed or not, and by the
//! look of the text.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::value;

/// Ends of names that hold keys.
const NAMES: &[&str] = &[
    "apikey",
    "authorization",
    "bearer",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "secret",
    "secrets",
    "token",
];
/// Ends of names that hold keys, after other words: `key` alone may be a musician's.
const KEYS: &[&str] = &["access_key", "api_key", "auth_key", "private_key", "secret_key", "signing_key"];
/// How the keys of common services begin.
const PREFIXES: &[&str] = &[
    "AIza",
    "AKIA",
    "eyJ",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "gsk_",
    "hf_",
    "rk_",
    "sk-",
    "sk_",
    "xai-",
    "xapp-",
    "xoxb-",
    "xoxp-",
    "ya29.",
];
/// Shorter texts with such a beginning are words.
const KEY_LENGTH: usize = 16;

/// Whether a key of this name holds a secret: `api_key`, `token`, `bot-token`, `clientSecret`.
pub(super) fn is_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    NAMES.iter().chain(KEYS).any(|end| name.ends_with(end))
}

/// Whether a text looks like a secret itself, or like an address with a password in it.
pub(super) fn is_text(text: &str) -> bool {
    let with_password = |text: &str| {
        text.split_once("://")
            .is_some_and(|(_, rest)| rest.split(['/', '?', '#']).next().is_some_and(|a| a.contains('@')))
    };
    with_password(text) || words(text).any(|(_, word)| is_word(word))
}

fn is_word(word: &str) -> bool {
    word.len() >= KEY_LENGTH && PREFIXES.iter().any(|prefix| word.starts_with(prefix))
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'))
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

/// The bytes of a file that are not shown.
#[derive(Debug, Default)]
pub(super) struct Hidden(Vec<Range<usize>>);

impl Hidden {
    /// Finds them in a text, and in as much of it as could be parsed.
    pub(super) fn find(text: &str, table: &DeTable<'_>) -> Self {
        let mut hidden = Self::default();
        hidden.in_lines(text);
        hidden.in_table(table);
        hidden.0.extend(words(text).filter(|(_, word)| is_word(word)).map(|(at, word)| at..at + word.len()));
        hidden
    }

    pub(super) fn covers(&self, at: usize) -> bool {
        self.0.iter().any(|range| range.contains(&at))
    }

    fn in_table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.in_value(key.get_ref(), value);
        }
    }

    fn in_value(&mut self, key: &str, value: &toml::Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.in_table(table),
            DeValue::Array(array) if !is_name(key) => array.iter().for_each(|value| self.in_value(key, value)),
            // The key itself where its variable's name belongs.
            DeValue::String(text) if key.ends_with("_env") && !value::is_variable(text) => self.0.push(value.span()),
            DeValue::String(text) if is_name(key) || is_text(text) => self.0.push(value.span()),
            DeValue::String(_) => {}
            _ if is_name(key) => self.0.push(value.span()),
            _ => {}
        }
    }

    /// By the look of the lines alone, for what does not parse.
    fn in_lines(&mut self, text: &str) {
        let mut at = 0;
        // What ends a value that began on an earlier line.
        let mut open: Option<&str> = None;
        for line in text.split_inclusive('\n') {
            if let Some(end) = open {
                self.0.push(at..at + line.len());
                if line.contains(end) {
                    open = None;
                }
            } else if let Some(equals) =
                line.match_indices('=').map(|(equals, _)| equals).find(|&e| names_secret(&line[..e]))
            {
                let value = line[equals + 1..].trim_start();
                self.0.push(at + line.len() - value.len()..at + line.len());
                open = [("\"\"\"", "\"\"\""), ("'''", "'''"), ("[", "]"), ("{", "}")]
                    .into_iter()
                    .find(|(start, end)| value.strip_prefix(start).is_some_and(|rest| !rest.contains(end)))
                    .map(|(_, end)| end);
            }
            at += line.len();
        }
    }
}

/// Whether the last name of the text before a `=` is a secret's.
fn names_secret(before: &str) -> bool {
    let before = before.trim_end().trim_end_matches(['"', '\'']);
    let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).next();
    name.is_some_and(is_name)
}
