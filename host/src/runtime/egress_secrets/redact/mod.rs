//! Secrets that a response echoes, hidden before the plugin sees them.
//!
//! A response is read in several ways at once: as it stands, with percent-encoding undone, with
//! JSON's escapes undone. In each reading the secret is looked for, and base64 of it, in either
//! alphabet, padded or not, whatever stands around it in the encoded text. Every byte of the
//! response that holds a bit of it becomes `*`. What encoders leave to taste is thereby covered:
//! which characters they escape, in which case they write hexadecimal digits.
//!
//! Three choices follow from what a plugin could learn otherwise:
//!
//! - A `*` for each byte, so that lengths stay right: `content-length`, and every length inside.
//!   Whoever gets the response knows the secret's length anyway.
//! - How long bytes are held back until they are known to be harmless depends on lengths and on
//!   line ends, never on how much they look like the secret. A plugin that has its guesses echoed
//!   bit by bit sees no difference between a good one and a bad one.
//! - Only the whole secret is hidden. Were its beginning hidden too, guesses could be made byte by
//!   byte; so a host that echoes a part of a secret shows that part.
//!
//! What is not covered: other transformations by the host that the secret was sent to (compressed,
//! reversed, encrypted, in hexadecimal, encoded twice, broken over lines), and UTF-16.

mod body;
mod decode;
mod needle;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
mod view;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::http::response;

pub use body::RedactedBody;
use decode::{Escapes, MAX_ESCAPE, MAX_EXPANSION, Span};
use needle::Needle;
use view::View;

use crate::secrets::Secret;

/// Stands for each byte that is hidden. No character of base64, of a number or of an escape.
const FILLER: u8 = b'*';

/// The room that is made at once for what is held back, in bytes.
const ROOM: usize = 4 << 10;

/// Hides the secrets of one request from whoever reads its response. Cheap to clone.
#[derive(Clone)]
pub struct Redactor(Arc<Needles>);

struct Needles {
    all: Vec<Needle>,
    /// Ways to read a response, but for as it stands.
    readings: Vec<Escapes>,
    /// The most bytes of a stream from the beginning of a secret until it is known to be there.
    window: usize,
    /// The secrets in lower case, as names of headers have them.
    lower: Vec<Secret>,
}

/// A response whose body cannot be looked through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the response to a request with a secret is encoded ({0}), although it was asked for as it is")]
pub struct Encoded(pub String);

impl Redactor {
    /// Hides these.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().filter(|secret| !secret.expose().is_empty()).collect();
        let all: Vec<_> = secrets.iter().filter_map(|secret| Needle::new(secret)).collect();
        let longest = all.iter().map(|needle| view::base64_len(needle.len())).max().unwrap_or(0);
        let mut readings = vec![Escapes::Percent, Escapes::Json];
        // Only then do the two readings of `+` differ.
        if secrets.iter().any(|secret| secret.expose().contains(' ')) {
            readings.push(Escapes::Form);
        }
        let lower = secrets.iter().map(|secret| Secret::new(secret.expose().to_ascii_lowercase())).collect();
        let window = if all.is_empty() { 0 } else { longest * MAX_EXPANSION + MAX_ESCAPE };
        Self(Arc::new(Needles { all, readings, window, lower }))
    }

    /// Makes a response's head fit to be shown: its headers, and no reason phrase.
    ///
    /// # Errors
    /// Its body is encoded, so that nobody could tell what is in it.
    pub fn head(&self, head: &mut response::Parts) -> Result<(), Encoded> {
        let headers = &head.headers;
        for value in headers.get_all(CONTENT_ENCODING).iter().chain(headers.get_all(TRANSFER_ENCODING)) {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            if text.split(',').any(|coding| !matches!(coding.trim(), "" | "identity" | "chunked")) {
                return Err(Encoded(crate::text::one_line(&self.text(&text), 40)));
            }
        }
        head.extensions.remove::<hyper::ext::ReasonPhrase>();
        self.headers(&mut head.headers);
        Ok(())
    }

    /// Hides secrets in the values of headers or trailers. A header with a secret in its name goes.
    pub fn headers(&self, headers: &mut HeaderMap) {
        let named = |name: &&HeaderName| self.0.lower.iter().any(|secret| name.as_str().contains(secret.expose()));
        let named: Vec<_> = headers.keys().filter(named).cloned().collect();
        for name in named {
            headers.remove(name);
        }
        let mut stream = Stream::new(self);
        for value in headers.values_mut() {
            if let Some(hidden) = stream.whole(value.as_bytes()) {
                // Bytes of a value, some of which are now `*`, make a value.
                *value = HeaderValue::from_bytes(&hidden).unwrap_or_else(|_| HeaderValue::from_static("*"));
            }
        }
    }

    /// A text of the host's own, of which it is not known what went into it: an error's message.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match Stream::new(self).whole(text.as_bytes()) {
            Some(hidden) => Cow::Owned(String::from_utf8_lossy(&hidden).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// Reads a stream from its beginning.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::new(self)
    }
}

/// Knows lengths at most.
impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.0.all.len())
    }
}

/// A stream in which secrets are hidden as it passes. What comes out is the same however what goes
/// in is cut, and of the same length.
///
/// It holds back a few hundred bytes, about eight times the longest secret's length, and none
/// after the end of a line.
pub struct Stream {
    redactor: Redactor,
    view: View,
    /// What was read and not yet given, with secrets already hidden.
    held: BytesMut,
    /// The number of the first byte of `held`.
    base: u64,
}

impl Stream {
    fn new(redactor: &Redactor) -> Self {
        let needles = &redactor.0;
        let view = View::new(&needles.readings, &needles.all);
        Self { redactor: redactor.clone(), view, held: BytesMut::new(), base: 0 }
    }

    /// Takes the next bytes, and gives those that no secret can begin in any more.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Bytes {
        self.read(bytes);
        let mut certain = self.held.len().saturating_sub(self.redactor.0.window.saturating_sub(1));
        // A line's end beyond that is among the bytes that just came, or it would be gone.
        if let Some(last) = bytes.iter().rposition(|byte| ends(*byte)) {
            certain = certain.max(self.held.len() - (bytes.len() - 1 - last));
        }
        self.give(certain)
    }

    /// The stream ended: gives the rest. What is pushed next is another stream.
    #[must_use]
    pub fn finish(&mut self) -> Bytes {
        self.end();
        self.give(self.held.len())
    }

    /// How many bytes are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn read(&mut self, bytes: &[u8]) {
        let at = self.base + self.held.len() as u64;
        if self.held.capacity() - self.held.len() < bytes.len() {
            self.held.reserve(bytes.len().max(ROOM));
        }
        self.held.extend_from_slice(bytes);
        let Self { redactor, view, held, base } = self;
        view.read(&redactor.0.all, at, bytes, ends, &mut |span| hide(held, *base, &span));
    }

    fn end(&mut self) {
        let at = self.base + self.held.len() as u64;
        let Self { redactor, view, held, base } = self;
        view.end(&redactor.0.all, at, &mut |span| hide(held, *base, &span));
    }

    fn give(&mut self, count: usize) -> Bytes {
        self.base += count as u64;
        self.held.split_to(count).freeze()
    }

    /// A whole stream at once; none where nothing is hidden.
    fn whole(&mut self, bytes: &[u8]) -> Option<Bytes> {
        self.read(bytes);
        let given = self.finish();
        (given != bytes).then_some(given)
    }
}

/// Whether a byte stands in no form of a secret, which is a line of visible text: a control
/// character of ASCII.
fn ends(byte: u8) -> bool {
    byte < b' '
}

fn hide(held: &mut BytesMut, base: u64, span: &Span) {
    // A window back from the newest byte everything is still held.
    let place = |at: u64| usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX).min(held.len());
    let (from, to) = (place(span.start), place(span.end));
    held[from..to].fill(FILLER);
}
