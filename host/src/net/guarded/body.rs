//! The body of a response: frame by frame, with a deadline on silence and one on the whole.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::error::{Fault, OutError};
use crate::config::Origin;
use crate::net::TimeoutPhase;

/// A body that is still coming. Dropping it ends the reading: it closes an HTTP/1.1 connection
/// and resets an HTTP/2 stream.
pub struct ResponseBody {
    body: Incoming,
    origin: Origin,
    idle: Duration,
    end: Instant,
    /// Set anew with each frame.
    silence: Pin<Box<Sleep>>,
}

impl ResponseBody {
    pub(super) fn new(body: Incoming, origin: Origin, idle: Duration, end: Instant) -> Self {
        let silence = Box::pin(sleep_until(next(idle, end)));
        Self { body, origin, idle, end, silence }
    }

    fn failed(&self, fault: Fault) -> OutError {
        OutError { origin: self.origin.clone(), fault }
    }
}

fn next(idle: Duration, end: Instant) -> Instant {
    Instant::now().checked_add(idle).map_or(end, |next| next.min(end))
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = OutError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, OutError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let deadline = next(self.idle, self.end);
            self.silence.as_mut().reset(deadline);
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| self.failed(Fault::of_http(&error)))));
        }
        self.silence.as_mut().poll(cx).map(|()| {
            let fault = Fault::Timeout { phase: TimeoutPhase::Idle, after: self.idle };
            Some(Err(self.failed(fault)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
