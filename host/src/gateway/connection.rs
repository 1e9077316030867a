//! One client's connection: its requests in order, its events, its end.
//!
//! A single task owns all of it, and waits for several things at once in [`Connection::poll_step`]
//! without lock or queue of its own. It reads a request only when the one before is answered and
//! the client takes what is sent to it, and takes an event from a feed only then too: whoever
//! does not read fills nothing but its own bounded queues.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::debug;

use super::Shared;
use super::access::Standing;
use super::feed::{Feeds, Notice, Turn};
use super::rpc::{self, Effect, Proof, Replies, Reply, RpcError};
use super::socket::{Lost, Received, Socket};
use super::work::{Applied, Verdict, Work};
use crate::agent::Ticket;
use crate::store::{ErrorCode, Seq, SessionKey};

/// How often it is looked at whether a client is silent: the second time it is asked for a sign of
/// life, and the third time it counts as gone.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a client may take to accept what is left for it when the gateway ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Requests and events that are served in a row before other tasks, the timer and the gateway's end
/// get a look. What is there already would otherwise never let go.
const BURST: u32 = 64;

/// The largest message before authentication: `auth` with a long token.
pub(super) const MAX_UNAUTHORISED_MESSAGE: usize = 4 << 10;

/// The close code of an unauthorised connection: RFC 6455 leaves 4000 to 4999 to applications.
const UNAUTHORISED: u16 = 4401;

/// A client's connection.
pub(super) struct Connection {
    shared: Arc<Shared>,
    socket: Socket,
    feeds: Feeds,
    standing: Standing,
    work: Option<Work>,
    /// What was served last waits, so that neither requests nor events starve the other.
    preferred: Source,
    /// What was served in a row.
    burst: u32,
    phase: Phase,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    timer: Pin<Box<Sleep>>,
    life: Life,
    /// The bytes that the client had taken when it was last seen not to take more.
    stalled_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Requests,
    Events,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// The gateway ends: nothing more is read, and what has happened is still told.
    Stopping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Something came since the timer last fired.
    Heard,
    Quiet,
    /// A ping is on its way.
    Asked,
}

/// Something that the connection has to deal with.
enum Step {
    Text(Utf8Bytes),
    Replied(Reply),
    Notice(Notice),
    Stop,
    Tick,
    End(Ending),
}

/// Why a connection ends.
#[derive(Debug)]
enum Ending {
    /// The client said so.
    Closed,
    /// It broke off.
    Gone,
    /// It takes nothing, or does not answer a ping.
    Dead,
    /// It is sent away.
    Refused(CloseCode, &'static str),
}

impl From<Lost> for Ending {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Closed => Self::Closed,
            Lost::Gone => Self::Gone,
            Lost::Violation(code, reason) => Self::Refused(code, reason),
        }
    }
}

impl Connection {
    /// A connection after its handshake. It ends itself soon after `stop`.
    pub(super) fn new(shared: Arc<Shared>, socket: Socket, standing: Standing, stop: CancellationToken) -> Self {
        let dispatcher = &shared.state.dispatcher;
        let feeds =
            Feeds::new(dispatcher.hub().clone(), Arc::clone(dispatcher.store()), shared.config.max_subscriptions);
        let first = match standing {
            Standing::Authorised => SILENCE,
            Standing::MustAuthenticate => shared.config.auth_timeout,
        };
        Self {
            shared,
            socket,
            feeds,
            standing,
            work: None,
            preferred: Source::Requests,
            burst: 0,
            phase: Phase::Serving,
            stop: Box::pin(stop.cancelled_owned()),
            timer: Box::pin(sleep_until(Instant::now() + first)),
            life: Life::Heard,
            stalled_at: None,
        }
    }

    /// Serves the client until one of the two has enough.
    pub(super) async fn run(mut self) {
        let ending = loop {
            let step = poll_fn(|cx| self.poll_step(cx)).await;
            if let Err(ending) = self.take(step) {
                break ending;
            }
        };
        debug!(?ending, "connection ends");
        match ending {
            Ending::Closed => self.socket.end(None).await,
            Ending::Refused(code, reason) => self.socket.end(Some((code, reason))).await,
            Ending::Gone | Ending::Dead => {}
        }
    }

    /// Waits for whatever comes first.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(work) = &mut self.work
                && let Poll::Ready(reply) = work.poll_reply(cx)
            {
                return Poll::Ready(Step::Replied(reply));
            }
            if !self.socket.is_blocked()
                && self.burst < BURST
                && let Poll::Ready(step) = self.poll_sources(cx)
            {
                self.burst += 1;
                return Poll::Ready(step);
            }
            let interrupted = std::mem::take(&mut self.burst) == BURST;
            if interrupted {
                cx.waker().wake_by_ref();
            }
            let was_blocked = self.socket.is_blocked();
            match self.socket.poll_flush(cx) {
                Poll::Ready(Err(lost)) => return Poll::Ready(Step::End(lost.into())),
                Poll::Ready(Ok(())) => {
                    self.stalled_at = None;
                    if was_blocked {
                        continue;
                    }
                    // Without budget, a queue that has more says that it has not.
                    let all_told = !interrupted && coop::has_budget_remaining();
                    if self.phase == Phase::Stopping && self.work.is_none() && all_told {
                        return Poll::Ready(Step::End(Ending::Refused(CloseCode::Away, "the gateway is going down")));
                    }
                }
                Poll::Pending if self.stalled_at.is_none() => {
                    self.stalled_at = Some(self.socket.written());
                    // Otherwise the timer already bounds the whole connection.
                    if self.phase == Phase::Serving && self.standing == Standing::Authorised {
                        self.wait(self.shared.config.write_timeout);
                    }
                }
                Poll::Pending => {}
            }
            if self.phase == Phase::Serving && self.stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Stop);
            }
            ready!(self.timer.as_mut().poll(cx));
            return Poll::Ready(Step::Tick);
        }
    }

    fn poll_sources(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let preferred = self.preferred;
        let other = match preferred {
            Source::Requests => Source::Events,
            Source::Events => Source::Requests,
        };
        for source in [preferred, other] {
            let step = match source {
                Source::Requests => self.poll_request(cx),
                Source::Events => self.poll_event(cx),
            };
            if step.is_ready() {
                self.preferred = if source == preferred { other } else { preferred };
                return step;
            }
        }
        Poll::Pending
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        while self.work.is_none() && self.phase == Phase::Serving && !self.socket.is_blocked() {
            let received = ready!(self.socket.poll_read(cx));
            self.life = Life::Heard;
            match received {
                Ok(Received::Text(text)) => return Poll::Ready(Step::Text(text)),
                Ok(Received::Sign) => {}
                Err(lost) => return Poll::Ready(Step::End(lost.into())),
            }
        }
        Poll::Pending
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        // A batch's answer goes out in one piece, and no event of what it did comes before it.
        if self.work.as_ref().is_some_and(Work::is_batch) {
            return Poll::Pending;
        }
        self.feeds.poll_notice(cx).map(Step::Notice)
    }

    fn take(&mut self, step: Step) -> Result<(), Ending> {
        match step {
            Step::Text(text) => {
                self.work = Some(Work::new(rpc::parse(&text)));
                self.advance()
            }
            Step::Replied(reply) => {
                let outcome = self.apply(reply);
                if let Some(work) = &mut self.work {
                    work.answer(outcome);
                }
                self.advance()
            }
            Step::Notice(Notice::Event(event)) => self.send(rpc::notification("chat.event", &*event)),
            Step::Notice(Notice::Lagged { session, after_seq }) => {
                self.send(rpc::notification("chat.lagged", &Lagged { session: &session, after_seq }))
            }
            Step::Stop => {
                self.phase = Phase::Stopping;
                self.wait(LAST_WORDS);
                Ok(())
            }
            Step::Tick => self.tick(),
            Step::End(ending) => Err(ending),
        }
    }

    /// Goes on with the requests of a message until one takes time, then sends the answers.
    fn advance(&mut self) -> Result<(), Ending> {
        let Some(work) = &mut self.work else { return Ok(()) };
        while let Some(request) = work.next_request() {
            if self.standing == Standing::MustAuthenticate && request.method != rpc::Methods::AUTH {
                let message = "the first request must be `auth`, with the gateway's token";
                work.refuse(request.id, &RpcError::unauthorised(message));
                continue;
            }
            let call = self.shared.methods.call(Arc::clone(&self.shared), &request.method, request.params.as_deref());
            work.start(request.id, call);
            return Ok(());
        }
        let Some(finished) = self.work.take().map(Work::finish) else { return Ok(()) };
        if let Some(text) = finished.text {
            self.send(text)?;
        }
        finished.tickets.into_iter().for_each(Ticket::start);
        // Whatever came first, it was no valid `auth`.
        if finished.verdict == Verdict::SendAway || self.standing == Standing::MustAuthenticate {
            return Err(unauthorised());
        }
        Ok(())
    }

    /// Does what an answer changes of this connection. Its result is sent afterwards.
    fn apply(&mut self, reply: Reply) -> Result<Applied, RpcError> {
        let (result, effect) = reply?.into_parts();
        let mut started = None;
        match effect {
            Effect::None => {}
            Effect::Authorise(Proof::Token) => self.authorise(),
            Effect::Authorise(Proof::None) if self.standing == Standing::Authorised => {}
            Effect::Authorise(Proof::None) => return Err(RpcError::unauthorised("`token` is missing")),
            Effect::Follow { session, turn, ticket } => {
                let turn = if ticket.is_some() { Turn::New(turn) } else { Turn::Again(turn) };
                self.feeds.follow(&session, turn);
                started = ticket;
            }
            Effect::Subscribe { session, after } => {
                let subscribed = self.feeds.subscribe(&session, after);
                subscribed.map_err(|error| RpcError::application(ErrorCode::Busy, error.to_string()))?;
            }
            Effect::Unsubscribe { session } => self.feeds.unsubscribe(&session),
        }
        Ok(Applied { result, ticket: started })
    }

    fn authorise(&mut self) {
        if self.standing == Standing::MustAuthenticate {
            self.standing = Standing::Authorised;
            self.socket.set_max_message(self.shared.config.max_message.bytes());
            self.wait(SILENCE);
        }
    }

    fn tick(&mut self) -> Result<(), Ending> {
        if self.phase == Phase::Stopping {
            return Err(Ending::Dead);
        }
        if self.standing == Standing::MustAuthenticate {
            let mut replies = Replies::to_single();
            let within = self.shared.config.auth_timeout;
            replies.add(&rpc::Id::null(), Err(&RpcError::unauthorised(format!("no `auth` within {within:?}"))));
            self.send(replies.into_text().unwrap_or_default())?;
            return Err(unauthorised());
        }
        if let Some(before) = self.stalled_at {
            let written = self.socket.written();
            if written == before {
                return Err(Ending::Dead);
            }
            self.stalled_at = Some(written);
            self.wait(self.shared.config.write_timeout);
            return Ok(());
        }
        self.life = match self.life {
            // While a request is at work nothing is read, neither a pong nor a ping of the client's: it
            // is shown that we live.
            _ if self.work.is_some() => {
                self.socket.ping()?;
                Life::Heard
            }
            Life::Heard => Life::Quiet,
            Life::Quiet => {
                self.socket.ping()?;
                Life::Asked
            }
            Life::Asked => return Err(Ending::Dead),
        };
        self.wait(SILENCE);
        Ok(())
    }

    fn send(&mut self, text: String) -> Result<(), Ending> {
        self.socket.send(text).map_err(Ending::from)
    }

    fn wait(&mut self, duration: Duration) {
        self.timer.as_mut().reset(Instant::now() + duration);
    }
}

fn unauthorised() -> Ending {
    Ending::Refused(UNAUTHORISED.into(), "unauthorised")
}

/// The parameters of `chat.lagged`.
#[derive(serde::Serialize)]
struct Lagged<'a> {
    session: &'a SessionKey,
    after_seq: Seq,
}
