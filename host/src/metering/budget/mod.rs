//! Budgets: reserve, spend, settle.
//!
//! A call sets aside what it may cost in every scope that it counts in, all at once or not at all, before its
//! provider is asked; afterwards it settles what it did cost. So calls side by side cannot overspend together.
//!
//! [`Budgets`] holds this in memory, behind one lock that is never held across a wait. What must outlive the process
//! is the ledger's: what was spent before is loaded from there, window by window, as calls come to need it
//! ([`Budgets::windows_to_load`], [`Budgets::load`]), and calls that a former process left unsettled are taken over
//! at start ([`Budgets::restore`]). Time is passed in; a call counts at the time of its record in the ledger.

mod calendar;
mod error;
mod limits;
mod quantity;
mod scope;
mod state;
#[cfg(test)]
mod tests;
mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use calendar::{Period, Span};
pub use error::{BudgetError, Shortage, Warning};
pub use quantity::{Quantity, Unit};
pub use scope::{CallScopes, Scope};
pub use window::BudgetRow;

use super::price::{Caching, Price};
use crate::config::BudgetsConfig;
use crate::store::{CallCause, ModelCall, ModelCallId, NanoDollars, Spent, Timestamp, TokenUsage, UsageFilter};
use quantity::Amount;
use state::State;

/// Holds all spending to the config's limits.
#[derive(Debug)]
pub struct Budgets {
    config: BudgetsConfig,
    /// Nothing is limited: nothing is counted.
    idle: bool,
    state: Mutex<State>,
}

/// A call that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Which.
    pub id: ModelCallId,
    /// Whom it counts for.
    pub scopes: &'a CallScopes,
    /// The provider's name in the config.
    pub provider: &'a str,
    /// The model.
    pub model: &'a str,
    /// What it is expected to send, in tokens.
    pub estimated_input: u64,
    /// The longest answer that is wanted, thinking included.
    pub max_tokens: u32,
    /// The shortest answer that makes sense. Never more than `max_tokens`.
    pub least_output: u32,
    /// What the model costs, where that is known.
    pub price: Option<&'a Price>,
    /// What it asks of the provider's cache.
    pub caching: Caching,
}

impl Ask<'_> {
    fn least(&self) -> u64 {
        self.least_output.min(self.max_tokens).into()
    }
}

/// A call that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// How long its answer may be: what was wanted, or what is left.
    pub max_tokens: u32,
    /// What is set aside for it; absent where its price is not known.
    pub reserved_cost: Option<NanoDollars>,
}

/// A window of which it is to be found out what was spent: the sum of all settled calls of the scope that began in
/// the span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowQuery {
    /// Whose.
    pub scope: Scope,
    /// Which kind.
    pub period: Period,
    /// From when to when.
    pub span: Span,
    /// An answer that was asked for before windows were let go may be too old.
    issue: u64,
}

impl WindowQuery {
    /// Which calls of the ledger are the scope's. Those that began in the span are to be added up.
    #[must_use]
    pub fn filter(&self) -> UsageFilter {
        let none = UsageFilter::default();
        match self.scope.clone() {
            Scope::All => none,
            Scope::Session(session) => UsageFilter { session: Some(session), ..none },
            Scope::Agent(name) => UsageFilter { agent: Some(name.to_string()), ..none },
            Scope::Channel(name) => UsageFilter { channel: Some(name.to_string()), ..none },
            Scope::Peer { channel, account, peer } => {
                let [channel, account, peer] = [channel, account, peer].map(|part| Some(part.to_string()));
                UsageFilter { channel, account, peer, ..none }
            }
            Scope::Plugin(name) => UsageFilter { cause: Some(CallCause::Plugin(name)), ..none },
        }
    }
}

impl Budgets {
    /// Nothing spent yet; what was, is loaded.
    #[must_use]
    pub fn new(config: BudgetsConfig) -> Self {
        let state = Mutex::new(State::new(config.time_zone.clone()));
        Self { idle: limits::is_empty(&config), config, state }
    }

    /// Takes over the calls that the ledger has unsettled. Before any of them is settled, what
    /// [`Budgets::restored_windows`] names must be loaded.
    pub fn restore<'a>(&self, calls: impl IntoIterator<Item = &'a ModelCall>) {
        if self.idle {
            return;
        }
        let mut state = self.state();
        for call in calls {
            let scopes = CallScopes::new(&call.session, &call.cause);
            let amount = Amount::of(&call.estimate, call.reserved_cost);
            let granted = Granted {
                max_tokens: u32::try_from(call.estimate.output_tokens).unwrap_or(u32::MAX),
                reserved_cost: call.reserved_cost,
            };
            state.hold(&self.config, call.id, &scopes, amount, granted, call.at);
        }
    }

    /// What is to be loaded of the windows that restored calls count in, as far as they still run.
    #[must_use]
    pub fn restored_windows(&self, now: Timestamp) -> Vec<WindowQuery> {
        if self.idle { Vec::new() } else { self.state().unloaded(now) }
    }

    /// What is to be loaded before a call of these scopes can be reserved.
    #[must_use]
    pub fn windows_to_load(&self, scopes: &CallScopes, now: Timestamp) -> Vec<WindowQuery> {
        if self.idle { Vec::new() } else { self.state().missing(&self.config, scopes.iter(), now) }
    }

    /// What is to be loaded before [`Budgets::status`] has a row for every budget that the config names, but for
    /// peers: they have rows once they wrote.
    #[must_use]
    pub fn windows_of_status(&self, now: Timestamp) -> Vec<WindowQuery> {
        if self.idle {
            return Vec::new();
        }
        let named: Vec<Scope> = limits::named(&self.config).collect();
        self.state().missing(&self.config, named.iter(), now)
    }

    /// Takes what was spent in a window. What is known already stays; an answer that may be too old is not taken,
    /// and the window is named again.
    pub fn load(&self, query: &WindowQuery, spent: Spent, now: Timestamp) {
        if !self.idle {
            self.state().load(&self.config, query, spent.into(), now);
        }
    }

    /// Sets aside what a call may cost, in all its scopes or in none, with a shorter answer where no more is left.
    /// Of a call that is set aside already, the same is granted again. `now` is the time of its record in the ledger.
    ///
    /// # Errors
    /// Nothing was set aside. [`BudgetError::NotLoaded`] names what is to be loaded before another try.
    pub fn reserve(&self, ask: &Ask<'_>, now: Timestamp) -> Result<Granted, BudgetError> {
        if self.idle {
            let cost = |price: &Price| price.most(ask.estimated_input, ask.max_tokens.into(), ask.caching);
            return Ok(Granted { max_tokens: ask.max_tokens, reserved_cost: ask.price.map(cost) });
        }
        self.state().reserve(&self.config, ask, now)
    }

    /// Counts what a call consumed, and gives back the rest of what it had set aside. To be called once that is in
    /// the ledger. Of a call that nothing is set aside for, which was settled before, nothing changes.
    ///
    /// Gives the warnings that are due: each threshold of a window once, and of several the highest.
    #[must_use = "the owner is to be told"]
    pub fn settle(&self, id: ModelCallId, usage: &TokenUsage, cost: Option<NanoDollars>) -> Vec<Warning> {
        if self.idle { Vec::new() } else { self.state().settle(&self.config, id, Amount::of(usage, cost)) }
    }

    /// Gives back all that a call had set aside, which reached no provider.
    pub fn release(&self, id: ModelCallId) {
        if !self.idle {
            // Nothing spent crosses no threshold.
            self.state().settle(&self.config, id, Amount::default());
        }
    }

    /// Every budget that is loaded, as it stands: in the order of their scopes.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Vec<BudgetRow> {
        if self.idle { Vec::new() } else { self.state().rows(now) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic elsewhere left is whole: nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
