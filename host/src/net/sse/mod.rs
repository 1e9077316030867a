//! An incremental decoder of server-sent events.
//!
//! Follows the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream". It does no
//! I/O: bytes go in as they come, in any pieces, and events come out as soon as their blank line
//! is there, even where that is a lone CR whose LF may yet follow.
//!
//! ```
//! # use exoclaw::net::sse::Decoder;
//! let mut decoder = Decoder::new(1 << 20);
//! let mut seen = Vec::new();
//! for mut piece in [&b"event: greeting\r\nda"[..], b"ta: hello\r", b"\n\r\n"] {
//!     while let Some(event) = decoder.next(&mut piece)? {
//!         seen.push((event.name.to_owned(), event.data.to_owned()));
//!     }
//! }
//! assert_eq!(seen, [("greeting".to_owned(), "hello".to_owned())]);
//! # Ok::<(), exoclaw::net::sse::TooLarge>(())
//! ```

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::time::Duration;

/// The type of an event that names none.
const DEFAULT_NAME: &str = "message";

/// UTF-8's byte order mark.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// An event, borrowed from the decoder that read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its type; `message` where the stream names none.
    pub name: &'a str,
    /// Its data lines, joined by LF.
    pub data: &'a str,
    /// The last id that the stream gave; empty before the first.
    pub id: &'a str,
}

/// An event, or a line of one, is longer than the decoder's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a server-sent event has more than {limit} bytes")]
pub struct TooLarge {
    /// The limit, in bytes.
    pub limit: usize,
}

/// The state between two pieces of a stream. Its buffers are reused, so that a long stream
/// allocates no more than its largest event needs.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// What has come of a line that has not ended.
    line: Vec<u8>,
    /// A line was read, so no byte order mark can follow.
    started: bool,
    /// The last line ended with CR: an LF right behind it belongs to it.
    after_cr: bool,
    /// `name` and `data` were handed out and make room for the next event.
    dispatched: bool,
    name: String,
    data: String,
    id: String,
    retry: Option<Duration>,
}

impl Decoder {
    /// A decoder at the start of a stream. No line and no event's data may have more bytes than
    /// `limit`; what it holds in memory is a small multiple of it at most.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            started: false,
            after_cr: false,
            dispatched: false,
            name: String::new(),
            data: String::new(),
            id: String::new(),
            retry: None,
        }
    }

    /// Takes bytes from the front of `input` until an event is whole. `None` once all is taken;
    /// an event that no blank line ended is none. Invalid UTF-8 reads as U+FFFD.
    ///
    /// # Errors
    /// A line or an event exceeds the limit. The decoder is of no use then.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event<'_>>, TooLarge> {
        if std::mem::take(&mut self.dispatched) {
            self.name.clear();
            self.data.clear();
        }
        while let Some(&first) = input.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                *input = &input[1..];
                continue;
            }
            let Some(end) = input.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.hold(input)?;
                *input = &[];
                break;
            };
            let (head, rest) = input.split_at(end);
            self.after_cr = rest[0] == b'\r';
            *input = &rest[1..];
            if self.end_line(head)? {
                return Ok(Some(self.event()));
            }
        }
        Ok(None)
    }

    /// How long the stream asks to wait before a reconnection, if it said.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn event(&self) -> Event<'_> {
        let name = if self.name.is_empty() { DEFAULT_NAME } else { &self.name };
        Event { name, data: &self.data, id: &self.id }
    }

    fn hold(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        self.check(self.line.len() + piece.len())?;
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn check(&self, bytes: usize) -> Result<(), TooLarge> {
        if bytes > self.limit { Err(TooLarge { limit: self.limit }) } else { Ok(()) }
    }

    /// Ends a line, of which `tail` is what was not held. Says whether it completed an event.
    fn end_line(&mut self, tail: &[u8]) -> Result<bool, TooLarge> {
        if self.line.is_empty() {
            self.check(tail.len())?;
            return self.line(tail);
        }
        self.hold(tail)?;
        let mut line = std::mem::take(&mut self.line);
        let complete = self.line(&line);
        line.clear();
        self.line = line;
        complete
    }

    fn line(&mut self, mut line: &[u8]) -> Result<bool, TooLarge> {
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.blank_line());
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.check(self.data.len() + value.len())?;
                push_lossy(&mut self.data, value);
                self.data.push('\n');
            }
            b"event" => {
                self.name.clear();
                push_lossy(&mut self.name, value);
            }
            b"id" if !value.contains(&0) => {
                self.id.clear();
                push_lossy(&mut self.id, value);
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let milliseconds = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                self.retry = milliseconds.map(Duration::from_millis).or(self.retry);
            }
            // A comment (no name before the colon), or a field that no standard knows.
            _ => {}
        }
        Ok(false)
    }

    fn blank_line(&mut self) -> bool {
        if self.data.is_empty() {
            self.name.clear();
            return false;
        }
        self.data.pop();
        self.dispatched = true;
        true
    }
}

/// Appends a whole line, which no UTF-8 sequence crosses: line ends are ASCII.
fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}
