//! One call of a model: its attempts, what watchers are told, and its records in the ledger.

use std::sync::Arc;

use futures_util::StreamExt;
use tracing::debug;

use super::journal::Change;
use super::{Failure, Turn, Work};
use crate::agent::opening::estimate;
use crate::agent::reply::Counted;
use crate::provider::{CallEvent, Models, ProviderError, Request};
use crate::store::{
    CallCause, CallOutcome, EventBody, LedgerEntry, ModelCall, ModelCallEnd, ModelCallId, StopReason, StoreError,
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
            CallEvent::Attempt { provider, model } => begin(turn, work, (provider, model), &request).await?,
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

/// Stores that a provider is about to be asked, with what the turn did before, unless that was stored with
/// the turn's message: whatever happens, no request is without a record.
async fn begin(
    turn: Turn<'_>,
    work: &mut Work,
    (provider, model): (String, String),
    request: &Request,
) -> Result<(), StoreError> {
    if let Some(Asked { call, stage: stage @ Stage::Recorded }) = &mut work.asked {
        if (&call.provider, &call.model) == (&provider, &model) {
            *stage = Stage::Sent;
            return Ok(());
        }
        // Another is asked than was expected, and the one that was is not.
        settle(turn, work, CallOutcome::Failed).await?;
    }
    let call = ModelCall {
        id: ModelCallId { turn: turn.job.turn, index: work.model_calls },
        session: turn.job.session.clone(),
        provider,
        model,
        cause: CallCause::Message,
        estimate: estimate(request),
        reserved_cost: None,
        at: Timestamp::now(),
    };
    work.model_calls += 1;
    work.journal.record(LedgerEntry::Begin(call.clone()));
    work.asked = Some(Asked { call, stage: Stage::Recorded });
    work.journal.commit(turn, Change::Add(Vec::new())).await?;
    if let Some(asked) = &mut work.asked {
        asked.stage = Stage::Sent;
    }
    Ok(())
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
        _ => work.reply.usage(|| call.estimate.input_tokens),
    };
    let estimated = counted == Counted::Estimated;
    let end = end(&call, tokens, estimated, outcome);
    work.journal.record(LedgerEntry::Settle(end));
    match outcome {
        CallOutcome::Failed => Ok(()),
        _ => turn.tell(usage(&call, tokens, estimated)).await,
    }
}

/// Settles a call of which the process that made it left nothing but its beginning.
pub(super) async fn lost(turn: Turn<'_>, work: &mut Work, call: ModelCall) -> Result<(), StoreError> {
    let tokens = call.estimate;
    work.journal.record(LedgerEntry::Settle(end(&call, tokens, true, CallOutcome::Lost)));
    turn.tell(usage(&call, tokens, true)).await
}

/// The end of a call that ends now.
fn end(call: &ModelCall, tokens: TokenUsage, estimated: bool, outcome: CallOutcome) -> ModelCallEnd {
    let (cost, price, cache_saving) = (None, None, None);
    ModelCallEnd { id: call.id, tokens, estimated, cost, price, cache_saving, outcome, at: Timestamp::now() }
}

fn usage(call: &ModelCall, tokens: TokenUsage, estimated: bool) -> EventBody {
    let ModelCall { provider, model, .. } = call.clone();
    EventBody::Usage(Usage { provider, model, tokens, cost_usd: None, estimated })
}

/// The error of an answer that has no end.
fn unfinished(work: &Work) -> ProviderError {
    let provider = work.asked.as_ref().map_or_else(String::new, |asked| asked.call.provider.clone());
    ProviderError::Cut { provider: provider.into(), reason: "its events ended before the model stopped".into() }
}
