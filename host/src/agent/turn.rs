//! One turn: ask the model, run the tools that it calls, ask again, until it has said all.
//!
//! A turn may be stopped between any two awaits by dropping its future. What it had done by then
//! stands in [`Work`], which outlives the future, and [`settle`] makes a whole end of it: no call
//! without a result in the history, no consumption without a record, exactly one last event.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use tracing::{debug, info, warn};

use super::context;
use super::lane::{Cause, Job};
use super::progress::{Next, Reports};
use super::reply::{Calls, Counted, Reply};
use super::tools::{Caller, SideBySide, failed};
use crate::metering::{message_tokens, text_tokens};
use crate::provider::{CallEvent, Models, ProviderError, Request};
use crate::store::{
    Block, DoneReason, DynStore, ErrorCode, EventBody, Message, Role, Step, StopReason, StoreError, Timestamp,
    TokenUsage, ToolResult, ToolUse, TurnEnd, TurnError, Usage,
};

/// The most messages that are read back to make a context of.
const CONTEXT_MESSAGES: usize = 400;

/// What turns share.
pub(super) struct Shared {
    pub(super) store: DynStore,
}

/// What a turn has done so far.
#[derive(Default)]
struct Work {
    step: u32,
    /// The answer that is being read, and who writes it.
    reply: Reply,
    asked: Option<Asked>,
    /// The texts of earlier steps.
    texts: Vec<String>,
    /// Calls that are being run: each with its result, once there is one.
    calls: Vec<(ToolUse, Option<ToolResult>)>,
    /// Messages that are stored together with the end.
    last: Vec<Arc<Message>>,
    /// How often each call was asked for.
    repeats: HashMap<(String, String), u32>,
    /// Calls made in all.
    made: usize,
}

/// A call of a model that is under way.
struct Asked {
    provider: String,
    model: String,
    request: Arc<Request>,
}

/// Why a turn's steps came to no end of their own.
#[derive(Debug)]
enum Failure {
    Store(StoreError),
    Provider(ProviderError),
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

/// Runs a turn to its end, whatever that is.
pub(super) async fn run(shared: &Shared, job: &Job) {
    let mut work = Work::default();
    let limit = job.agent.config.turn_timeout;
    let end = tokio::select! {
        biased;
        () = job.handle.stopped() => match job.handle.heed() {
            Cause::Aborted => work.done(DoneReason::Aborted),
            Cause::Shutdown => error(ErrorCode::Busy, "the gateway is going down; send the message again", true),
        },
        outcome = tokio::time::timeout(limit, steps(shared, job, &mut work)) => match outcome {
            Ok(Ok(reason)) => work.done(reason),
            Ok(Err(failure)) => failure.into_event(),
            Err(_) => error(
                ErrorCode::Provider,
                &format!("the turn took longer than {limit:?}, the limit of `turn_timeout`; it was stopped"),
                true,
            ),
        },
    };
    if let Err(error) = settle(shared, job, work, end).await {
        // The store is gone: nothing can be recorded, but whoever watches must not wait for ever.
        warn!(%error, "the end of a turn could not be stored");
        job.give_up(error.to_string());
    }
}

fn error(code: ErrorCode, message: &str, retryable: bool) -> EventBody {
    EventBody::Error(TurnError { code, message: message.to_owned(), retryable })
}

impl Failure {
    fn into_event(self) -> EventBody {
        match self {
            Self::Store(failure) => error(ErrorCode::Internal, &failure.to_string(), true),
            Self::NoModel(problem) => error(ErrorCode::NoAgent, &problem.to_string(), false),
            Self::Provider(failure) => EventBody::Error(TurnError {
                code: ErrorCode::Provider,
                retryable: failure.retryable(),
                message: failure.to_string(),
            }),
        }
    }
}

impl Work {
    /// The whole reply: what each step wrote, in paragraphs of its own.
    fn done(&self, stop_reason: DoneReason) -> EventBody {
        let current = self.reply.text();
        let texts = self.texts.iter().chain([&current]).map(|text| text.trim());
        let text = texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
        EventBody::Done { stop_reason, text }
    }

    /// The results of the calls that are being run, in their order; `unfinished` for those that
    /// have none.
    fn take_results(&mut self, unfinished: &str) -> Option<Message> {
        if self.calls.is_empty() {
            return None;
        }
        let result = |(call, result): (ToolUse, Option<ToolResult>)| {
            Block::ToolResult(result.unwrap_or_else(|| failed(call.id, unfinished)))
        };
        Some(Message { role: Role::User, blocks: self.calls.drain(..).map(result).collect() })
    }
}

/// Asks and runs tools until there is an end.
async fn steps(shared: &Shared, job: &Job, work: &mut Work) -> Result<DoneReason, Failure> {
    job.publish(EventBody::Started).await?;
    let agent = &*job.agent;
    let models = agent.models.as_ref().map_err(|problem| Failure::NoModel(problem.clone()))?;
    let history = shared.store.recent(&job.session, CONTEXT_MESSAGES).await?;
    let mut messages = context::assemble(&history, job.turn, agent.config.context_tokens);
    drop(history);

    for step in 0..agent.config.max_steps {
        work.step = step;
        let request = Arc::new(Request {
            system: agent.system.clone(),
            messages: messages.clone(),
            tools: agent.tools.now().specs(),
            max_tokens: agent.config.max_tokens,
            thinking_tokens: (agent.config.thinking_tokens > 0).then_some(agent.config.thinking_tokens),
            temperature: agent.config.temperature,
        });
        let stop = ask(job, work, models, request).await?;
        let reply = std::mem::take(&mut work.reply);
        let calls: Vec<ToolUse> = reply.calls().cloned().collect();
        work.texts.push(reply.text());
        match stop {
            StopReason::ToolUse if !calls.is_empty() => {}
            StopReason::Pause => {
                if let Some(message) = reply.into_message(Calls::Dropped).map(Arc::new) {
                    messages.push(Arc::clone(&message));
                    shared.append(job, message).await?;
                }
                continue;
            }
            end => {
                work.last.extend(reply.into_message(Calls::Dropped).map(Arc::new));
                return Ok(match end {
                    StopReason::MaxTokens => DoneReason::MaxTokens,
                    StopReason::Refusal => DoneReason::Refusal,
                    StopReason::EndTurn | StopReason::ToolUse | StopReason::Pause => DoneReason::EndTurn,
                });
            }
        }

        // Stored before the first of its calls is made: after a crash it is known what may have run.
        if let Some(message) = reply.into_message(Calls::Kept).map(Arc::new) {
            messages.push(Arc::clone(&message));
            shared.append(job, message).await?;
        }
        work.calls = calls.into_iter().map(|call| (call, None)).collect();
        if step + 1 == agent.config.max_steps {
            let limit = agent.config.max_steps;
            let results = work.take_results(&format!("Not run: the turn reached its limit of {limit} steps."));
            work.last.extend(results.map(Arc::new));
            return Ok(DoneReason::Steps);
        }
        run_calls(job, work).await?;
        if let Some(results) = work.take_results("The tool failed inside the gateway.").map(Arc::new) {
            messages.push(Arc::clone(&results));
            shared.append(job, results).await?;
        }
    }
    Ok(DoneReason::Steps)
}

/// One call of a model, read to its end.
async fn ask(job: &Job, work: &mut Work, models: &Models, request: Arc<Request>) -> Result<StopReason, Failure> {
    let step = work.step;
    let mut call = models.call(Arc::clone(&request));
    while let Some(event) = call.next().await {
        match event? {
            CallEvent::Attempt { provider, model } => {
                work.asked = Some(Asked { provider, model, request: Arc::clone(&request) });
            }
            CallEvent::Event(event) => {
                if let Some(body) = work.reply.take(event, step) {
                    job.publish(body).await?;
                }
            }
            CallEvent::Failed { error, retry_in, .. } => {
                debug!(%error, ?retry_in, "an attempt failed");
                let shown = work.reply.was_shown();
                if let Some(usage) = cut_usage(work) {
                    job.publish(usage).await?;
                }
                work.reply = Reply::default();
                work.asked = None;
                if shown {
                    job.publish(EventBody::Rewind { step }).await?;
                }
            }
        }
    }
    let stop = work.reply.stop().ok_or_else(|| cut(work))?;
    if let Some(asked) = work.asked.take() {
        let (tokens, counted) = work.reply.usage(|| request_tokens(&asked.request));
        job.publish(usage_event(asked, tokens, counted)).await?;
    }
    Ok(stop)
}

/// The error of an answer that has no end.
fn cut(work: &Work) -> ProviderError {
    let provider = work.asked.as_ref().map_or_else(String::new, |asked| asked.provider.clone());
    ProviderError::Cut { provider: provider.into(), reason: "its events ended before the model stopped".into() }
}

/// What a call consumed that came to no end. Nothing, where the provider never began to answer.
fn cut_usage(work: &mut Work) -> Option<EventBody> {
    let asked = work.asked.take()?;
    if !work.reply.began() {
        return None;
    }
    let (tokens, counted) = work.reply.usage(|| request_tokens(&asked.request));
    Some(usage_event(asked, tokens, counted))
}

fn usage_event(asked: Asked, tokens: TokenUsage, counted: Counted) -> EventBody {
    let Asked { provider, model, .. } = asked;
    EventBody::Usage(Usage { provider, model, tokens, cost_usd: None, estimated: counted == Counted::Estimated })
}

fn request_tokens(request: &Request) -> u32 {
    let system = request.system.as_deref().map_or(0, text_tokens);
    let tools = request.tools.iter().map(|tool| text_tokens(&tool.description) + text_tokens(tool.input_schema.get()));
    let messages = request.messages.iter().map(|message| message_tokens(message));
    tools.chain(messages).fold(system, u32::saturating_add)
}

/// Runs the calls of a step. Each result is told as it comes, and kept in the order of the calls.
async fn run_calls(job: &Job, work: &mut Work) -> Result<(), StoreError> {
    let agent = &*job.agent;
    let calls: Vec<ToolUse> = work.calls.iter().map(|(call, _)| call.clone()).collect();
    let mut reports = Reports::new();
    let groups = agent.tools.now().groups(&calls);
    for group in groups {
        let mut running = Vec::with_capacity(group.len());
        for index in group {
            let Some(call) = calls.get(index) else { continue };
            job.publish(tool_use(call)).await?;
            let asked = work.repeats.entry(identity(call)).or_default();
            *asked += 1;
            if *asked > agent.config.max_repeats {
                let limit = agent.config.max_repeats;
                let result = failed(
                    call.id.clone(),
                    format!("Not run: this turn made the same call {limit} times already. Use the earlier results."),
                );
                told(job, work, index, result).await?;
                continue;
            }
            let progress = reports.of(&call.id);
            let caller = Caller::new(&agent.name, &job.session, job.turn, work.made, Timestamp::now(), progress);
            work.made += 1;
            // A tool that was replaced since the model was told of it is called as it is now.
            running.push((index, agent.tools.now().run(call, caller)));
        }
        if let [_] = running[..] {
            for (index, call) in running {
                let result = watched(job, &mut reports, call).await;
                told(job, work, index, result).await?;
            }
        } else {
            let mut together = SideBySide::default();
            running.into_iter().for_each(|(index, call)| together.add(index, call));
            while let Some((index, result)) = watched(job, &mut reports, together.next()).await {
                told(job, work, index, result).await?;
            }
        }
    }
    Ok(())
}

/// Waits for `end`, and shows meanwhile how far the calls are.
async fn watched<T>(job: &Job, reports: &mut Reports, end: impl Future<Output = T>) -> T {
    let mut end = std::pin::pin!(end);
    loop {
        match reports.next(end.as_mut()).await {
            Next::Report(report) => job.topic.show(job.turn, report).await,
            Next::End(end) => {
                // What a call reported comes before its result.
                while let Some(report) = reports.try_next() {
                    job.topic.show(job.turn, report).await;
                }
                return end;
            }
        }
    }
}

/// Keeps a call's result and tells of it.
async fn told(job: &Job, work: &mut Work, index: usize, result: ToolResult) -> Result<(), StoreError> {
    let body = EventBody::ToolResult {
        tool_use_id: result.tool_use_id.clone(),
        content: result.content.clone(),
        is_error: result.is_error,
    };
    if let Some((_, slot)) = work.calls.get_mut(index) {
        *slot = Some(result);
    }
    job.publish(body).await
}

fn tool_use(call: &ToolUse) -> EventBody {
    EventBody::ToolUse { id: call.id.clone(), name: call.name.clone(), input: Arc::clone(&call.input) }
}

/// The same for calls that mean the same, however their arguments are spaced and ordered.
fn identity(call: &ToolUse) -> (String, String) {
    let arguments = serde_json::from_str::<serde_json::Value>(call.input.get())
        .map_or_else(|_| call.input.get().to_owned(), |value| value.to_string());
    (call.name.clone(), arguments)
}

/// Commits what a turn leaves behind, then tells of its end.
async fn settle(shared: &Shared, job: &Job, mut work: Work, end: EventBody) -> Result<(), StoreError> {
    if let Some(usage) = cut_usage(&mut work) {
        job.publish(usage).await?;
    }
    let unfinished = work.take_results("Stopped before it finished; whether it had an effect is not known.");
    let cut = std::mem::take(&mut work.reply).into_cut_message();
    let last: Vec<Arc<Message>> =
        work.last.drain(..).chain(unfinished.map(Arc::new)).chain(cut.map(Arc::new)).collect();
    match &end {
        EventBody::Done { stop_reason, .. } => info!(?stop_reason, steps = work.step + 1, "the turn ended"),
        EventBody::Error(error) => info!(code = error.code.number(), "the turn failed"),
        _ => {}
    }
    let events = job.topic.end(job.turn, end).await?;
    let Some(told) = events.last().cloned() else { return Ok(()) };
    let step = Step { messages: last, events, ..job.step() };
    let stored = shared.store.finish(TurnEnd { step, deliveries: Vec::new() }).await;
    job.topic.ended(job.turn, &told);
    stored
}

impl Shared {
    async fn append(&self, job: &Job, message: Arc<Message>) -> Result<(), StoreError> {
        self.store.append(Step { messages: vec![message], ..job.step() }).await
    }
}
