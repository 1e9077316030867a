//! How a turn ends: with what it leaves behind stored first, and told of then.

use std::sync::Arc;

use tracing::{info, warn};

use super::calls::Instead;
use super::journal::Change;
use super::{Turn, Work, model, until_well};
use crate::agent::accept::chance;
use crate::agent::courier::{Letter, LetterContent, Passage};
use crate::store::{
    DeliveryId, Destination, DoneReason, ErrorCode, EventBody, FileRef, Message, NewDelivery, StoreError, Timestamp,
    TurnError, TurnId,
};

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
    let passage = turn.passage(&work);
    let files = std::mem::take(&mut work.files);
    let deliveries = passage.as_ref().map_or_else(Vec::new, |passage| answer(turn, passage, &end, files));
    work.journal.commit_with(turn, Change::End(last, deliveries), events).await?;
    job.topic.ended(job.turn, &told);
    if let Some(passage) = passage {
        turn.shared.courier.ended(&passage);
    }
    Ok(())
}

/// What is sent to the platform at a turn's end: its last word, which takes a draft's place where one was opened,
/// and then the files that its tools made.
fn answer(turn: Turn<'_>, passage: &Passage, end: &EventBody, files: Vec<FileRef>) -> Vec<NewDelivery> {
    let now = Timestamp::now();
    let delivery = |id: TurnId, content: LetterContent| {
        let Destination { channel, conversation, address } = passage.destination.clone();
        NewDelivery {
            id: DeliveryId(id),
            session: Some(passage.session.clone()),
            channel,
            conversation,
            content: Letter { address, content }.to_bytes(),
            draft: false,
            epoch: turn.shared.epoch,
            now,
        }
    };
    let wanted = matches!(end, EventBody::Done { stop_reason, .. } if *stop_reason != DoneReason::Aborted);
    let files = files.into_iter().filter(|_| wanted).map(|file| LetterContent::File { file });
    let files = files.map(|content| delivery(TurnId::new(now, chance()), content));
    let text = LetterContent::Markdown { text: last_word(end) };
    std::iter::once(delivery(passage.turn, text)).chain(files).collect()
}

/// A turn's end in words for a person on a platform, who can neither see nor mend what is behind it.
fn last_word(end: &EventBody) -> String {
    let (text, remark) = match end {
        EventBody::Done { stop_reason, text } => (
            text.as_str(),
            match stop_reason {
                DoneReason::EndTurn | DoneReason::Refusal => "",
                DoneReason::MaxTokens => "_(This answer reached its limit and ends here.)_",
                DoneReason::Steps => "_(I stopped here: this took more steps than I may take.)_",
                DoneReason::Budget => "_(I stopped here: the budget is spent.)_",
                DoneReason::Aborted => "_(Stopped.)_",
            },
        ),
        EventBody::Error(error) => (
            "",
            match error.code {
                ErrorCode::BudgetExceeded => "_(I can't answer: the budget is spent.)_",
                _ if error.retryable => "_(I can't answer right now. Please try again in a while.)_",
                _ => "_(I can't answer: something is wrong with my setup. My owner can find out more.)_",
            },
        ),
        _ => ("", ""),
    };
    [text, remark].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
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
    job.give_up(TurnError::new(code, error.to_string(), retryable));
}
