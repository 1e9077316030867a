//! The words of a text, as a search compares them.

use std::collections::HashSet;

/// Letters with marks, each before the plain one that is compared in its place.
const PLAIN: &[(&str, char)] = &[
    ("àáâãäåāăą", 'a'),
    ("çćĉċč", 'c'),
    ("ďđ", 'd'),
    ("èéêëēĕėęě", 'e'),
    ("ĝğġģ", 'g'),
    ("ĥ", 'h'),
    ("ìíîïĩīĭį", 'i'),
    ("ĵ", 'j'),
    ("ķ", 'k'),
    ("ĺļľ", 'l'),
    ("ñńņň", 'n'),
    ("òóôõöōŏő", 'o'),
    ("ŕŗř", 'r'),
    ("śŝşš", 's'),
    ("ţť", 't'),
    ("ùúûüũūŭůűų", 'u'),
    ("ŵ", 'w'),
    ("ýÿŷ", 'y'),
    ("źżž", 'z'),
];

/// Marks that combine with the letter before them.
fn is_mark(character: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&character)
}

/// The words of a text: its runs of letters and digits, without regard to case and to the marks of
/// Latin letters.
pub(super) fn words(text: &str) -> HashSet<String> {
    let runs = text.split(|character: char| !character.is_alphanumeric() && !is_mark(character));
    let plain = |run: &str| run.chars().flat_map(char::to_lowercase).filter(|c| !is_mark(*c)).map(plain).collect();
    runs.map(plain).filter(|word: &String| !word.is_empty()).collect()
}

fn plain(character: char) -> char {
    if character.is_ascii() {
        return character;
    }
    PLAIN.iter().find(|(marked, _)| marked.contains(character)).map_or(character, |(_, plain)| *plain)
}

/// The best of what holds at least one of the words: what holds most of them first, then what comes
/// last in `candidates`.
pub(super) fn best<T>(wanted: &str, candidates: impl Iterator<Item = (T, String)>, limit: usize) -> Vec<T> {
    let wanted = words(wanted);
    let mut found: Vec<(usize, T)> = Vec::new();
    for (candidate, text) in candidates {
        let matches = words(&text).intersection(&wanted).count();
        if matches > 0 {
            found.push((matches, candidate));
        }
    }
    found.reverse();
    found.sort_by_key(|(matches, _)| std::cmp::Reverse(*matches));
    found.into_iter().take(limit).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits_without_case_and_marks() {
        let expected = ["creme", "brulee", "2026", "мир"].map(str::to_owned);
        assert_eq!(words("Crème-BRÛLÉE \"2026\" (мир) cre\u{300}me"), HashSet::from(expected));
        assert!(words(" -- * \" ' NEAR( ".trim_end_matches("NEAR( ")).is_empty());
    }

    #[test]
    fn what_holds_most_words_comes_first_and_then_the_newest() {
        let texts = ["one", "one two", "three", "two"];
        let found = best("two ONE", texts.iter().map(|text| (*text, (*text).to_owned())), 3);
        assert_eq!(found, ["one two", "two", "one"]);
    }
}
