//! One message's requests, on their way to their answers.

use std::task::{Context, Poll};

use serde_json::value::RawValue;

use super::rpc::{Call, Entry, Id, Incoming, Replies, Reply, Request, RpcError};
use crate::agent::Ticket;

/// The requests of one message: they run one after the other, and their answers go out together.
pub(super) struct Work {
    waiting: std::vec::IntoIter<Entry>,
    running: Option<Running>,
    replies: Replies,
    /// Turns that begin once the answers are on their way.
    tickets: Vec<Ticket>,
    shape: Shape,
    verdict: Verdict,
}

struct Running {
    id: Option<Id>,
    call: Call,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Single,
    Batch,
}

/// Whether the connection may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    /// The client is not who it should be; what it still asks is not looked at.
    SendAway,
}

/// An answer that did to the connection what it had to.
pub(super) struct Applied {
    pub(super) result: Box<RawValue>,
    pub(super) ticket: Option<Ticket>,
}

/// What is left when everything is answered.
pub(super) struct Finished {
    pub(super) text: Option<String>,
    pub(super) tickets: Vec<Ticket>,
    pub(super) verdict: Verdict,
}

impl Work {
    pub(super) fn new(incoming: Incoming) -> Self {
        let (entries, replies, shape) = match incoming {
            Incoming::Single(entry) => (vec![entry], Replies::to_single(), Shape::Single),
            Incoming::Batch(entries) => (entries, Replies::to_batch(), Shape::Batch),
        };
        let waiting = entries.into_iter();
        Self { waiting, running: None, replies, tickets: Vec::new(), shape, verdict: Verdict::GoOn }
    }

    pub(super) fn is_batch(&self) -> bool {
        self.shape == Shape::Batch
    }

    /// The next request. What is none is answered on the way.
    pub(super) fn next_request(&mut self) -> Option<Request> {
        while self.verdict == Verdict::GoOn {
            match self.waiting.next()? {
                Ok(request) => return Some(request),
                Err(invalid) => self.replies.add(&invalid.id, Err(&invalid.error)),
            }
        }
        None
    }

    pub(super) fn start(&mut self, id: Option<Id>, call: Call) {
        self.running = Some(Running { id, call });
    }

    pub(super) fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        match &mut self.running {
            Some(running) => running.call.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Answers the request that was running.
    pub(super) fn answer(&mut self, outcome: Result<Applied, RpcError>) {
        let id = self.running.take().and_then(|running| running.id);
        match outcome {
            Ok(applied) => {
                if let Some(id) = id {
                    self.replies.add(&id, Ok(&applied.result));
                }
                self.tickets.extend(applied.ticket);
            }
            Err(error) => self.refuse(id, &error),
        }
    }

    /// Answers a request with an error.
    pub(super) fn refuse(&mut self, id: Option<Id>, error: &RpcError) {
        if let Some(id) = id {
            self.replies.add(&id, Err(error));
        }
        if error.is_unauthorised() {
            self.verdict = Verdict::SendAway;
        }
    }

    pub(super) fn finish(self) -> Finished {
        Finished { text: self.replies.into_text(), tickets: self.tickets, verdict: self.verdict }
    }
}
