//! One call of a model: its attempts, what watchers are told, and its records in the ledger.

use std::sync::Arc;

use futures_util::StreamExt;
use tracing::debug;

use super::cause::cause;
use super::journal::Change;
use super::patience::Patience;
use super::{Failure, Turn, Work};
use crate::agent::reply::Counted;
use crate::metering::{Ended, MeterError, Wanted};
use crate::provider::{CallEvent, Models, ProviderError, Request};
use crate::store::{
    CallOutcome, EventBody, LedgerEntry, ModelCall, ModelCallEnd, ModelCallId, NanoDollars, StopReason, StoreError,
    Timestamp, TokenUsage, Usage,
};

/// An attempt at a provider that is in the ledger and not settled.
pub(super) struct Asked {
    call: ModelCall,
    stage: Stage,
}

impl Asked {
    /// An attempt whose record was stored with the turn's message.
    pub(super) fn recorded(call: ModelCall) -> Self {
        Self { call, stage: Stage::Recorded }
    }
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has its record, or that is being stored; nothing is sent before that.
    Recorded,
    /// The provider is asked.
    Sent,
}

/// One call of a model, read to its end.
pub(super) async fn ask(
    turn: Turn<'_>,
    work: &mut Work,
    models: &Models,
    request: Arc<Request>,
) -> Result<StopReason, Failure> {
    let step = work.step;
    let mut call = models.call(Arc::clone(&request));
    while let Some(event) = call.next().await {
        match event? {
            CallEvent::Attempt { provider, model } => {
                let most = begin(turn, work, (&provider, &model), &request).await?;
                call.limit_output(most);
            }
            CallEvent::Event(event) => {
                if let Some(body) = work.reply.take(event, step) {
                    turn.tell(body).await?;
                }
            }
            CallEvent::Failed { error, retry_in, .. } => {
                debug!(%error, ?retry_in, "an attempt failed");
                refused(turn, work).await?;
                let shown = std::mem::take(&mut work.reply).was_shown();
                if shown {
                    turn.tell(EventBody::Rewind { step }).await?;
                }
            }
        }
    }
    let stop = work.reply.stop().ok_or_else(|| unfinished(work))?;
    settle(turn, work, CallOutcome::Finished).await?;
    Ok(stop)
}

/// Sets aside what an attempt may cost and stores that a provider is about to be asked, with what the turn did
/// before, unless that was done with the turn's message: whatever happens, no request is without a record. Says how
/// much may be written.
async fn begin(
    turn: Turn<'_>,
    work: &mut Work,
    (provider, model): (&str, &str),
    request: &Arc<Request>,
) -> Result<u32, Failure> {
    if let Some(Asked { call, stage: stage @ Stage::Recorded }) = &mut work.asked {
        if call.provider == provider && call.model == model {
            *stage = Stage::Sent;
            return Ok(may_write(call));
        }
        // Another is asked than was expected, and the one that was is not.
        settle(turn, work, CallOutcome::Failed).await?;
    }
    // What an attempt before this one did not use is given back once its end is stored: it must not stand in the
    // way of this one.
    if work.journal.holds_end() {
        work.journal.commit(turn, Change::Add(Vec::new())).await?;
    }
    let wanted = Wanted {
        id: ModelCallId { turn: turn.job.turn, index: work.model_calls },
        session: &turn.job.session,
        cause: cause(&request.messages, &turn.job.agent.tools.now()),
        provider,
        model,
        request,
        now: Timestamp::now(),
    };
    let call = grant(turn, wanted).await?;
    work.model_calls += 1;
    let most = may_write(&call);
    work.journal.record(LedgerEntry::Begin(call.clone()));
    work.asked = Some(Asked { call, stage: Stage::Recorded });
    work.journal.commit(turn, Change::Add(Vec::new())).await?;
    if let Some(asked) = &mut work.asked {
        asked.stage = Stage::Sent;
    }
    Ok(most)
}

/// Has the meter grant a call. What it has to read is waited for while the storage is sick.
async fn grant(turn: Turn<'_>, wanted: Wanted<'_>) -> Result<ModelCall, Failure> {
    let mut patience = Patience::default();
    loop {
        match turn.shared.meter.begin(wanted.clone()).await {
            Ok(call) => return Ok(call),
            Err(MeterError::Budget(error)) => return Err(Failure::Budget(error)),
            Err(MeterError::Store(error)) => patience.after(error, turn.shared).await?,
        }
    }
}

/// The most that an attempt may write: what was set aside for it.
fn may_write(call: &ModelCall) -> u32 {
    u32::try_from(call.estimate.output_tokens).unwrap_or(u32::MAX)
}

/// Settles an attempt that the provider ended with an error.
pub(super) async fn refused(turn: Turn<'_>, work: &mut Work) -> Result<(), StoreError> {
    let outcome = if work.reply.began() { CallOutcome::Cut } else { CallOutcome::Failed };
    settle(turn, work, outcome).await
}

/// Settles an attempt that was ended from here. One that was sent counts, though no answer began.
pub(super) async fn cut(turn: Turn<'_>, work: &mut Work) -> Result<(), StoreError> {
    let sent = work.asked.as_ref().is_some_and(|asked| asked.stage == Stage::Sent);
    settle(turn, work, if sent { CallOutcome::Cut } else { CallOutcome::Failed }).await
}

/// Has the record of the attempt that is under way settled, and tells what it consumed; of one that
/// consumed nothing, nothing is told.
async fn settle(turn: Turn<'_>, work: &mut Work, outcome: CallOutcome) -> Result<(), StoreError> {
    let Some(Asked { call, .. }) = work.asked.take() else { return Ok(()) };
    let (tokens, counted) = match outcome {
        CallOutcome::Failed => (TokenUsage::default(), Counted::ByProvider),
        _ => {
            let meter = &turn.shared.meter;
            work.reply.usage(|| call.estimate.input_tokens, |text| meter.text(&call, text))
        }
    };
    let ended = Ended { tokens, estimated: counted == Counted::Estimated, outcome, at: Timestamp::now() };
    settled(turn, work, &call, turn.shared.meter.end(&call, ended)).await
}

/// Settles a call of which the process that made it left nothing but its beginning.
pub(super) async fn lost(turn: Turn<'_>, work: &mut Work, call: ModelCall) -> Result<(), StoreError> {
    settled(turn, work, &call, turn.shared.meter.lost(&call, Timestamp::now())).await
}

/// Has the end of a call stored, and tells what it consumed and cost.
async fn settled(turn: Turn<'_>, work: &mut Work, call: &ModelCall, end: ModelCallEnd) -> Result<(), StoreError> {
    let ModelCallEnd { tokens, estimated, cost, outcome, .. } = end;
    work.journal.record(LedgerEntry::Settle(end));
    if outcome == CallOutcome::Failed {
        return Ok(());
    }
    let ModelCall { provider, model, .. } = call.clone();
    let cost_usd = cost.map(NanoDollars::to_f64);
    turn.tell(EventBody::Usage(Usage { provider, model, tokens, cost_usd, estimated })).await
}

/// The error of an answer that has no end.
fn unfinished(work: &Work) -> ProviderError {
    let provider = work.asked.as_ref().map_or_else(String::new, |asked| asked.call.provider.clone());
    ProviderError::Cut { provider: provider.into(), reason: "its events ended before the model stopped".into() }
}
