//! What guests write: log lines, and standard output and error, all bounded and all at `debug`.
//!
//! A host can't know what a guest writes, and a guest is given messages, so its own levels do not
//! count for ours: `info,exoclaw::guest=debug` in `[telemetry] log` shows what it wrote.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::bindings::logging::Level;

/// The longest line that is kept; the rest of it is cut.
const MAX_LINE: usize = 4 << 10;
/// Lines of one call.
const MAX_LINES: u32 = 256;
/// Bytes of all lines of one call.
const MAX_BYTES: usize = 64 << 10;
/// What a stream takes at a time, more than any line.
const PERMIT: usize = 64 << 10;

/// The lines of one source in one call.
#[derive(Debug)]
pub(super) struct Lines {
    source: &'static str,
    lines: u32,
    bytes: usize,
    silenced: bool,
}

impl Lines {
    pub(super) fn of(source: &'static str) -> Self {
        Self { source, lines: 0, bytes: 0, silenced: false }
    }

    /// Logs a line within what is left, in the span of the invocation.
    pub(super) fn write(&mut self, level: Level, line: &str) {
        if self.silenced {
            return;
        }
        let shown = cut(line, MAX_LINE);
        self.lines += 1;
        self.bytes += shown.len();
        if self.lines > MAX_LINES || self.bytes > MAX_BYTES {
            self.silenced = true;
            tracing::debug!(target: "exoclaw::guest", source = self.source, "the guest writes too much: the rest is dropped");
            return;
        }
        let (source, cut) = (self.source, line.len() - shown.len());
        match level {
            Level::Trace => tracing::trace!(target: "exoclaw::guest", source, cut, "{}", printable(shown)),
            Level::Debug => tracing::debug!(target: "exoclaw::guest", source, cut, "{}", printable(shown)),
            Level::Info | Level::Warn | Level::Error => {
                let severity = tracing::field::debug(level);
                tracing::debug!(target: "exoclaw::guest", source, severity, cut, "{}", printable(shown));
            }
        }
    }
}

/// The first bytes of a text, at most `max`, in whole characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Without control characters, so that a line is one line and colours nothing.
fn printable(line: &str) -> Cow<'_, str> {
    if line.chars().any(char::is_control) {
        Cow::Owned(line.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect())
    } else {
        Cow::Borrowed(line)
    }
}

/// Standard output or error: what is written becomes lines, and what is too much goes nowhere. A
/// full disk or a closed pipe is nothing that a guest should learn about.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Partial>>);

struct Partial {
    lines: Lines,
    line: Vec<u8>,
}

impl Output {
    pub(super) fn new(source: &'static str) -> Self {
        Self(Arc::new(Mutex::new(Partial { lines: Lines::of(source), line: Vec::new() })))
    }

    fn take(&self, bytes: &[u8]) {
        let mut partial = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = (MAX_LINE + 1).saturating_sub(partial.line.len());
            partial.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if pieces.peek().is_some() {
                partial.end();
            }
        }
    }
}

impl Partial {
    fn end(&mut self) {
        self.lines.write(Level::Debug, &String::from_utf8_lossy(&self.line));
        self.line.clear();
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end();
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
        assert_eq!(cut("aéb", 9), "aéb");
    }

    #[test]
    fn what_is_too_much_is_dropped_for_good() {
        let mut lines = Lines::of("log");
        for _ in 0..MAX_LINES {
            lines.write(Level::Info, "x");
        }
        assert!(!lines.silenced);
        lines.write(Level::Info, "x");
        assert!(lines.silenced);

        let mut lines = Lines::of("log");
        for _ in 0..=MAX_BYTES / MAX_LINE {
            lines.write(Level::Info, &"x".repeat(MAX_LINE * 2));
        }
        assert!(lines.silenced);
    }

    #[test]
    fn a_stream_without_newlines_holds_one_line() {
        let output = Output::new("stdout");
        for _ in 0..1_000 {
            output.take(&[b'x'; 1_000]);
        }
        assert_eq!(output.0.lock().unwrap().line.len(), MAX_LINE + 1);
        output.take(b"\nrest");
        assert_eq!(output.0.lock().unwrap().line, b"rest");
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        assert_eq!(printable("a\u{1b}[31m\nb"), "a\u{fffd}[31m\u{fffd}b");
    }
}
