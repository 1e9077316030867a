//! What came back: bounded, and without secrets.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::Either;
use hyper::HeaderMap;
use hyper::Response;
use hyper::body::Body;

use super::OutwardError;
use crate::net::ResponseBody;
use crate::runtime::bindings::types::{self, Header};
use crate::runtime::channel_out;
use crate::runtime::egress_secrets::{RedactedBody, Redactor};

/// A file that is coming.
pub(in crate::channel) struct Download {
    pub(in crate::channel) status: u16,
    pub(in crate::channel) headers: Vec<Header>,
    pub(in crate::channel) body: DownloadBody,
}

/// Its bytes, as they come.
pub(in crate::channel) struct DownloadBody {
    body: Hidden,
    limit: u64,
    left: u64,
}

/// Why a file did not come whole.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::channel) enum DownloadError {
    #[error("it is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("{0}")]
    Broken(String),
}

/// The whole of an answer.
pub(super) async fn whole(
    response: Response<ResponseBody>,
    redactor: Option<&Redactor>,
    limit: u64,
) -> Result<types::Response, OutwardError> {
    let Download { status, headers, mut body } = download(response, redactor, limit)?;
    let mut bytes = BytesMut::new();
    while let Some(piece) = futures_util::StreamExt::next(&mut body).await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(DownloadError::TooLarge { limit }) => return Err(OutwardError::AnswerTooLarge { limit }),
            Err(DownloadError::Broken(reason)) => return Err(OutwardError::Broken(reason)),
        }
    }
    Ok(types::Response { status, headers, body: bytes.into() })
}

/// An answer's head, and its body as it comes.
pub(super) fn download(
    response: Response<ResponseBody>,
    redactor: Option<&Redactor>,
    limit: u64,
) -> Result<Download, OutwardError> {
    let (mut head, body) = response.into_parts();
    channel_out::incoming(&mut head, redactor)?;
    if channel_out::size(&head.headers) > channel_out::MAX_FIELDS {
        return Err(OutwardError::HeadTooLarge);
    }
    if body.size_hint().lower() > limit {
        return Err(OutwardError::AnswerTooLarge { limit });
    }
    let body = DownloadBody { body: hidden(body, redactor), limit, left: limit };
    Ok(Download { status: head.status.as_u16(), headers: headers(&head.headers), body })
}

/// A body in which secrets are hidden, where there are some to hide.
pub(in crate::channel) type Hidden = Either<RedactedBody<ResponseBody>, ResponseBody>;

pub(super) fn hidden(body: ResponseBody, redactor: Option<&Redactor>) -> Hidden {
    match redactor {
        Some(redactor) => Either::Left(RedactedBody::new(body, redactor)),
        None => Either::Right(body),
    }
}

/// Headers, as a channel has them. What is no UTF-8 in a value reads as U+FFFD.
fn headers(headers: &HeaderMap) -> Vec<Header> {
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| Header {
        name: name.as_str().to_owned(),
        value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
    };
    headers.iter().map(header).collect()
}

impl Stream for DownloadBody {
    type Item = Result<Bytes, DownloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(DownloadError::Broken(error.to_string())))),
                Some(Ok(frame)) => frame,
            };
            // Trailers say nothing that a channel knows of.
            let Ok(data) = frame.into_data() else { continue };
            return Poll::Ready(Some(match this.left.checked_sub(data.len() as u64) {
                Some(left) => {
                    this.left = left;
                    Ok(data)
                }
                None => Err(DownloadError::TooLarge { limit: this.limit }),
            }));
        }
    }
}
