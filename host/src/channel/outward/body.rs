//! The body of a channel's request: what it wrote, and files streamed past it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue};

use super::{FileSource, OpenFile, Unsent, multipart};
use crate::net::RequestBody;
use crate::runtime::bindings::channel::{Body, Piece};
use crate::runtime::egress_secrets::Joined;

/// Joins a template for the request's origin.
pub(super) type Join<'a> = &'a (dyn Fn(&[Piece]) -> Result<Joined, Unsent> + Send + Sync);

/// A request's body, and its media type where the host knows better than the channel. What the channel
/// wrote of it has at most `limit` bytes.
pub(super) async fn build(
    body: &Body,
    limit: u64,
    files: &dyn FileSource,
    join: impl Fn(&[Piece]) -> Result<Joined, Unsent> + Send + Sync,
) -> Result<(RequestBody, Option<HeaderValue>), Unsent> {
    let bounded = |bytes: Bytes| match bytes.len() as u64 > limit {
        true => Err(Unsent::BodyTooLarge { limit }),
        false => Ok(full(bytes)),
    };
    match body {
        Body::Text(pieces) => Ok((bounded(Bytes::copy_from_slice(join(pieces)?.expose().as_bytes()))?, None)),
        Body::Bytes(bytes) => Ok((bounded(Bytes::copy_from_slice(bytes))?, None)),
        Body::File(file) => {
            let OpenFile { size, body } = open(files, file).await?;
            Ok((Sized::new(body, size).boxed_unsync(), None))
        }
        Body::Form(fields) => {
            let (body, content_type) = multipart::build(fields, limit, files, &join).await?;
            Ok((body, Some(content_type)))
        }
    }
}

pub(super) async fn open(files: &dyn FileSource, file: &str) -> Result<OpenFile, Unsent> {
    files.open(file).await.map_err(|error| Unsent::File { file: crate::text::one_line(file, 64), error })
}

pub(super) fn empty() -> RequestBody {
    full(Bytes::new())
}

fn full(bytes: Bytes) -> RequestBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, Unsent> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unsent::HeaderName(crate::text::one_line(name, 64)))
}

/// A body whose length is known before its bytes are: so it says the length, and a source that turns
/// out longer or shorter breaks the request off instead of lying to the platform.
pub(super) struct Sized {
    parts: BoxStream<'static, io::Result<Bytes>>,
    left: u64,
}

impl Sized {
    pub(super) fn new(parts: BoxStream<'static, io::Result<Bytes>>, size: u64) -> Self {
        Self { parts, left: size }
    }
}

/// One part of a [`Sized`] body.
pub(super) enum Part {
    Bytes(Bytes),
    File(OpenFile),
}

impl Sized {
    /// All of these, one after the other.
    pub(super) fn of(parts: Vec<Part>) -> Self {
        let size = parts.iter().map(|part| match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File(file) => file.size,
        });
        let size = size.fold(0_u64, u64::saturating_add);
        let stream = stream::iter(parts).flat_map(|part| match part {
            Part::Bytes(bytes) => stream::once(std::future::ready(Ok(bytes))).boxed(),
            // Each file is as long as it said, or the length of the whole would hide it.
            Part::File(file) => StreamExt::boxed(Sized::new(file.body, file.size)),
        });
        Self::new(stream.boxed(), size)
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        Poll::Ready(match ready!(self.parts.as_mut().poll_next(cx)) {
            Some(Ok(bytes)) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Some(Ok(bytes))
                }
                None => Some(Err(io::Error::other("the file is longer than it said"))),
            },
            Some(Err(error)) => Some(Err(error)),
            None if self.left > 0 => {
                self.left = 0;
                Some(Err(io::Error::other("the file is shorter than it said")))
            }
            None => None,
        })
    }
}

impl Stream for Sized {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.poll_part(cx)
    }
}

impl HttpBody for Sized {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.poll_part(cx).map(|part| part.map(|part| part.map(Frame::data).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
