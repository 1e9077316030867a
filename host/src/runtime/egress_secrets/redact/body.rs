//! A response's body in which secrets are hidden as it passes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};

use super::{Redactor, Stream};

/// The most that is read in one go, in bytes: some tenths of a millisecond.
const PIECE: usize = 16 << 10;

/// A body, its trailers included, without the secrets of the request. As long as the body that it
/// wraps, and as quick, but for the few hundred bytes that [`Stream`] holds back.
pub struct RedactedBody<B> {
    inner: B,
    stream: Stream,
    redactor: Redactor,
    /// Came with the last frame, and is still to be read.
    rest: Bytes,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl<B> RedactedBody<B> {
    /// Wraps a body.
    #[must_use]
    pub fn new(inner: B, redactor: &Redactor) -> Self {
        let (stream, redactor) = (redactor.stream(), redactor.clone());
        Self { inner, stream, redactor, rest: Bytes::new(), trailers: None, ended: false }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RedactedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            if !this.rest.is_empty() {
                let piece = this.rest.split_to(this.rest.len().min(PIECE));
                let given = this.stream.push(&piece);
                if !given.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(given))));
                }
                continue;
            }
            if this.ended {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    // What is held back is of a body that broke off, and may be most of a secret.
                    this.ended = true;
                    this.stream = this.redactor.stream();
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.ended = true;
                    let given = this.stream.finish();
                    if !given.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(given))));
                    }
                    continue;
                }
            };
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(frame) => {
                    // Nothing comes after trailers.
                    let Ok(mut trailers) = frame.into_trailers() else { continue };
                    this.redactor.headers(&mut trailers);
                    this.trailers = Some(trailers);
                    this.ended = true;
                    let given = this.stream.finish();
                    if !given.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(given))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && self.trailers.is_none()
            && self.stream.held() == 0
            && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let here = (self.rest.len() + self.stream.held()) as u64;
        if self.ended {
            return SizeHint::with_exact(here);
        }
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(here));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(here));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, Full, StreamBody};
    use std::io;

    use super::*;
    use crate::secrets::Secret;

    const SECRET: &str = "hunter2-hunter2";

    fn redactor() -> Redactor {
        Redactor::new([&Secret::new(SECRET.into())])
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, io::Error> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    fn echo() -> Result<HeaderMap, hyper::http::Error> {
        Ok([("x-echo".parse()?, SECRET.parse()?), ("x-other".parse()?, "kept".parse()?)].into_iter().collect())
    }

    #[tokio::test]
    async fn data_and_trailers_are_redacted_and_come_in_order() {
        let frames = [data("a hunter2"), data("-hun"), data("ter2 b"), Ok(Frame::trailers(echo().unwrap()))];
        let body = RedactedBody::new(StreamBody::new(stream::iter(frames)), &redactor());
        let whole = body.collect().await.unwrap();
        let trailers = whole.trailers().cloned().unwrap();
        assert_eq!(trailers["x-echo"], "***************");
        assert_eq!(trailers["x-other"], "kept");
        assert_eq!(whole.to_bytes(), "a *************** b");
    }

    #[tokio::test]
    async fn a_line_is_given_as_soon_as_it_has_ended() {
        let frames = stream::iter([data("data: hunter"), data("2\n\n")]).chain(stream::pending());
        let mut body = RedactedBody::new(StreamBody::new(frames), &redactor());
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "data: hunter2\n\n");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_gives_nothing_more() {
        let broken = Err(io::Error::from(io::ErrorKind::ConnectionReset));
        let frames = stream::iter([data("line\nhunter2-hunter"), broken]);
        let mut body = RedactedBody::new(StreamBody::new(frames), &redactor());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "line\n");
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none() && body.is_end_stream());
    }

    #[tokio::test]
    async fn the_length_is_known_all_the_way() {
        let text = format!("{SECRET}{}", "x".repeat(3 * PIECE));
        let mut body = RedactedBody::new(Full::new(Bytes::from(text.clone())), &redactor());
        let mut left = text.len();
        while let Some(frame) = body.frame().await {
            left -= frame.unwrap().into_data().unwrap().len();
            assert_eq!(body.size_hint().exact(), Some(left as u64));
        }
        assert_eq!(left, 0);
        assert!(body.is_end_stream());
    }
}
