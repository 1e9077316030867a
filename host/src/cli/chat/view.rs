//! Where a turn is shown: on a screen, in a file, or as JSON.

use std::io;

use serde_json::value::RawValue;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::screen::{Piece, Screen, Style};
use crate::store::{Event, TurnError};

/// Standard output or error, or a test's buffer.
pub(super) type Stream = Box<dyn AsyncWrite + Unpin>;

/// What becomes of what stands beside the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asides {
    /// It goes where the reply goes.
    WithReply,
    /// It goes to standard error.
    Apart,
    /// It is left out, but for what must be seen, which goes to standard error.
    Hidden,
}

/// How a conversation is shown.
pub(super) struct View {
    stdout: Stream,
    stderr: Stream,
    shape: Shape,
}

enum Shape {
    Json,
    People { style: Style, asides: Asides, screen: Box<Screen> },
}

impl View {
    pub(super) fn people(stdout: Stream, stderr: Stream, style: Style, asides: Asides) -> Self {
        Self { stdout, stderr, shape: Shape::People { style, asides, screen: Box::new(Screen::new(style)) } }
    }

    pub(super) fn json(stdout: Stream, stderr: Stream) -> Self {
        Self { stdout, stderr, shape: Shape::Json }
    }

    /// A new turn begins.
    pub(super) fn begin(&mut self) {
        if let Shape::People { style, screen, .. } = &mut self.shape {
            **screen = Screen::new(*style);
        }
    }

    /// An event of the turn; `raw` is its text as the gateway sent it.
    pub(super) async fn event(&mut self, raw: &RawValue, event: &Event) -> io::Result<()> {
        match &mut self.shape {
            Shape::Json => {
                // One line each, whatever blanks the gateway sends: JSON's texts hold no line end.
                let line = raw.get().replace(['\n', '\r'], " ") + "\n";
                write(&mut self.stdout, &line).await
            }
            Shape::People { screen, .. } => {
                let pieces = screen.show(&event.body);
                self.pieces(pieces).await
            }
        }
    }

    /// The message was refused, or the turn's end will never be known.
    pub(super) async fn failed(&mut self, error: &TurnError) -> io::Result<()> {
        match &mut self.shape {
            Shape::Json => {
                let TurnError { code, message, retryable, .. } = error;
                let event = serde_json::json!({
                    "type": "error", "code": code.number(), "message": message, "retryable": retryable
                });
                write(&mut self.stdout, &format!("{event}\n")).await
            }
            Shape::People { screen, .. } => {
                let pieces = screen.show(&crate::store::EventBody::Error(error.clone()));
                self.pieces(pieces).await
            }
        }
    }

    /// A word of the client's own.
    pub(super) async fn notice(&mut self, words: &str) -> io::Result<()> {
        match &mut self.shape {
            Shape::Json => write(&mut self.stderr, &format!("{}\n", crate::text::escape(words, &[]))).await,
            Shape::People { screen, .. } => {
                let pieces = screen.notice(words);
                self.pieces(pieces).await
            }
        }
    }

    /// Lines that were asked for.
    pub(super) async fn plain(&mut self, lines: &str) -> io::Result<()> {
        let stream = if matches!(self.shape, Shape::Json) { &mut self.stderr } else { &mut self.stdout };
        write(stream, &format!("{}\n", crate::text::escape(lines, &['\n']))).await
    }

    async fn pieces(&mut self, pieces: Vec<Piece>) -> io::Result<()> {
        let Shape::People { asides, .. } = self.shape else { return Ok(()) };
        for piece in pieces {
            match (piece, asides) {
                (Piece::Reply(text), _) | (Piece::Aside(text) | Piece::Notice(text), Asides::WithReply) => {
                    write(&mut self.stdout, &text).await?;
                }
                (Piece::Aside(_), Asides::Hidden) => {}
                (Piece::Aside(text) | Piece::Notice(text), _) => write(&mut self.stderr, &text).await?,
            }
        }
        Ok(())
    }
}

async fn write(stream: &mut Stream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}
