//! One turn: ask the model, run the tools that it calls, ask again, until it has said all.
//!
//! A turn may be stopped between any two awaits by dropping its future. What it had done by then
//! stands in [`Work`], which outlives the future, and [`end::settle`] makes a whole end of it: no call
//! without a result in the history, no consumption without a record, exactly one last event.
//!
//! It may also lose its process between any two lines. So what it does is stored as it goes, in
//! transactions that each leave the turn where it can be taken up again ([`resume`]): before a
//! provider is asked, with each message, before calls that cannot be repeated, with their results,
//! and at the end.

mod calls;
mod cause;
mod end;
mod journal;
mod model;
mod patience;
mod resume;

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::attachments::{Attachments, Desk};
use super::context::{self, Context};
use super::courier::{Courier, Passage};
use super::job::{Cause, Job, Origin};
use super::reply::{Calls, Reply};
use crate::metering::{BudgetError, Meter};
use crate::provider::{CachePolicy, ProviderError};
use crate::store::{
    Block, Destination, DoneReason, DynStore, Epoch, ErrorCode, EventBody, FileRef, Message, Permanence, Step,
    StopReason, StoreError, StoredMessage, Timestamp, ToolContent, ToolUse, TurnError,
};
use calls::{Call, Instead};
use journal::{Change, Journal};
use model::Asked;
use patience::{Patience, until_well};
use resume::TakenUp;

/// The most files of one turn that are sent along with its answer.
const MAX_FILES: usize = 10;

/// What turns share.
pub(super) struct Shared {
    pub(super) store: DynStore,
    /// As whom this process owns the store.
    pub(super) epoch: Epoch,
    /// Messages that may wait in one session.
    pub(super) queued: usize,
    /// Carries answers to platforms.
    pub(super) courier: Arc<dyn Courier>,
    /// Fetches what people send along.
    pub(super) attachments: Arc<dyn Attachments>,
    /// Counts calls of models, and holds them to the budgets.
    pub(super) meter: Meter,
    /// Cancelled when the gateway waits for no turn any more.
    pub(super) closing: CancellationToken,
}

impl Shared {
    /// Whether turns that did not end are there at the next start.
    pub(super) fn keeps_turns(&self) -> bool {
        self.store.permanence() == Permanence::Durable
    }
}

/// A turn that runs, with what it shares with others.
#[derive(Clone, Copy)]
struct Turn<'a> {
    shared: &'a Shared,
    job: &'a Job,
}

impl Turn<'_> {
    /// A step of the turn that adds nothing yet.
    fn step(self) -> Step {
        Step::of(self.job.session.clone(), self.job.turn, self.shared.epoch, Timestamp::now())
    }

    /// The newest messages of the session: all of the turn, and those before it.
    async fn history(self) -> Result<Vec<StoredMessage>, StoreError> {
        let limit = self.job.agent.context_messages(self.shared.queued);
        until_well(self.shared, || self.shared.store.recent(&self.job.session, limit)).await
    }

    /// Tells of an event. Without a number for it, it waits until the store gives some.
    async fn tell(self, body: EventBody) -> Result<(), StoreError> {
        let topic = &self.job.topic;
        let Err(error) = topic.publish(self.job.turn, body).await else { return Ok(()) };
        Patience::default().after(error, self.shared).await?;
        until_well(self.shared, || topic.catch_up()).await
    }

    /// The turn, for who carries its answer.
    fn passage(self, work: &Work) -> Option<Passage> {
        let Job { session, turn, .. } = self.job;
        let destination = work.destination.clone()?;
        Some(Passage { session: session.clone(), turn: *turn, destination })
    }

    /// Goes no further where the turn is to stop: who runs it drops it here.
    async fn unless_stopped(self) {
        if self.job.handle.is_stopped() {
            std::future::pending::<()>().await;
        }
    }
}

/// What a turn has done so far.
#[derive(Default)]
struct Work {
    /// What is not stored yet.
    journal: Journal,
    step: u32,
    /// Whether watchers were told that it runs.
    begun: Begun,
    /// The answer that is being read, and who writes it.
    reply: Reply,
    asked: Option<Asked>,
    /// Where its answer goes.
    destination: Option<Destination>,
    /// Calls of models that it began.
    model_calls: u32,
    /// The texts of earlier steps.
    texts: Vec<String>,
    /// What its tools made for people: each file once, in the order in which they were returned.
    files: Vec<FileRef>,
    /// Calls of tools that no message holds the results of yet.
    calls: Vec<Call>,
    /// Messages that are stored together with the end.
    last: Vec<Arc<Message>>,
    /// How often each call was asked for.
    repeats: HashMap<(String, String), u32>,
    /// Calls of tools made in all.
    made: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Begun {
    #[default]
    No,
    Told,
}

/// Why a turn's steps came to no end of their own.
#[derive(Debug)]
enum Failure {
    Store(StoreError),
    Provider(ProviderError),
    Budget(BudgetError),
    NoModel(super::NoModel),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

/// Runs a turn to its end, whatever that is; or leaves it for the next start, where the gateway goes
/// down and the store keeps it.
pub(super) async fn run(shared: &Shared, job: &Job) {
    let turn = Turn { shared, job };
    let keeps = shared.keeps_turns();
    if keeps && job.handle.is_stopped() && job.handle.cause() == Cause::Shutdown {
        job.handle.heed();
        return end::leave(turn, Work::of(job)).await;
    }
    let mut work = match job.origin {
        Origin::Accepted => Work::of(job),
        Origin::Reopened => match resume::take_up(turn).await {
            Ok(TakenUp::Goes(work)) => *work,
            Ok(TakenUp::Ends(work, error)) => return end::settle(turn, *work, error).await,
            Ok(TakenUp::Gone) => return,
            Err(error) => return end::unstored(turn, &error),
        },
    };
    if let Some(passage) = turn.passage(&work) {
        shared.courier.begun(&passage);
    }
    let limit = job.agent.config.turn_timeout;
    let end = tokio::select! {
        biased;
        () = job.handle.stopped() => match job.handle.heed() {
            Cause::Shutdown if keeps => return end::leave(turn, work).await,
            Cause::Shutdown => error(ErrorCode::Busy, "the gateway is going down; send the message again", true),
            Cause::Aborted => work.done(DoneReason::Aborted),
        },
        outcome = tokio::time::timeout(limit, steps(turn, &mut work)) => match outcome {
            Ok(Ok(reason)) => work.done(reason),
            Ok(Err(failure)) => failure.into_event(turn, &mut work).await,
            Err(_) => error(
                ErrorCode::Provider,
                &format!("the turn took longer than {limit:?}, the limit of `turn_timeout`; it was stopped"),
                true,
            ),
        },
    };
    end::settle(turn, work, end).await;
}

/// Ends a turn whose run panicked, with what the store knows of it.
pub(super) async fn end_fault(shared: &Shared, job: &Job) {
    let turn = Turn { shared, job };
    let fault = error(ErrorCode::Internal, "the gateway failed inside this turn; its log says more", true);
    match resume::take_up(turn).await {
        Ok(TakenUp::Goes(work) | TakenUp::Ends(work, _)) => end::settle(turn, *work, fault).await,
        Ok(TakenUp::Gone) => {}
        Err(error) => end::unstored(turn, &error),
    }
}

fn error(code: ErrorCode, message: &str, retryable: bool) -> EventBody {
    EventBody::Error(TurnError::new(code, message.to_owned(), retryable))
}

impl Failure {
    async fn into_event(self, turn: Turn<'_>, work: &mut Work) -> EventBody {
        match self {
            Self::Store(failure) => error(ErrorCode::Internal, &failure.to_string(), true),
            // What it did stands, and it may not do more.
            Self::Budget(_) if !work.texts.is_empty() => work.done(DoneReason::Budget),
            Self::Budget(refusal) => EventBody::Error(TurnError {
                code: ErrorCode::BudgetExceeded,
                message: refusal.to_string(),
                retryable: refusal.is_momentary(),
                budget: refusal.state().map(Box::new),
            }),
            Self::NoModel(problem) => error(ErrorCode::NoAgent, &problem.to_string(), false),
            Self::Provider(failure) => {
                if let Err(error) = model::refused(turn, work).await {
                    tracing::warn!(%error, "what a call consumed could not be told");
                }
                EventBody::Error(TurnError::new(ErrorCode::Provider, failure.to_string(), failure.retryable()))
            }
        }
    }
}

impl Work {
    /// What a turn has done whose message was just stored.
    fn of(job: &Job) -> Self {
        let asked = job.opening.as_ref().map(|opening| Asked::recorded(opening.call.clone()));
        let model_calls = u32::from(asked.is_some());
        Self { destination: job.destination.clone(), asked, model_calls, ..Self::default() }
    }

    /// The whole reply: what each step wrote, in paragraphs of its own.
    fn done(&self, stop_reason: DoneReason) -> EventBody {
        let current = self.reply.text();
        let texts = self.texts.iter().chain([&current]).map(|text| text.trim());
        let text = texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
        EventBody::Done { stop_reason, text }
    }

    /// Takes in the files that results hold.
    fn keep_files(&mut self, results: &Message) {
        let of_result = |block: &Block| match block {
            Block::ToolResult(result) => result.content.clone(),
            _ => Vec::new(),
        };
        for content in results.blocks.iter().flat_map(of_result) {
            match content {
                ToolContent::File(file) if self.files.len() < MAX_FILES && !self.files.contains(&file) => {
                    self.files.push(file);
                }
                _ => {}
            }
        }
    }

    /// Stores a message of the turn's in the middle.
    async fn add(
        &mut self,
        turn: Turn<'_>,
        messages: &mut Vec<Arc<Message>>,
        message: Arc<Message>,
    ) -> Result<(), StoreError> {
        messages.push(Arc::clone(&message));
        self.journal.commit(turn, Change::Add(vec![message])).await
    }
}

/// Asks and runs tools until there is an end.
async fn steps(turn: Turn<'_>, work: &mut Work) -> Result<DoneReason, Failure> {
    let (job, agent) = (turn.job, &*turn.job.agent);
    if work.begun == Begun::No {
        work.begun = Begun::Told;
        turn.tell(EventBody::Started).await?;
    }
    let models = agent.models.as_ref().map_err(|problem| Failure::NoModel(problem.clone()))?;
    // A turn that was taken up again has none.
    let mut opening = job.opening.as_ref().map(|opening| Arc::clone(&opening.request));
    let (mut messages, cache) = match &opening {
        Some(request) => (request.messages.clone(), request.cache),
        None => shown_history(turn).await?,
    };

    let limit = agent.config.max_steps;
    for step in work.step..limit {
        work.step = step;
        // A turn that was taken up again may have its answer, and lack the results of its calls.
        if work.calls.is_empty() {
            let request = opening.take().unwrap_or_else(|| Arc::new(agent.request(messages.clone(), cache)));
            let stop = model::ask(turn, work, models, request).await?;
            if let Some(end) = take_reply(turn, work, &mut messages, stop).await? {
                return Ok(end);
            }
            if work.calls.is_empty() {
                continue;
            }
        }
        if step + 1 == limit {
            let not_run = format!("Not run: the turn reached its limit of {limit} steps.");
            let results = work.take_results(&Instead { waiting: &not_run, ..Instead::STOPPED });
            work.last.extend(results);
            return Ok(DoneReason::Steps);
        }
        calls::run(turn, work).await?;
        if let Some(results) = work.take_results(&Instead::FAULT) {
            work.add(turn, &mut messages, results).await?;
        }
    }
    Ok(DoneReason::Steps)
}

/// What the model is given of the session's history, with what was sent along, and what of that is worth keeping.
async fn shown_history(turn: Turn<'_>) -> Result<(Vec<Arc<Message>>, CachePolicy), StoreError> {
    let (shared, job) = (turn.shared, turn.job);
    let history = turn.history().await?;
    let desk = Desk { store: &shared.store, session: &job.session, source: &*shared.attachments };
    if let Some(own) = history.iter().find(|stored| stored.turn == job.turn) {
        until_well(shared, || desk.fetch(&own.message)).await?;
    }
    let Context { messages, pause } = context::assemble(&history, job.turn, job.agent.window(shared.queued));
    drop(history);
    let shown = until_well(shared, || desk.shown(messages.clone())).await?;
    Ok((shown, job.agent.cache_policy(&job.session, pause)))
}

/// Stores an answer that is whole and with which the turn goes on: its calls wait in `work`. Says
/// why the turn ends, where it does.
async fn take_reply(
    turn: Turn<'_>,
    work: &mut Work,
    messages: &mut Vec<Arc<Message>>,
    stop: StopReason,
) -> Result<Option<DoneReason>, StoreError> {
    let reply = std::mem::take(&mut work.reply);
    let calls: Vec<ToolUse> = reply.calls().cloned().collect();
    work.texts.push(reply.text());
    let (keep, end) = match stop {
        StopReason::ToolUse if !calls.is_empty() => (Calls::Kept, None),
        StopReason::Pause => (Calls::Dropped, None),
        StopReason::MaxTokens => (Calls::Dropped, Some(DoneReason::MaxTokens)),
        StopReason::Refusal => (Calls::Dropped, Some(DoneReason::Refusal)),
        StopReason::EndTurn | StopReason::ToolUse => (Calls::Dropped, Some(DoneReason::EndTurn)),
    };
    let message = reply.into_message(keep).map(Arc::new);
    if end.is_some() {
        work.last.extend(message);
        return Ok(end);
    }
    if keep == Calls::Kept {
        // Before the message is stored: once it is, each of its calls gets a result, also when the
        // turn is stopped meanwhile.
        work.calls = calls.into_iter().map(Call::new).collect();
    }
    // Stored before the first of its calls is made: after a crash it is known what may have run.
    if let Some(message) = message {
        work.add(turn, messages, message).await?;
    }
    Ok(None)
}
