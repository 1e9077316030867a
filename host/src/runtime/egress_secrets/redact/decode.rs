//! A text as those read it who undo one kind of escapes, byte by byte.

use std::ops::Range;

/// Where bytes lie in the stream.
pub(super) type Span = Range<u64>;

/// What is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// `%2F` (RFC 3986, section 2.1).
    Percent,
    /// The same, and `+` for a space (URL standard, "application/x-www-form-urlencoded").
    Form,
    /// `\/`, `\u002f` (RFC 8259, section 7).
    Json,
}

/// The longest escape, in bytes: `\ud83d\ude00`.
pub(super) const MAX_ESCAPE: usize = 12;
/// The most bytes of a stream that stand for one byte of what it means: `\u002f`.
pub(super) const MAX_EXPANSION: usize = 6;

/// The length of `\u1234`.
const UNIT: usize = 6;

/// Undoes escapes. What is no whole escape is taken for what it says.
pub(super) struct Decoder {
    escapes: Escapes,
    /// The beginning of an escape.
    pending: [u8; MAX_ESCAPE],
    len: usize,
}

impl Decoder {
    pub(super) fn new(escapes: Escapes) -> Self {
        Self { escapes, pending: [0; MAX_ESCAPE], len: 0 }
    }

    pub(super) fn escapes(&self) -> Escapes {
        self.escapes
    }

    /// Whether an escape begins with this byte, or is one.
    #[inline]
    pub(super) fn begins(&self, byte: u8) -> bool {
        match self.escapes {
            Escapes::Percent => byte == b'%',
            Escapes::Form => byte == b'%' || byte == b'+',
            Escapes::Json => byte == b'\\',
        }
    }

    /// Whether no escape has begun.
    #[inline]
    pub(super) fn is_between(&self) -> bool {
        self.len == 0
    }

    /// Takes the stream's byte at `at`, and gives each byte that it makes certain, with the bytes
    /// of the stream that stand for it.
    #[inline]
    pub(super) fn push(&mut self, at: u64, byte: u8, emit: &mut impl FnMut(u8, Span)) {
        match (self.len, self.escapes) {
            (0, _) if !self.begins(byte) => emit(byte, at..at + 1),
            (0, _) if byte == b'+' => emit(b' ', at..at + 1),
            (0, _) => self.keep(byte),
            (_, Escapes::Json) => self.push_json(at, byte, emit),
            (_, _) => self.push_percent(at, byte, emit),
        }
    }

    /// The stream ends before `at`, or something that no escape has in it comes.
    pub(super) fn flush(&mut self, at: u64, emit: &mut impl FnMut(u8, Span)) {
        let start = at - self.len as u64;
        for (place, byte) in (start..).zip(&self.pending[..self.len]) {
            emit(*byte, place..place + 1);
        }
        self.len = 0;
    }

    fn keep(&mut self, byte: u8) {
        self.pending[self.len] = byte;
        self.len += 1;
    }

    fn push_percent(&mut self, at: u64, byte: u8, emit: &mut impl FnMut(u8, Span)) {
        match (self.len, hex(byte)) {
            (1, Some(_)) => self.keep(byte),
            (_, Some(low)) => {
                let high = hex(self.pending[1]).unwrap_or(0);
                self.len = 0;
                emit((high << 4 | low) as u8, at - 2..at + 1);
            }
            (_, None) => {
                self.flush(at, emit);
                self.push(at, byte, emit);
            }
        }
    }

    fn push_json(&mut self, at: u64, byte: u8, emit: &mut impl FnMut(u8, Span)) {
        match (self.len, byte) {
            (1 | 7, b'u') => self.keep(byte),
            (UNIT, b'\\') => self.keep(byte),
            (1, _) => {
                let meant = match byte {
                    b'"' | b'\\' | b'/' => byte,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => {
                        self.flush(at, emit);
                        return self.push(at, byte, emit);
                    }
                };
                self.len = 0;
                emit(meant, at - 1..at + 1);
            }
            (2..=4 | 8..=10, _) if hex(byte).is_some() => self.keep(byte),
            (5, _) if hex(byte).is_some() => {
                self.keep(byte);
                // The first half of a pair waits for the other.
                if !matches!(self.unit(0), 0xd800..=0xdbff) {
                    self.character(1, at + 1, emit);
                }
            }
            (11, _) if hex(byte).is_some() => {
                self.keep(byte);
                match self.unit(UNIT) {
                    0xdc00..=0xdfff => self.character(2, at + 1, emit),
                    0xd800..=0xdbff => self.drop_half(at + 1, emit),
                    _ => {
                        self.drop_half(at + 1, emit);
                        self.character(1, at + 1, emit);
                    }
                }
            }
            (UNIT.., _) => {
                self.drop_half(at, emit);
                self.push(at, byte, emit);
            }
            _ => {
                self.flush(at, emit);
                self.push(at, byte, emit);
            }
        }
    }

    /// The number in `\u1234`, which begins at `from`.
    fn unit(&self, from: usize) -> u16 {
        self.pending[from + 2..from + UNIT].iter().fold(0, |unit, digit| unit << 4 | hex(*digit).unwrap_or(0))
    }

    /// Gives up on the first half of a pair, whose other half does not come.
    fn drop_half(&mut self, end: u64, emit: &mut impl FnMut(u8, Span)) {
        let rest = self.len - UNIT;
        let behind = self.pending;
        self.len = UNIT;
        self.flush(end - rest as u64, emit);
        self.pending[..rest].copy_from_slice(&behind[UNIT..UNIT + rest]);
        self.len = rest;
    }

    /// The character that is pending whole, in so many units; half of a pair is none.
    fn character(&mut self, units: usize, end: u64, emit: &mut impl FnMut(u8, Span)) {
        let both = [self.unit(0), self.unit(UNIT)];
        match char::decode_utf16(both[..units].iter().copied()).next() {
            Some(Ok(character)) => {
                let span = end - self.len as u64..end;
                self.len = 0;
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    emit(byte, span.clone());
                }
            }
            _ => self.flush(end, emit),
        }
    }
}

fn hex(digit: u8) -> Option<u16> {
    char::from(digit).to_digit(16).map(|value| value as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(escapes: Escapes, text: &str) -> String {
        let mut decoder = Decoder::new(escapes);
        let mut meant = Vec::new();
        let mut end = 0;
        let mut emit = |byte, span: Span| {
            // Bytes of one character share its escape; others follow on each other.
            assert!(span.start == end || span.end == end, "{span:?} after {end}");
            end = span.end;
            meant.push(byte);
        };
        for (at, byte) in (0..).zip(text.bytes()) {
            decoder.push(at, byte, &mut emit);
        }
        decoder.flush(text.len() as u64, &mut emit);
        assert_eq!(end, text.len() as u64);
        String::from_utf8(meant).unwrap()
    }

    #[test]
    fn escapes_are_undone_and_everything_else_is_left() {
        assert_eq!(decode(Escapes::Percent, "a%41%c3%A9+%%41%4%4z%"), "aAé+%A%4%4z%");
        assert_eq!(decode(Escapes::Form, "a+%2B%20"), "a + ");
        assert_eq!(decode(Escapes::Json, r#"\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC"#), "\"\\/\u{8}\u{c}\n\r\tAé€");
        assert_eq!(decode(Escapes::Json, r"\ud83d\ude00."), "😀.");
    }

    #[test]
    fn broken_json_escapes_lose_nothing_that_follows() {
        for (text, meant) in [
            (r"\x\", r"\x\"),
            (r"\u00g", r"\u00g"),
            (r"\u\u0041", r"\uA"),
            (r"\ud83d.", r"\ud83d."),
            (r"\ud83d\n", "\\ud83d\n"),
            (r"\ud83d\u0041", r"\ud83dA"),
            (r"\ud83d\u00g", r"\ud83d\u00g"),
            (r"\ud83d\ud83d\ude00", r"\ud83d😀"),
            (r"\ude00\u0041", r"\ude00A"),
            (r"\ud83d\u00\n", "\\ud83d\\u00\n"),
            (r"\ud83d", r"\ud83d"),
        ] {
            assert_eq!(decode(Escapes::Json, text), meant, "{text}");
        }
    }
}
