//! The calls of one step: announced, recorded where they cannot be repeated, run, told of.

use std::sync::Arc;

use super::journal::Change;
use super::{Turn, Work};
use crate::agent::progress::{Next, Reports};
use crate::agent::tools::{AgentTools, Caller, SideBySide, failed};
use crate::store::{Block, EventBody, Message, Role, StoreError, Timestamp, ToolResult, ToolUse};

/// What the model is told of calls without a result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instead<'a> {
    /// Of those that were begun.
    pub(super) running: &'a str,
    /// Of those that were not.
    pub(super) waiting: &'a str,
}

impl Instead<'static> {
    /// Where the turn is stopped.
    pub(super) const STOPPED: Self = Self {
        running: "Stopped before it finished; whether it had an effect is not known.",
        waiting: "Not run: the turn was stopped before.",
    };
    /// Where all were run.
    pub(super) const FAULT: Self =
        Self { running: "The tool failed inside the gateway.", waiting: "The tool failed inside the gateway." };
}

/// A call that the model asked for, until a message holds its result.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) call: ToolUse,
    pub(super) stage: Stage,
    pub(super) told: Told,
}

/// How far a call is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stage {
    /// It was not begun.
    Waiting,
    /// It may have an effect from here on.
    Running,
    /// It has its result.
    Answered(ToolResult),
}

/// What watchers were told of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    /// Nothing.
    Nothing,
    /// That the model asked for it.
    Call,
    /// Its result too.
    Result,
}

impl Call {
    pub(super) fn new(call: ToolUse) -> Self {
        Self { call, stage: Stage::Waiting, told: Told::Nothing }
    }

    /// Its result, or what there is to say instead.
    fn into_result(self, instead: &Instead<'_>) -> ToolResult {
        match self.stage {
            Stage::Answered(result) => result,
            Stage::Running => failed(self.call.id, instead.running),
            Stage::Waiting => failed(self.call.id, instead.waiting),
        }
    }
}

impl Work {
    /// The results of the step's calls, in their order.
    pub(super) fn take_results(&mut self, instead: &Instead<'_>) -> Option<Arc<Message>> {
        if self.calls.is_empty() {
            return None;
        }
        let blocks = self.calls.drain(..).map(|call| Block::ToolResult(call.into_result(instead))).collect();
        let results = Message { role: Role::User, blocks };
        self.keep_files(&results);
        Some(Arc::new(results))
    }

    /// Counts a call, and says which of the turn's calls it is: the same after a crash. Nothing,
    /// where it was made too often.
    pub(super) fn count(&mut self, call: &ToolUse, max_repeats: u32) -> Option<usize> {
        let asked = self.repeats.entry(identity(call)).or_default();
        *asked += 1;
        if *asked > max_repeats {
            return None;
        }
        self.made += 1;
        Some(self.made - 1)
    }
}

/// Runs the calls of a step that have no result. Each result is told as it comes, and kept in the
/// order of the calls.
pub(super) async fn run(turn: Turn<'_>, work: &mut Work) -> Result<(), StoreError> {
    let agent = &*turn.job.agent;
    let calls: Vec<ToolUse> = work.calls.iter().map(|call| call.call.clone()).collect();
    // One set for the step: what a group is told of a call and what runs is the same tool.
    let tools = agent.tools.now();
    let mut reports = Reports::new();
    for group in tools.groups(&calls) {
        let mut ready = Vec::with_capacity(group.len());
        for index in group {
            let Some(call) = calls.get(index) else { continue };
            let number = work.count(call, agent.config.max_repeats);
            tell_call(turn, work, index).await?;
            match (work.calls.get(index).map(|call| call.stage.clone()), number) {
                // An earlier life of the gateway had its result.
                (Some(Stage::Answered(result)), _) => tell_result(turn, work, index, result).await?,
                (_, Some(number)) => ready.push((index, number)),
                (_, None) => {
                    let limit = agent.config.max_repeats;
                    let result = failed(
                        call.id.clone(),
                        format!(
                            "Not run: this turn made the same call {limit} times already. Use the earlier results."
                        ),
                    );
                    tell_result(turn, work, index, result).await?;
                }
            }
        }
        run_group(turn, work, &tools, &mut reports, ready).await?;
    }
    Ok(())
}

/// Runs calls side by side, each by its index in the step and its number in the turn.
async fn run_group(
    turn: Turn<'_>,
    work: &mut Work,
    tools: &AgentTools,
    reports: &mut Reports,
    ready: Vec<(usize, usize)>,
) -> Result<(), StoreError> {
    let unrepeatable = |work: &Work, index: usize| {
        work.calls.get(index).map(|call| &call.call).filter(|call| !tools.repeatable(call)).map(|call| call.id.clone())
    };
    let intents: Vec<String> = ready.iter().filter_map(|&(index, _)| unrepeatable(work, index)).collect();
    if !intents.is_empty() {
        // Stored before the first of them is made: after a crash it is known what may have run.
        work.journal.commit(turn, Change::Dispatch(intents.clone())).await?;
    }
    turn.unless_stopped().await;
    let mut running = Vec::with_capacity(ready.len());
    for (index, number) in ready {
        let Some(call) = work.calls.get_mut(index) else { continue };
        call.stage = Stage::Running;
        let progress = reports.of(&call.call.id);
        let job = turn.job;
        let caller = Caller::new(&job.agent.name, &job.session, job.turn, number, Timestamp::now(), progress);
        running.push((index, tools.run(&call.call, caller)));
    }
    let mut together = SideBySide::default();
    let mut alone = None;
    match <[_; 1]>::try_from(running) {
        Ok([one]) => alone = Some(one),
        Err(many) => many.into_iter().for_each(|(index, call)| together.add(index, call)),
    }
    loop {
        let next = match alone.take() {
            Some((index, call)) => Some((index, watched(turn, reports, call).await)),
            None => watched(turn, reports, together.next()).await,
        };
        let Some((index, result)) = next else { return Ok(()) };
        tell_result(turn, work, index, result.clone()).await?;
        if intents.contains(&result.tool_use_id) {
            work.journal.commit(turn, Change::Answered(result)).await?;
        }
    }
}

/// Waits for `end`, and shows meanwhile how far the calls are.
async fn watched<T>(turn: Turn<'_>, reports: &mut Reports, end: impl Future<Output = T>) -> T {
    let job = turn.job;
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

/// Tells that the model asked for a call, once.
async fn tell_call(turn: Turn<'_>, work: &mut Work, index: usize) -> Result<(), StoreError> {
    let Some(call) = work.calls.get_mut(index).filter(|call| call.told < Told::Call) else { return Ok(()) };
    call.told = Told::Call;
    let ToolUse { id, name, input } = call.call.clone();
    turn.tell(EventBody::ToolUse { id, name, input }).await
}

/// Keeps a call's result and tells of it, once.
async fn tell_result(turn: Turn<'_>, work: &mut Work, index: usize, result: ToolResult) -> Result<(), StoreError> {
    let Some(call) = work.calls.get_mut(index) else { return Ok(()) };
    call.stage = Stage::Answered(result.clone());
    if call.told >= Told::Result {
        return Ok(());
    }
    call.told = Told::Result;
    let ToolResult { tool_use_id, content, is_error } = result;
    turn.tell(EventBody::ToolResult { tool_use_id, content, is_error }).await
}

/// The same for calls that mean the same, however their arguments are spaced and ordered.
fn identity(call: &ToolUse) -> (String, String) {
    let arguments = serde_json::from_str::<serde_json::Value>(call.input.get())
        .map_or_else(|_| call.input.get().to_owned(), |value| value.to_string());
    (call.name.clone(), arguments)
}
