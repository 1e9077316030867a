//! What was consumed since the process started, for its metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::{CallOutcome, NanoDollars, TokenUsage};

/// Counts by provider and model: as many as the config names.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<(String, String), ModelTally>>);

/// What the calls of one model consumed since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelTally {
    /// Calls of which the model said all.
    pub finished: u64,
    /// Calls that were cut.
    pub cut: u64,
    /// Calls that failed before an answer began.
    pub failed: u64,
    /// Calls that an earlier process left without an end.
    pub lost: u64,
    /// The counts, saturating.
    pub tokens: TokenUsage,
    /// The costs, as far as prices are known.
    pub cost: NanoDollars,
}

impl Tally {
    /// Counts a call that ended.
    pub(super) fn count(
        &self,
        (provider, model): (&str, &str),
        outcome: CallOutcome,
        tokens: &TokenUsage,
        cost: Option<NanoDollars>,
    ) {
        let mut all = self.all();
        let tally = all.entry((provider.to_owned(), model.to_owned())).or_default();
        let calls = match outcome {
            CallOutcome::Finished => &mut tally.finished,
            CallOutcome::Cut => &mut tally.cut,
            CallOutcome::Failed => &mut tally.failed,
            CallOutcome::Lost => &mut tally.lost,
        };
        *calls += 1;
        let sums = &mut tally.tokens;
        for (sum, more) in [
            (&mut sums.input_tokens, tokens.input_tokens),
            (&mut sums.output_tokens, tokens.output_tokens),
            (&mut sums.cache_read_tokens, tokens.cache_read_tokens),
            (&mut sums.cache_write_tokens, tokens.cache_write_tokens),
            (&mut sums.cache_write_1h_tokens, tokens.cache_write_1h_tokens),
            (&mut sums.reasoning_tokens, tokens.reasoning_tokens),
        ] {
            *sum = sum.saturating_add(more);
        }
        tally.cost = tally.cost.saturating_add(cost.unwrap_or_default());
    }

    /// All of it: provider, model, counts.
    pub(super) fn read(&self) -> Vec<(String, String, ModelTally)> {
        self.all().iter().map(|((provider, model), tally)| (provider.clone(), model.clone(), *tally)).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<(String, String), ModelTally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
