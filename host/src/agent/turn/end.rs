//! How a turn ends: with what it leaves behind stored first, and told of then.

use std::sync::Arc;

use tracing::{info, warn};

use super::calls::Instead;
use super::journal::Change;
use super::{Turn, Work, model, until_well};
use crate::store::{ErrorCode, EventBody, Message, StoreError, TurnError};

/// Stores what a turn leaves behind, then tells of its end.
pub(super) async fn settle(turn: Turn<'_>, work: Work, end: EventBody) {
    if let Err(error) = stored(turn, work, end).await {
        unstored(turn, &error);
    }
}

async fn stored(turn: Turn<'_>, mut work: Work, end: EventBody) -> Result<(), StoreError> {
    let job = turn.job;
    work.journal.complete(turn).await?;
    model::cut(turn, &mut work).await?;
    let unfinished = work.take_results(&Instead::STOPPED);
    let cut = std::mem::take(&mut work.reply).into_cut_message().map(Arc::new);
    let last: Vec<Arc<Message>> = work.last.drain(..).chain(unfinished).chain(cut).collect();
    match &end {
        EventBody::Done { stop_reason, .. } => info!(?stop_reason, steps = work.step + 1, "the turn ended"),
        EventBody::Error(error) => info!(code = error.code.number(), "the turn failed"),
        _ => {}
    }
    let events = until_well(turn.shared, || job.topic.end(job.turn, end.clone())).await?;
    let Some(told) = events.last().cloned() else { return Ok(()) };
    work.journal.commit_with(turn, Change::End(last, Vec::new()), events).await?;
    job.topic.ended(job.turn, &told);
    Ok(())
}

/// Leaves a turn open for the next start. What it consumed so far is stored, as far as the store
/// still takes it; else the next start estimates it.
pub(super) async fn leave(turn: Turn<'_>, mut work: Work) {
    if let Err(error) = consumption(turn, &mut work).await {
        warn!(%error, "what a turn did last could not be stored before the gateway goes down");
    }
    info!("the turn is left open; the next start takes it up");
    turn.job.topic.leave(turn.job.turn);
}

async fn consumption(turn: Turn<'_>, work: &mut Work) -> Result<(), StoreError> {
    work.journal.complete(turn).await?;
    if work.asked.is_none() {
        return Ok(());
    }
    model::cut(turn, work).await?;
    work.journal.commit(turn, Change::Add(Vec::new())).await
}

/// A turn of which nothing more can be stored.
pub(super) fn unstored(turn: Turn<'_>, error: &StoreError) {
    let job = turn.job;
    let passes = matches!(error, StoreError::Sick(_) | StoreError::Closed);
    if passes && turn.shared.keeps_turns() {
        // Only when the gateway goes down: until then the turn waits.
        warn!(%error, "the turn is left open; the next start takes it up");
        return job.topic.leave(job.turn);
    }
    // It ended elsewhere, or nobody knows: whoever watches must not wait for ever.
    warn!(%error, "the end of a turn could not be stored");
    let code = match error {
        StoreError::NoTurn(_) | StoreError::NoSession(_) => ErrorCode::NotFound,
        _ => ErrorCode::Internal,
    };
    // Another gateway goes on with a turn that it took over, and a deletion is meant.
    let retryable = !matches!(error, StoreError::Superseded { .. } | StoreError::NoTurn(_) | StoreError::NoSession(_));
    job.give_up(TurnError { code, message: error.to_string(), retryable });
}
