//! What stands between an agent and the models: it estimates, reserves, prices and settles each call.
//!
//! [`Meter::begin`] is asked before a record of a call is stored, and [`Meter::end`] makes the record of its end.
//! What it consumed counts against budgets once that is stored ([`Meter::stored`]); until then what was set aside for
//! it stays so. Whatever becomes of a turn, [`Meter::release`] leaves nothing of it behind.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::budget::{Ask, BudgetError, BudgetRow, Budgets, CallScopes, Warning, WindowQuery};
use super::count::{Asked, Counter, Estimate, FactorRecord};
use super::price::{Caching, PriceTable, PriceTableError};
use super::tally::{ModelTally, Tally};
use crate::config::{Config, ProviderKind};
use crate::provider::{CacheLifetime, Request};
use crate::store::{
    CallCause, CallOutcome, DynStore, LedgerEntry, ModelCall, ModelCallEnd, ModelCallId, SessionKey, StoreError,
    Timestamp, TokenFactor, TokenUsage, TurnId,
};

/// The shortest answer that is worth its input, in tokens.
const LEAST_OUTPUT: u32 = 256;

/// Times that windows are loaded for one call. Each time all that are missing are, so that a second one is for
/// those that were let go meanwhile, and more say that something is wrong.
const LOADS: u32 = 8;

/// Warnings that wait to be sent to the owner. What comes when it is full stands in the log only.
const WARNINGS: usize = 64;

/// Unsettled calls that are read at once at start.
const PAGE: usize = 500;

/// Counts, prices and limits every call of a model. Cheap to clone.
#[derive(Clone)]
pub struct Meter {
    inner: Arc<Inner>,
}

struct Inner {
    store: DynStore,
    /// It begins anew when it is known what was learnt before.
    counter: RwLock<Counter>,
    /// What was learnt and is not stored yet, by provider and model.
    learnt: Mutex<BTreeMap<(String, String), TokenFactor>>,
    prices: PriceTable,
    budgets: Budgets,
    time_zone: TimeZone,
    tally: Tally,
    /// By the provider's name in the config.
    kinds: HashMap<String, ProviderKind>,
    /// Calls that are not settled in the ledger, with their estimates.
    under_way: Mutex<BTreeMap<ModelCallId, Estimate>>,
    warnings: mpsc::Sender<Warning>,
}

/// A call that is about to be made.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Which.
    pub id: ModelCallId,
    /// For whom.
    pub session: &'a SessionKey,
    /// Why.
    pub cause: CallCause,
    /// The provider's name in the config.
    pub provider: &'a str,
    /// The model.
    pub model: &'a str,
    /// What is asked.
    pub request: &'a Arc<Request>,
    /// The time of its record.
    pub now: Timestamp,
}

/// Why a call may not be made.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    /// A budget has no room for it.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// What was spent before could not be read.
    #[error("what was spent before could not be read: {0}")]
    Store(#[from] StoreError),
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// What it consumed.
    pub tokens: TokenUsage,
    /// The counts are ours.
    pub estimated: bool,
    /// How.
    pub outcome: CallOutcome,
    /// When.
    pub at: Timestamp,
}

impl Meter {
    /// A meter by a config, and the warnings that it gives.
    ///
    /// # Errors
    /// The bundled prices are broken.
    pub fn new(config: &Config, store: DynStore) -> Result<(Self, mpsc::Receiver<Warning>), PriceTableError> {
        let (warnings, told) = mpsc::channel(WARNINGS);
        let kinds = config.providers.iter().map(|(name, provider)| (name.clone(), provider.kind)).collect();
        let inner = Inner {
            store,
            counter: RwLock::new(Counter::new([])),
            learnt: Mutex::default(),
            prices: PriceTable::new(&config.prices)?,
            budgets: Budgets::new(config.budgets.clone()),
            time_zone: config.budgets.time_zone.clone(),
            tally: Tally::default(),
            kinds,
            under_way: Mutex::default(),
            warnings,
        };
        Ok((Self { inner: Arc::new(inner) }, told))
    }

    /// Has what counts the tokens of these models at hand, so that the first call of one does not wait for it. Blocks
    /// for some 15 ms.
    pub fn warm_up<'a>(&self, models: impl IntoIterator<Item = &'a str>) {
        self.counter().warm_up(models);
    }

    /// Takes over what a process before this one left: what it learnt, and calls that it did not settle. Those of
    /// turns that are not `open` any more are settled as lost.
    ///
    /// # Errors
    /// The store failed.
    pub async fn recover(&self, open: impl Fn(TurnId) -> bool, now: Timestamp) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let factors = inner.store.token_factors().await?.into_iter().map(|factor| {
            let TokenFactor { provider, model, base, counted, calls } = factor;
            FactorRecord { provider, model, base, counted, calls }
        });
        *inner.counter.write().unwrap_or_else(PoisonError::into_inner) = Counter::new(factors);
        let mut after = None;
        loop {
            let page = inner.store.unsettled(after, PAGE).await?;
            let (kept, gone): (Vec<_>, Vec<_>) = page.items.into_iter().partition(|call| open(call.id.turn));
            inner.budgets.restore(&kept);
            if !gone.is_empty() {
                info!(calls = gone.len(), "calls of models that nobody will settle are counted as lost");
                inner.store.settle(gone.iter().map(|call| self.lost(call, now)).collect()).await?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for query in inner.budgets.restored_windows(now) {
            self.load(&query, now).await?;
        }
        Ok(())
    }

    /// The record of a call that may be made, with what is set aside for it: as output the most that it may write.
    ///
    /// # Errors
    /// It may not be made.
    pub async fn begin(&self, wanted: Wanted<'_>) -> Result<ModelCall, MeterError> {
        let Wanted { id, session, cause, provider, model, request, now } = wanted;
        let inner = &*self.inner;
        let kind = inner.kinds.get(provider).copied();
        let estimate = self.counter().estimate(Asked { session, provider, model }, request).await;
        let price = kind.and_then(|kind| inner.prices.find(kind, provider, model, now));
        let scopes = CallScopes::new(session, &cause);
        let ask = Ask {
            id,
            scopes: &scopes,
            provider,
            model,
            estimated_input: estimate.input_tokens,
            max_tokens: request.max_tokens,
            least_output: least_output(request),
            price,
            caching: caching(kind, request),
        };
        let mut loads = 0;
        let granted = loop {
            for query in inner.budgets.windows_to_load(&scopes, now) {
                self.load(&query, now).await?;
            }
            match inner.budgets.reserve(&ask, now) {
                Err(BudgetError::NotLoaded(_)) if loads < LOADS => loads += 1,
                granted => break granted?,
            }
        };
        let reserved = TokenUsage {
            input_tokens: estimate.input_tokens,
            output_tokens: granted.max_tokens.into(),
            ..TokenUsage::default()
        };
        self.under_way().insert(id, estimate);
        Ok(ModelCall {
            id,
            session: session.clone(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            cause,
            estimate: reserved,
            reserved_cost: granted.reserved_cost,
            at: now,
        })
    }

    /// How many tokens a text is that the model of a call wrote, as far as that can be said.
    #[must_use]
    pub fn text(&self, call: &ModelCall, text: &str) -> u64 {
        let asked = Asked { session: &call.session, provider: &call.provider, model: &call.model };
        self.counter().text(asked, text)
    }

    /// The record of a call's end. What a provider counted itself is learnt from.
    #[must_use]
    pub fn end(&self, call: &ModelCall, ended: Ended) -> ModelCallEnd {
        let inner = &*self.inner;
        let Ended { tokens, estimated, outcome, at } = ended;
        let kind = inner.kinds.get(&call.provider).copied();
        // By the prices of the moment in which it began, as it was reserved.
        let price = kind.and_then(|kind| inner.prices.find(kind, &call.provider, &call.model, call.at));
        let cost = price.map(|price| price.cost(&tokens));
        inner.tally.count((&call.provider, &call.model), outcome, &tokens, cost.map(|cost| cost.cost));
        let estimate = self.under_way().get(&call.id).copied();
        match (outcome, estimate) {
            // It reached nobody, or nobody who counted: there is no reason to hold on to what others could use.
            (CallOutcome::Failed, _) => inner.budgets.release(call.id),
            (CallOutcome::Finished, Some(estimate)) if !estimated => {
                let counted = tokens.total().saturating_sub(tokens.output_tokens);
                let asked = Asked { session: &call.session, provider: &call.provider, model: &call.model };
                if let Some(learnt) = self.counter().learn(asked, &estimate, counted) {
                    let FactorRecord { provider, model, base, counted, calls } = learnt;
                    let name = (provider.clone(), model.clone());
                    self.learnt().insert(name, TokenFactor { provider, model, base, counted, calls });
                }
            }
            _ => {}
        }
        ModelCallEnd {
            id: call.id,
            tokens,
            estimated,
            cost: cost.map(|cost| cost.cost),
            price: price.map(|price| price.version().to_owned()),
            cache_saving: cost.map(|cost| cost.cache_saving),
            outcome,
            at,
        }
    }

    /// The end of a call of which the process that made it left nothing but its beginning: what it certainly sent.
    #[must_use]
    pub fn lost(&self, call: &ModelCall, at: Timestamp) -> ModelCallEnd {
        let tokens = TokenUsage { output_tokens: 0, ..call.estimate };
        self.end(call, Ended { tokens, estimated: true, outcome: CallOutcome::Lost, at })
    }

    /// These changes of the ledger are stored.
    pub fn stored(&self, entries: impl IntoIterator<Item = LedgerEntry>) {
        for entry in entries {
            let LedgerEntry::Settle(end) = entry else { continue };
            self.under_way().remove(&end.id);
            for warning in self.inner.budgets.settle(end.id, &end.tokens, end.cost) {
                warn!("{warning}");
                // Where nobody takes them, the log has it.
                let _ = self.inner.warnings.try_send(warning);
            }
        }
    }

    /// Nothing of a turn is under way any more: what is still set aside for it is given back.
    pub fn release(&self, turn: TurnId) {
        let (first, last) = (ModelCallId { turn, index: 0 }, ModelCallId { turn, index: u32::MAX });
        let left: Vec<_> = self.under_way().extract_if(first..=last, |_, _| true).map(|(id, _)| id).collect();
        for id in left {
            self.inner.budgets.release(id);
        }
    }

    /// Gives back what is set aside for a turn's calls when it is dropped.
    #[must_use = "what is held is given back when this is dropped"]
    pub fn hold(&self, turn: TurnId) -> Held {
        Held { meter: self.clone(), turn }
    }

    /// Where a day begins and ends.
    #[must_use]
    pub fn time_zone(&self) -> &TimeZone {
        &self.inner.time_zone
    }

    /// What was consumed since the process started: by provider and model.
    #[must_use]
    pub fn tally(&self) -> Vec<(String, String, ModelTally)> {
        self.inner.tally.read()
    }

    /// Every budget of which it is known how it stands.
    #[must_use]
    pub fn loaded_budgets(&self, now: Timestamp) -> Vec<BudgetRow> {
        self.inner.budgets.status(now)
    }

    /// Every budget, as it stands.
    ///
    /// # Errors
    /// What was spent could not be read.
    pub async fn budgets(&self, now: Timestamp) -> Result<Vec<BudgetRow>, StoreError> {
        for query in self.inner.budgets.windows_of_status(now) {
            self.load(&query, now).await?;
        }
        Ok(self.inner.budgets.status(now))
    }

    /// Stores what was learnt of how models count since the last time.
    ///
    /// # Errors
    /// The store failed; it is stored the next time.
    pub async fn save(&self) -> Result<(), StoreError> {
        let learnt = std::mem::take(&mut *self.learnt());
        let mut left = learnt.into_iter();
        for (name, factor) in left.by_ref() {
            if let Err(error) = self.inner.store.save_token_factor(factor.clone()).await {
                let mut later = self.learnt();
                for (name, factor) in std::iter::once((name, factor)).chain(left) {
                    // What was learnt meanwhile knows more.
                    later.entry(name).or_insert(factor);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn load(&self, query: &WindowQuery, now: Timestamp) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let spent = inner.store.spent(query.filter(), Some(query.span.from), query.span.until).await?;
        inner.budgets.load(query, spent, now);
        Ok(())
    }

    fn counter(&self) -> Counter {
        self.inner.counter.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learnt(&self) -> MutexGuard<'_, BTreeMap<(String, String), TokenFactor>> {
        self.inner.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<ModelCallId, Estimate>> {
        self.inner.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What must be left for an answer that makes sense: some words behind what it may think.
fn least_output(request: &Request) -> u32 {
    request.thinking_tokens.unwrap_or(0).saturating_add(LEAST_OUTPUT).min(request.max_tokens)
}

/// What the provider's cache may make of its input.
fn caching(kind: Option<ProviderKind>, request: &Request) -> Caching {
    match request.cache.dearest() {
        // OpenAI writes to its cache unasked, and charges for that with some models.
        None if kind == Some(ProviderKind::OpenAi) => Caching::Short,
        None => Caching::Off,
        Some(CacheLifetime::FiveMinutes) => Caching::Short,
        Some(CacheLifetime::OneHour) => Caching::Long,
    }
}

/// Gives back what is set aside for a turn's calls, whatever became of the turn. Of calls whose end is in the ledger,
/// nothing is.
pub struct Held {
    meter: Meter,
    turn: TurnId,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.meter.release(self.turn);
    }
}
