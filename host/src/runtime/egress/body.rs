//! Bodies, as they pass: counted, bounded, and never longer there than their call.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::{Error, WasiBody};

use super::{MAX_FIELDS, Traffic, fault, headers};
use crate::config::ByteSize;
use crate::net::ResponseBody;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a request's body and its response share.
#[derive(Debug)]
pub(super) struct Exchange {
    traffic: Arc<Traffic>,
    limit: ByteSize,
    /// The request's body was larger than it may be. The peer only sees it end.
    overrun: AtomicBool,
}

impl Exchange {
    pub(super) fn new(traffic: Arc<Traffic>, limit: ByteSize) -> Arc<Self> {
        Arc::new(Self { traffic, limit, overrun: AtomicBool::new(false) })
    }

    /// The error for a request's body that is larger than it may be.
    pub(super) fn request_too_large(&self) -> Error {
        Error::HttpRequestBodySize(Some(self.limit.0))
    }

    /// The error for a response's body that is larger than it may be.
    pub(super) fn response_too_large(&self) -> Error {
        Error::HttpResponseBodySize(Some(self.limit.0))
    }

    /// What went wrong, where the request's own body did; else what seems to have.
    pub(super) fn cause(&self, seen: Error) -> Error {
        if self.overrun.load(Ordering::Relaxed) { self.request_too_large() } else { seen }
    }
}

/// Counts a part of a body. False: it is beyond the limit.
fn count(bytes: usize, left: &mut u64, traffic: &Traffic) -> bool {
    traffic.add(bytes);
    match left.checked_sub(bytes as u64) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

/// The body of a request.
pub(super) struct Outgoing {
    body: WasiBody,
    left: u64,
    exchange: Arc<Exchange>,
    /// Gone when the call has ended.
    call: Weak<()>,
}

impl Outgoing {
    pub(super) fn new(body: WasiBody, exchange: Arc<Exchange>, call: Weak<()>) -> Self {
        Self { body, left: exchange.limit.0, exchange, call }
    }
}

/// A request's body that can't go on.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the request's body is larger than it may be")]
    TooLarge,
    #[error("the call ended before its request did")]
    CallEnded,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // The end of a call closes the guest's end of the body, as if it were whole. A peer must not
        // take half a request for one.
        if self.call.strong_count() == 0 {
            return Poll::Ready(Some(Err(Cut::CallEnded.into())));
        }
        let this = &mut *self;
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) + frame.trailers_ref().map_or(0, headers::size);
                if count(bytes, &mut this.left, &this.exchange.traffic) {
                    Some(Ok(frame))
                } else {
                    this.exchange.overrun.store(true, Ordering::Relaxed);
                    Some(Err(Cut::TooLarge.into()))
                }
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response.
pub(super) struct Incoming {
    body: ResponseBody,
    left: u64,
    exchange: Arc<Exchange>,
    /// One of the call's requests.
    _permit: OwnedSemaphorePermit,
}

impl Incoming {
    pub(super) fn new(body: ResponseBody, exchange: Arc<Exchange>, permit: OwnedSemaphorePermit) -> Self {
        Self { body, left: exchange.limit.0, exchange, _permit: permit }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let this = &mut *self;
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(if let Some(trailers) = frame.trailers_ref() {
                let bytes = headers::size(trailers);
                this.exchange.traffic.add(bytes);
                match bytes > MAX_FIELDS {
                    true => Err(Error::HttpResponseTrailerSectionSize(Some(MAX_FIELDS as u32))),
                    false => Ok(frame),
                }
            } else {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                match count(bytes, &mut this.left, &this.exchange.traffic) {
                    true => Ok(frame),
                    false => Err(this.exchange.response_too_large()),
                }
            }),
            Some(Err(error)) => {
                tracing::debug!(%error, "a plugin's response broke off");
                Some(Err(this.exchange.cause(fault::in_body(&error.fault))))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
