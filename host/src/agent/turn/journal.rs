//! What a turn did, on its way into the store.
//!
//! A turn may be stopped between any two awaits, also while a transaction is under way, of which
//! then nobody knows whether it happened. So the transaction is kept here, outlives the future that
//! waited for it, and is seen to its end before the next.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Turn;
use super::patience::Patience;
use crate::store::{
    CallAnswered, CallOutcome, Dispatch, DynStore, LedgerEntry, Message, NewDelivery, Seq, StoreError, ToolResult,
    TurnEnd,
};
use std::sync::Arc;

/// What a transaction is for, beside the events and records of the turn so far.
#[derive(Debug)]
pub(super) enum Change {
    /// Messages for the history.
    Add(Vec<Arc<Message>>),
    /// The intent to run calls of tools.
    Dispatch(Vec<String>),
    /// The result of a call.
    Answered(ToolResult),
    /// The turn's last messages; the last event is its end.
    End(Vec<Arc<Message>>, Vec<NewDelivery>),
}

/// What is not stored yet.
#[derive(Default)]
pub(super) struct Journal {
    ledger: Vec<LedgerEntry>,
    under_way: Option<UnderWay>,
}

/// A transaction that is made.
struct UnderWay {
    transaction: Transaction,
    /// Absent after it failed, until it is tried again.
    attempt: Option<BoxFuture<'static, Result<(), StoreError>>>,
    /// Its last event.
    events_to: Option<Seq>,
    /// How many records it holds.
    entries: usize,
}

#[derive(Clone)]
enum Transaction {
    Append(crate::store::Step),
    Dispatch(Dispatch),
    Answered(CallAnswered),
    Finish(TurnEnd),
}

impl Transaction {
    async fn make(self, store: DynStore) -> Result<(), StoreError> {
        match self {
            Self::Append(step) => store.append(step).await,
            Self::Dispatch(dispatch) => store.dispatch(dispatch).await,
            Self::Answered(answered) => store.answered(answered).await,
            Self::Finish(end) => store.finish(end).await,
        }
    }
}

impl Journal {
    /// Has a record stored with the next transaction.
    pub(super) fn record(&mut self, entry: LedgerEntry) {
        self.ledger.push(entry);
    }

    /// Whether a call that consumed something ended, and that is not stored yet.
    pub(super) fn holds_end(&self) -> bool {
        let consumed =
            |entry: &LedgerEntry| matches!(entry, LedgerEntry::Settle(end) if end.outcome != CallOutcome::Failed);
        self.ledger.iter().any(consumed)
    }

    /// Stores a change, with the events and records since the last one. While the storage is sick it
    /// is tried again and again: nothing of the turn is lost, and nothing is done that is not stored.
    ///
    /// # Errors
    /// The store refuses it for good, or the gateway goes down and the storage is still sick.
    pub(super) async fn commit(&mut self, turn: Turn<'_>, change: Change) -> Result<(), StoreError> {
        let events = turn.job.topic.unstored(turn.job.turn);
        self.commit_with(turn, change, events).await
    }

    /// As [`Journal::commit`], with these events.
    pub(super) async fn commit_with(
        &mut self,
        turn: Turn<'_>,
        change: Change,
        events: Vec<Arc<crate::store::Event>>,
    ) -> Result<(), StoreError> {
        let events_to = events.last().map(|event| event.seq);
        let mut step = turn.step();
        step.events = events;
        step.ledger.clone_from(&self.ledger);
        let transaction = match change {
            Change::Add(messages) => {
                step.messages = messages;
                Transaction::Append(step)
            }
            Change::Dispatch(calls) => Transaction::Dispatch(Dispatch { step, calls }),
            Change::Answered(result) => Transaction::Answered(CallAnswered { step, result }),
            Change::End(messages, deliveries) => {
                step.messages = messages;
                Transaction::Finish(TurnEnd { step, deliveries })
            }
        };
        self.under_way = Some(UnderWay { transaction, attempt: None, events_to, entries: self.ledger.len() });
        self.complete(turn).await
    }

    /// Sees the transaction that is under way, if there is one, to its end.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub(super) async fn complete(&mut self, turn: Turn<'_>) -> Result<(), StoreError> {
        let Some(under_way) = &mut self.under_way else { return Ok(()) };
        let mut patience = Patience::default();
        loop {
            let attempt = under_way
                .attempt
                .get_or_insert_with(|| under_way.transaction.clone().make(Arc::clone(&turn.shared.store)).boxed());
            let made = attempt.await;
            under_way.attempt = None;
            match made {
                Ok(()) => break,
                Err(error) => {
                    if let Err(error) = patience.after(error, turn.shared).await {
                        self.under_way = None;
                        return Err(error);
                    }
                }
            }
        }
        if let Some(last) = under_way.events_to {
            turn.job.topic.stored(turn.job.turn, last);
        }
        turn.shared.meter.stored(self.ledger.drain(..under_way.entries));
        self.under_way = None;
        Ok(())
    }
}
