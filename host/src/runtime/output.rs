//! What guests write: log lines, and standard output and error, all bounded and all at `debug`.
//!
//! A host can't know what a guest writes, and a guest is given messages, so its own levels do not
//! count for ours: `info,exoclaw::guest=debug` in `[telemetry] log` shows what it wrote.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::bindings::logging::Level;
use crate::config::ByteSize;

/// The longest line that is kept; the rest of it is cut.
const MAX_LINE: usize = 4 << 10;
/// What stands around a line in the log, and counts with it: empty lines have a price, too.
const AROUND_LINE: usize = 64;
/// What a stream takes at a time, more than any line.
const PERMIT: usize = 64 << 10;

/// What one call may still write, to its log, standard output and standard error together.
#[derive(Debug, Clone)]
pub(super) struct Quota(Arc<AtomicUsize>);

/// In a [`Quota`] that is used up.
const SILENCED: usize = usize::MAX;

#[derive(Debug, PartialEq, Eq)]
enum Room {
    Enough,
    /// There is none for this line, the first that is too much.
    Exceeded,
    None,
}

impl Quota {
    /// So many bytes. None at all is no excess, but what the owner asked for.
    pub(super) fn new(limit: ByteSize) -> Self {
        let bytes = limit.bytes();
        Self(Arc::new(AtomicUsize::new(if bytes == 0 { SILENCED } else { bytes })))
    }

    /// Takes a line of so many bytes out. A guest has one thread, so nothing comes between.
    fn take(&self, bytes: usize) -> Room {
        let left = self.0.load(Ordering::Relaxed);
        if left == SILENCED {
            return Room::None;
        }
        let (left, room) = match left.checked_sub(bytes + AROUND_LINE) {
            Some(left) => (left, Room::Enough),
            None => (SILENCED, Room::Exceeded),
        };
        self.0.store(left, Ordering::Relaxed);
        room
    }
}

/// Where the lines of one source in one call go.
#[derive(Debug)]
pub(super) struct Lines {
    source: &'static str,
    quota: Quota,
}

impl Lines {
    pub(super) fn of(source: &'static str, quota: Quota) -> Self {
        Self { source, quota }
    }

    /// Logs a line within what is left, in the span of the invocation.
    pub(super) fn write(&self, level: Level, line: &str) {
        let shown = cut(line, MAX_LINE);
        match self.quota.take(shown.len()) {
            Room::Enough => {}
            Room::Exceeded => {
                tracing::debug!(
                    target: "exoclaw::guest", source = self.source,
                    "the guest writes more than `log` in its limits allows: the rest is dropped"
                );
                return;
            }
            Room::None => return,
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
    pub(super) fn new(source: &'static str, quota: Quota) -> Self {
        Self(Arc::new(Mutex::new(Partial { lines: Lines::of(source, quota), line: Vec::new() })))
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
    fn all_that_a_call_writes_comes_out_of_one_quota() {
        let quota = Quota::new(ByteSize::kib(1));
        let (log, stdout) = (Lines::of("log", quota.clone()), Output::new("stdout", quota.clone()));
        log.write(Level::Info, &"x".repeat(500));
        stdout.take(&[b'x'; 300]);
        stdout.take(b"\n");
        assert_eq!(quota.0.load(Ordering::Relaxed), 1024 - 500 - 300 - 2 * AROUND_LINE);
        log.write(Level::Info, &"x".repeat(100));
        assert_eq!(quota.take(0), Room::None, "what is too much is dropped for good");
    }

    #[test]
    fn only_the_first_line_that_is_too_much_is_one_to_speak_of() {
        let quota = Quota::new(ByteSize::kib(1));
        for _ in 0..1024 / AROUND_LINE {
            assert_eq!(quota.take(0), Room::Enough);
        }
        assert_eq!([quota.take(0), quota.take(0)], [Room::Exceeded, Room::None]);
        assert_eq!(Quota::new(ByteSize(0)).take(0), Room::None);
    }

    #[test]
    fn a_stream_without_newlines_holds_one_line() {
        let output = Output::new("stdout", Quota::new(ByteSize::kib(64)));
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
