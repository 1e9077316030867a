//! The redactor once more, slow and on the whole text at once: what the tests and the fuzz target
//! hold it to.

use std::ops::Range;

/// A byte that a reader takes from a text, and the bytes of the text that stand for it.
type Read = (u8, Range<usize>);

/// The text with secrets hidden.
pub(crate) fn redact(secrets: &[&str], text: &[u8]) -> Vec<u8> {
    let mut hidden = text.to_vec();
    let mut start = 0;
    // No form of a secret holds a control character.
    for line in text.split(|byte| *byte < 0x20) {
        for reading in [plain, percent, form, json] {
            let read = whole(line, reading);
            for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
                for span in verbatim(secret, &read).into_iter().chain(base64(secret, &read)) {
                    hidden[start + span.start..start + span.end].fill(b'*');
                }
            }
        }
        start += line.len() + 1;
    }
    hidden
}

/// What one way to read makes of the beginning of a text: bytes, and the length that stands for them.
type Reading = fn(&[u8]) -> Option<(Vec<u8>, usize)>;

fn whole(text: &[u8], reading: Reading) -> Vec<Read> {
    let mut read = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let (bytes, length) = reading(&text[at..]).unwrap_or((vec![text[at]], 1));
        read.extend(bytes.into_iter().map(|byte| (byte, at..at + length)));
        at += length;
    }
    read
}

fn plain(_: &[u8]) -> Option<(Vec<u8>, usize)> {
    None
}

fn digits(text: &[u8], range: Range<usize>) -> Option<u16> {
    let digits = std::str::from_utf8(text.get(range)?).ok()?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

fn percent(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    (text[0] == b'%').then(|| digits(text, 1..3).map(|byte| (vec![byte as u8], 3)))?
}

fn form(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    if text[0] == b'+' { Some((vec![b' '], 1)) } else { percent(text) }
}

fn json(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    if text[0] != b'\\' {
        return None;
    }
    let short = |byte: u8| Some((vec![byte], 2));
    match *text.get(1)? {
        byte @ (b'"' | b'\\' | b'/') => short(byte),
        b'b' => short(8),
        b'f' => short(12),
        b'n' => short(10),
        b'r' => short(13),
        b't' => short(9),
        b'u' => {
            let first = digits(text, 2..6)?;
            if let Ok(text) = String::from_utf16(&[first]) {
                return Some((text.into_bytes(), 6));
            }
            let second = (text.get(6..8)? == b"\\u").then(|| digits(text, 8..12))??;
            String::from_utf16(&[first, second]).ok().map(|text| (text.into_bytes(), 12))
        }
        _ => None,
    }
}

fn verbatim(secret: &str, read: &[Read]) -> Vec<Range<usize>> {
    let same = |window: &&[Read]| window.iter().map(|(byte, _)| *byte).eq(secret.bytes());
    let windows = read.windows(secret.len()).filter(same);
    windows.map(|window| window[0].1.start..window[window.len() - 1].1.end).collect()
}

/// The secret's bits at any even place in a run of base64's characters.
fn base64(secret: &str, read: &[Read]) -> Vec<Range<usize>> {
    let wanted: Vec<bool> = secret.bytes().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    let mut spans = Vec::new();
    for run in read.split(|(byte, _)| sextet(*byte).is_none()) {
        let values = run.iter().filter_map(|(byte, _)| sextet(*byte));
        let bits: Vec<bool> = values.flat_map(|value| (0..6).rev().map(move |bit| value >> bit & 1 == 1)).collect();
        for start in (0..bits.len()).step_by(2) {
            if bits[start..].starts_with(&wanted) {
                spans.push(run[start / 6].1.start..run[(start + wanted.len() - 1) / 6].1.end);
            }
        }
    }
    spans
}

fn sextet(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
