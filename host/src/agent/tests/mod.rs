//! Turns and lanes, with a model that the test holds in its hand.

mod delivery;
mod flaky;
mod life;
mod opening;
mod recovery;
mod restart;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::mpsc;

use super::*;
use crate::config::{AgentConfig, AgentName, Config, LimitsConfig, ModelName};
use crate::provider::{EventStream, Jitter, Provider, ProviderError, Providers, Request, StreamEvent};
use crate::runtime::Registry;
use crate::store::{
    Block, CallOutcome, DoneReason, DynStore, Epoch, ErrorCode, Event, EventBody, LedgerFilter, MemoryLimits,
    MemoryStore, Role, SessionKey, StopReason,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What the test does with one call of the model.
struct Call {
    request: Request,
    answer: mpsc::UnboundedSender<StreamEvent>,
}

impl Call {
    fn say(&self, text: &str) {
        let _ = self.answer.send(StreamEvent::Text(text.into()));
    }

    fn end(self, text: &str) {
        self.say(text);
        let _ = self.answer.send(StreamEvent::Stopped(StopReason::EndTurn));
    }

    /// The last thing that the user said, and everything that the model did.
    fn texts(&self) -> Vec<String> {
        let text = |block: &Block| match block {
            Block::Text { text } => text.clone(),
            _ => "?".into(),
        };
        self.request.messages.iter().flat_map(|message| &message.blocks).map(text).collect()
    }
}

/// A provider whose calls wait for the test.
struct Held {
    calls: mpsc::UnboundedSender<Call>,
    reading: Arc<AtomicUsize>,
}

struct Reading(Arc<AtomicUsize>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Provider for Held {
    fn name(&self) -> &str {
        "held"
    }

    fn max_retries(&self) -> u32 {
        0
    }

    fn open<'a>(
        &'a self,
        model: &'a str,
        request: &'a Request,
    ) -> BoxFuture<'a, std::result::Result<EventStream, ProviderError>> {
        assert_ne!(model, "broken", "a fault of ours");
        let (answer, events) = mpsc::unbounded_channel();
        self.reading.fetch_add(1, Ordering::SeqCst);
        let reading = Reading(Arc::clone(&self.reading));
        let _ = self.calls.send(Call { request: request.clone(), answer });
        let stream = futures_util::stream::unfold((events, reading), |(mut events, reading)| async {
            events.recv().await.map(|event| (Ok(event), (events, reading)))
        });
        futures_util::future::ready(Ok(stream.boxed())).boxed()
    }
}

struct Bench {
    dispatcher: Dispatcher,
    calls: tokio::sync::Mutex<mpsc::UnboundedReceiver<Call>>,
    reading: Arc<AtomicUsize>,
}

impl Bench {
    fn new(limits: LimitsConfig) -> Result<Self> {
        Self::over(Arc::new(MemoryStore::new(MemoryLimits::default())), Epoch(1), limits)
    }

    fn over(store: DynStore, epoch: Epoch, limits: LimitsConfig) -> Result<Self> {
        let (sender, calls) = mpsc::unbounded_channel();
        let reading = Arc::<AtomicUsize>::default();
        let held = Held { calls: sender, reading: Arc::clone(&reading) };
        let model = |model: &str| vec![ModelName { provider: "held".into(), model: model.into() }];
        let mut config = Config { limits, ..Config::default() };
        config
            .agents
            .insert(AgentName::default_agent(), AgentConfig { models: model("fine"), ..AgentConfig::default() });
        config.agents.insert("broken".parse()?, AgentConfig { models: model("broken"), ..AgentConfig::default() });
        let dispatcher = Dispatcher::new(Parts {
            config: &config,
            store,
            epoch,
            courier: Arc::new(()),
            attachments: Arc::new(()),
            providers: &Providers::new([Arc::new(held) as Arc<dyn Provider>]),
            jitter: Arc::new(Jitter::seeded(1)),
            tools: &Registry::default(),
        })?;
        Ok(Self { dispatcher, calls: tokio::sync::Mutex::new(calls), reading })
    }

    async fn submit(&self, peer: &str, content: &str) -> std::result::Result<Submitted, SubmitError> {
        self.dispatcher.submit(submission(peer, content)).await
    }

    async fn send(&self, peer: &str, content: &str) -> Result<SessionKey> {
        let submitted = self.submit(peer, content).await?;
        submitted.ticket.ok_or("a repeat")?.start();
        Ok(submitted.session)
    }

    async fn call(&self) -> Result<Call> {
        let mut calls = self.calls.lock().await;
        Ok(tokio::time::timeout(Duration::from_secs(10), calls.recv()).await?.ok_or("no more calls")?)
    }
}

fn submission(peer: &str, content: &str) -> Submission {
    let peer = Peer { channel: "c".into(), account: "a".into(), peer: peer.into(), guild: None, team: None };
    Submission {
        peer,
        agent: None,
        content: content.into(),
        attachments: Vec::new(),
        destination: None,
        idempotency_key: None,
    }
}

/// The ends of the turns that a watcher sees, in order.
struct Ends {
    live: crate::bus::Live,
    open: VecDeque<Arc<Event>>,
}

impl Ends {
    fn of(bench: &Bench, session: &SessionKey) -> Self {
        let attachment = bench.dispatcher.hub().attach(session);
        Self { live: attachment.live, open: attachment.open.into() }
    }

    async fn next(&mut self) -> Result<EventBody> {
        loop {
            let event = match self.open.pop_front() {
                Some(event) => event,
                None => {
                    let next = tokio::time::timeout(Duration::from_secs(10), self.live.recv());
                    next.await?.ok_or("lagged")?
                }
            };
            if event.body.ends_turn() {
                return Ok(event.body.clone());
            }
        }
    }
}

fn reason(body: &EventBody) -> Option<(DoneReason, &str)> {
    match body {
        EventBody::Done { stop_reason, text } => Some((*stop_reason, text)),
        _ => None,
    }
}

#[tokio::test]
async fn the_second_of_two_quick_messages_sees_the_answer_to_the_first() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    bench.send("p", "one").await?;
    bench.send("p", "two").await?;
    let first = bench.call().await?;
    assert_eq!(first.texts(), ["one"]);
    assert_eq!(bench.reading.load(Ordering::SeqCst), 1, "the second waits");
    first.end("answer");
    assert_eq!(bench.call().await?.texts(), ["one", "answer", "two"]);
    Ok(())
}

#[tokio::test]
async fn sessions_do_not_wait_for_one_another() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    for peer in ["p", "q", "r"] {
        bench.send(peer, peer).await?;
    }
    let mut seen = Vec::new();
    let mut held = Vec::new();
    for _ in 0..3 {
        let call = bench.call().await?;
        seen.extend(call.texts());
        held.push(call);
    }
    seen.sort();
    assert_eq!(seen, ["p", "q", "r"]);
    Ok(())
}

#[tokio::test]
async fn messages_run_in_the_order_in_which_they_were_stored_whoever_is_answered_first() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    let first = bench.submit("p", "one").await?;
    let second = bench.submit("p", "two").await?;
    second.ticket.ok_or("a repeat")?.start();
    drop(first.ticket);
    assert_eq!(bench.call().await?.texts(), ["one"]);
    Ok(())
}

#[tokio::test]
async fn an_abort_returns_when_nothing_is_read_any_more_and_keeps_what_was_said() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    let session = bench.send("p", "one").await?;
    let mut ends = Ends::of(&bench, &session);
    let call = bench.call().await?;
    call.say("so far");
    while !matches!(ends.live.recv().await.ok_or("lagged")?.body, EventBody::Text(_)) {}
    assert!(bench.dispatcher.abort(&session, None).await);
    assert_eq!(bench.reading.load(Ordering::SeqCst), 0);
    assert!(call.answer.is_closed());
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::Aborted, "so far")));
    assert!(!bench.dispatcher.abort(&session, None).await, "there is nothing left to stop");
    bench.send("p", "two").await?;
    assert_eq!(bench.call().await?.texts(), ["one", "so far", "two"]);
    Ok(())
}

#[tokio::test]
async fn a_turn_that_waits_can_be_stopped_and_never_asks_the_model() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    let session = bench.send("p", "one").await?;
    let waiting = bench.submit("p", "two").await?;
    let turn = waiting.turn;
    waiting.ticket.ok_or("a repeat")?.start();
    let call = bench.call().await?;
    let mut ends = Ends::of(&bench, &session);
    assert!(bench.dispatcher.abort(&session, Some(turn)).await);
    call.end("answer");
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::EndTurn, "answer")));
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::Aborted, "")));
    assert_eq!(bench.reading.load(Ordering::SeqCst), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_sender_is_not_answered_yet_is_stopped_without_waiting_for_it() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    let submitted = bench.submit("p", "one").await?;
    let start = tokio::time::Instant::now();
    assert!(bench.dispatcher.abort(&submitted.session, None).await);
    assert!(bench.dispatcher.reset(&submitted.session).await?);
    assert_eq!(start.elapsed(), Duration::ZERO);
    let mut ends = Ends::of(&bench, &submitted.session);
    submitted.ticket.ok_or("a repeat")?.start();
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::Aborted, "")));
    assert_eq!(bench.reading.load(Ordering::SeqCst), 0);
    Ok(())
}

#[tokio::test]
async fn a_fault_in_a_turn_ends_that_turn_alone() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    for content in ["one", "two"] {
        let submission = Submission { agent: Some("broken".into()), ..submission("p", content) };
        let submitted = bench.dispatcher.submit(submission).await?;
        let mut ends = Ends::of(&bench, &submitted.session);
        submitted.ticket.ok_or("a repeat")?.start();
        assert!(matches!(ends.next().await?, EventBody::Error(error) if error.code == ErrorCode::Internal));
    }
    let store = bench.dispatcher.store();
    assert!(store.open_turns(None, 10).await?.is_empty());
    let records = store.ledger(&LedgerFilter::default(), None, 10).await?.items;
    let ends: Vec<_> = records.iter().filter_map(|record| record.end.as_ref()).map(|end| end.outcome).collect();
    assert_eq!(ends, [CallOutcome::Lost; 2], "what they consumed is estimated");
    bench.send("p", "one").await?;
    assert_eq!(bench.call().await?.texts(), ["one"]);
    Ok(())
}

#[tokio::test]
async fn a_full_lane_refuses_and_takes_again_when_there_is_room() -> Result {
    let bench = Bench::new(LimitsConfig { queued: 1, ..LimitsConfig::default() })?;
    let session = bench.send("p", "runs").await?;
    let call = bench.call().await?;
    bench.send("p", "waits").await?;
    assert!(matches!(bench.submit("p", "too much").await, Err(SubmitError::SessionFull { limit: 1 })));
    bench.send("q", "another session has room").await?;
    let mut ends = Ends::of(&bench, &session);
    call.end("answer");
    ends.next().await?;
    bench.call().await?;
    bench.call().await?;
    bench.send("p", "room again").await?;
    Ok(())
}

#[tokio::test]
async fn draining_lets_what_runs_finish_tells_what_waits_and_takes_nothing() -> Result {
    let bench = Arc::new(Bench::new(LimitsConfig::default())?);
    let session = bench.send("p", "runs").await?;
    bench.send("p", "waits").await?;
    let mut ends = Ends::of(&bench, &session);
    let call = bench.call().await?;
    let drained = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.dispatcher.drain(Duration::from_secs(10)).await }
    });
    while bench.submit("q", "late").await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(bench.submit("q", "late").await, Err(SubmitError::Draining)));
    call.end("answer");
    assert_eq!(reason(&ends.next().await?), Some((DoneReason::EndTurn, "answer")));
    assert!(matches!(ends.next().await?, EventBody::Error(error) if error.code == ErrorCode::Busy && error.retryable));
    drained.await?;
    assert_eq!(bench.dispatcher.load(), Load { running: 0, queued: 0 });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_too_long_stops_what_runs() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    let session = bench.send("p", "runs").await?;
    let mut ends = Ends::of(&bench, &session);
    let _held = bench.call().await?;
    bench.dispatcher.drain(Duration::from_secs(60)).await;
    assert!(matches!(ends.next().await?, EventBody::Error(error) if error.code == ErrorCode::Busy));
    Ok(())
}

#[tokio::test]
async fn a_reset_begins_the_context_anew_and_stops_what_runs() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    let session = bench.send("p", "old").await?;
    let _held = bench.call().await?;
    assert!(bench.dispatcher.reset(&session).await?);
    assert_eq!(bench.reading.load(Ordering::SeqCst), 0);
    bench.send("p", "new").await?;
    assert_eq!(bench.call().await?.texts(), ["new"]);
    let history = bench.dispatcher.store().history(&session, None, 10).await?;
    assert_eq!(history.items.len(), 2, "the history keeps the past");
    assert!(history.items.iter().all(|stored| stored.message.role == Role::User));
    Ok(())
}

#[tokio::test]
async fn repeats_of_a_key_are_one_turn_also_when_they_come_together() -> Result {
    let bench = Arc::new(Bench::new(LimitsConfig::default())?);
    let turns = Arc::new(Mutex::new(Vec::new()));
    let mut together = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (bench, turns) = (Arc::clone(&bench), Arc::clone(&turns));
        together.spawn(async move {
            let keyed = Submission { idempotency_key: Some("k".into()), ..submission("p", "once") };
            let submitted = bench.dispatcher.submit(keyed).await.expect("accepted");
            turns.lock().expect("not poisoned").push((submitted.turn, submitted.ticket.is_some()));
        });
    }
    together.join_all().await;
    let turns = turns.lock().expect("not poisoned").clone();
    assert!(turns.iter().all(|(turn, _)| *turn == turns[0].0));
    assert_eq!(turns.iter().filter(|(_, new)| *new).count(), 1);
    let other = Submission { idempotency_key: Some("k".into()), ..submission("p", "something else") };
    assert!(matches!(bench.dispatcher.submit(other).await, Err(SubmitError::KeyReused)));
    bench.call().await?;
    assert_eq!(bench.reading.load(Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn a_message_with_an_attachment_that_is_not_to_be_had_is_answered_with_a_note_of_it() -> Result {
    let bench = Bench::new(LimitsConfig::default())?;
    let attachment = crate::store::Attachment {
        file: crate::store::FileId::new(1).to_string(),
        channel: "c".into(),
        mime_type: "image/png".into(),
        name: Some("cat.png".into()),
        size: Some(3),
        handle: String::new(),
    };
    let with = Submission { attachments: vec![attachment; 12], ..submission("p", "what is this?") };
    bench.dispatcher.submit(with).await?.ticket.ok_or("a repeat")?.start();
    let call = bench.call().await?;
    let blocks = &call.request.messages[0].blocks;
    assert_eq!(blocks.len(), 11, "ten at most, besides the text");
    let note = "[cat.png, image/png: it could not be fetched: this gateway fetches no attachments]";
    assert!(matches!(&blocks[1], Block::Text { text } if text == note), "{:?}", blocks[1]);
    // The history has what was sent.
    let history = bench.dispatcher.store().history(&"default:c:a:p".parse()?, None, 10).await?;
    assert!(matches!(&history.items[0].message.blocks[10], Block::Attachment(kept) if kept.name.is_some()));
    Ok(())
}
