//! A stream as one kind of reader takes it, and the secrets in that: themselves, or in base64.

use super::decode::{Decoder, Escapes, Span};
use super::needle::Needle;

/// No character of base64.
const NONE: u8 = 0xff;

/// What each byte is worth in base64, in either alphabet (RFC 4648, sections 4 and 5).
const SEXTETS: [u8; 256] = sextets();

const fn sextets() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < alphabet.len() {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
}

/// The most characters of base64 that hold some bit of `bytes` bytes.
pub(super) const fn base64_len(bytes: usize) -> usize {
    (8 * bytes).div_ceil(6) + 1
}

/// A stream as all its readers take it, and what was found in it so far.
pub(super) struct View {
    plain: Reader,
    escaped: Vec<Escaped>,
    /// The length of the longest form of a secret: what is farther back is forgotten.
    longest: usize,
}

/// The stream with one kind of escapes undone.
struct Escaped {
    decoder: Decoder,
    reader: Reader,
    /// How many bytes have to pass without an escape until this reader would know nothing but
    /// what the plain one knows. Then it rests.
    apart: usize,
}

/// What is known after some bytes of what a stream means.
#[derive(Clone)]
struct Reader {
    /// Bytes so far.
    count: usize,
    /// Where in the stream each of the latest ones begins; as many as the longest form of a
    /// secret has, rounded up to a power of two.
    starts: Box<[u64]>,
    /// What the last one is worth in base64.
    last: u8,
    progress: Box<[Progress]>,
}

/// How much of a secret was just seen.
#[derive(Clone, Copy, Default)]
struct Progress {
    plain: usize,
    /// In base64, whose groups of four characters may begin at any character: by the character's
    /// number modulo four.
    coded: [usize; 4],
}

impl View {
    pub(super) fn new(readings: &[Escapes], needles: &[Needle]) -> Self {
        let longest = needles.iter().map(|needle| base64_len(needle.len())).max().unwrap_or(1);
        let plain = Reader {
            count: 0,
            starts: vec![0; longest.next_power_of_two()].into(),
            last: NONE,
            progress: vec![Progress::default(); needles.len()].into(),
        };
        let escaped = |escapes: &Escapes| Escaped { decoder: Decoder::new(*escapes), reader: plain.clone(), apart: 0 };
        Self { escaped: readings.iter().map(escaped).collect(), plain, longest }
    }

    /// Reads bytes of the stream, of which the first has the number `at`, and tells where secrets
    /// lie. `ends` says which bytes stand in no form of a secret.
    pub(super) fn read(
        &mut self,
        needles: &[Needle],
        at: u64,
        bytes: &[u8],
        ends: impl Fn(u8) -> bool,
        found: &mut impl FnMut(Span),
    ) {
        for (at, &byte) in (at..).zip(bytes) {
            if ends(byte) {
                self.end(needles, at, found);
                continue;
            }
            for escaped in &mut self.escaped {
                if escaped.rests() {
                    if !escaped.decoder.begins(byte) {
                        continue;
                    }
                    escaped.reader.copy(&self.plain);
                }
                escaped.read(needles, at, byte, self.longest, found);
            }
            self.plain.take(needles, byte, at..at + 1, found);
        }
    }

    /// What comes at `at` has nothing to do with what came before.
    pub(super) fn end(&mut self, needles: &[Needle], at: u64, found: &mut impl FnMut(Span)) {
        for escaped in self.escaped.iter_mut().filter(|escaped| !escaped.rests()) {
            escaped.decoder.flush(at, &mut |byte, span| escaped.reader.take(needles, byte, span, found));
            escaped.apart = 0;
        }
        self.plain.forget();
    }
}

impl Escaped {
    fn rests(&self) -> bool {
        self.apart == 0 && self.decoder.is_between()
    }

    #[inline]
    fn read(&mut self, needles: &[Needle], at: u64, byte: u8, longest: usize, found: &mut impl FnMut(Span)) {
        let Self { decoder, reader, apart } = self;
        let form = decoder.escapes() == Escapes::Form;
        decoder.push(at, byte, &mut |byte, span| {
            let escape = span.end - span.start > 1 || form && byte == b' ';
            *apart = if escape { longest } else { apart.saturating_sub(1) };
            reader.take(needles, byte, span, found);
        });
    }
}

impl Reader {
    fn forget(&mut self) {
        self.last = NONE;
        self.progress.fill(Progress::default());
    }

    /// Goes on from where another one is.
    fn copy(&mut self, other: &Self) {
        self.count = other.count;
        self.last = other.last;
        self.starts.copy_from_slice(&other.starts);
        self.progress.copy_from_slice(&other.progress);
    }

    #[inline]
    fn take(&mut self, needles: &[Needle], byte: u8, span: Span, found: &mut impl FnMut(Span)) {
        let mask = self.starts.len() - 1;
        self.starts[self.count & mask] = span.start;
        let (last, sextet) = (self.last, SEXTETS[usize::from(byte)]);
        for (needle, progress) in needles.iter().zip(&mut self.progress) {
            progress.plain = needle.step(progress.plain, byte);
            if progress.plain == needle.len() {
                found(self.starts[(self.count + 1 - needle.len()) & mask]..span.end);
            }
            if sextet == NONE {
                progress.coded = [0; 4];
                continue;
            }
            if last == NONE {
                continue;
            }
            // Two characters make a byte in three of the four ways to group them: the second of a
            // group gives the first byte, with two of its six bits, and so on.
            for place in 1..=3 {
                let bits = 2 * place;
                let byte = last << bits | sextet >> (6 - bits);
                let depth = &mut progress.coded[self.count.wrapping_sub(place) & 3];
                *depth = needle.step(*depth, byte);
                if *depth == needle.len() {
                    // The bits of the secret that stand in characters before this one.
                    let before = (8 * needle.len() - bits).div_ceil(6);
                    found(self.starts[(self.count - before) & mask]..span.end);
                }
            }
        }
        self.last = sextet;
        self.count += 1;
    }
}
