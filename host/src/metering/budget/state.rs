//! All windows and all calls under way: what the lock is about.

use std::collections::HashMap;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::calendar::{Calendar, Period};
use super::window::{Room, Window};
use super::{Amount, Ask, BudgetError, BudgetRow, CallScopes, Granted, Scope, Shortage, Warning, WindowQuery, limits};
use crate::config::BudgetsConfig;
use crate::store::{ModelCallId, Timestamp};

/// How often windows are let go.
const SWEEP: Duration = Duration::from_secs(60);
/// How long a session's or a peer's windows are kept without a call.
const IDLE: Duration = Duration::from_secs(600);
/// With more scopes than this, the idle ones are let go at once. Some megabytes.
const MANY: usize = 8_192;

#[derive(Debug)]
pub(super) struct State {
    calendar: Calendar,
    scopes: HashMap<Scope, Vec<Window>>,
    calls: HashMap<ModelCallId, Held>,
    /// Counts what makes sums of the store's too old that were asked for before.
    issue: u64,
    swept_at: Timestamp,
}

/// What a call has set aside.
#[derive(Debug)]
struct Held {
    scopes: CallScopes,
    amount: Amount,
    granted: Granted,
    at: Timestamp,
}

impl State {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self {
            calendar: Calendar::new(zone),
            scopes: HashMap::new(),
            calls: HashMap::new(),
            issue: 0,
            swept_at: Timestamp(0),
        }
    }

    /// The windows of some scopes that are not loaded.
    pub(super) fn missing<'a>(
        &mut self,
        config: &BudgetsConfig,
        scopes: impl Iterator<Item = &'a Scope>,
        now: Timestamp,
    ) -> Vec<WindowQuery> {
        let mut missing = Vec::new();
        for scope in scopes {
            for (period, _) in limits::of(config, scope) {
                let span = self.calendar.span(period, now);
                let windows = self.scopes.get(scope).map_or(&[][..], Vec::as_slice);
                if !windows.iter().any(|window| window.period == period && window.span == span && window.is_loaded()) {
                    missing.push(WindowQuery { scope: scope.clone(), period, span, issue: self.issue });
                }
            }
        }
        missing
    }

    /// The windows that are here and not loaded, and that still run.
    pub(super) fn unloaded(&self, now: Timestamp) -> Vec<WindowQuery> {
        let mut queries = Vec::new();
        for (scope, windows) in &self.scopes {
            let unloaded = windows.iter().filter(|window| !window.is_loaded() && !window.span.is_over(now));
            queries.extend(unloaded.map(|window| window.query(scope, self.issue)));
        }
        queries
    }

    pub(super) fn load(&mut self, config: &BudgetsConfig, query: &WindowQuery, spent: Amount, now: Timestamp) {
        if query.issue == self.issue
            && let Some(window) = self.window(config, &query.scope, query.period, query.span.from, now)
        {
            window.load(spent, &config.warn_at);
        }
    }

    /// A window, made where there is none; nothing where the period has no limit.
    fn window(
        &mut self,
        config: &BudgetsConfig,
        scope: &Scope,
        period: Period,
        at: Timestamp,
        now: Timestamp,
    ) -> Option<&mut Window> {
        let (_, limit) = limits::of(config, scope).find(|(limited, _)| *limited == period)?;
        let span = self.calendar.span(period, at);
        let windows = self.scopes.entry(scope.clone()).or_default();
        let index = match windows.iter().position(|window| window.period == period && window.span == span) {
            Some(index) => index,
            None => {
                windows.push(Window::new(period, span, limit, now));
                windows.len() - 1
            }
        };
        windows.get_mut(index)
    }

    pub(super) fn reserve(
        &mut self,
        config: &BudgetsConfig,
        ask: &Ask<'_>,
        now: Timestamp,
    ) -> Result<Granted, BudgetError> {
        if let Some(held) = self.calls.get(&ask.id) {
            return Ok(held.granted);
        }
        let missing = self.missing(config, ask.scopes.iter(), now);
        if !missing.is_empty() {
            return Err(BudgetError::NotLoaded(missing));
        }
        let granted = self.grant(config, ask, now);
        // Not before: what was loaded for this call stays for it. Refused ones leave windows behind, too.
        self.sweep(now);
        granted
    }

    fn grant(&mut self, config: &BudgetsConfig, ask: &Ask<'_>, now: Timestamp) -> Result<Granted, BudgetError> {
        let max_tokens = self.fits(ask, now)?;
        let cost = ask.price.map(|price| price.most(ask.estimated_input, max_tokens.into(), ask.caching));
        let tokens = ask.estimated_input.saturating_add(max_tokens.into());
        let amount = Amount { tokens, cost: cost.unwrap_or_default() };
        let granted = Granted { max_tokens, reserved_cost: cost };
        self.hold(config, ask.id, ask.scopes, amount, granted, now);
        Ok(granted)
    }

    /// The longest answer that fits into every window. Where it fits into none, the one is told that begins anew
    /// last: before that, the call is not possible.
    fn fits(&self, ask: &Ask<'_>, now: Timestamp) -> Result<u32, BudgetError> {
        let mut output = ask.max_tokens;
        let mut short: Option<Shortage> = None;
        for scope in ask.scopes.iter() {
            let windows = self.scopes.get(scope).into_iter().flatten();
            for window in windows.filter(|window| window.span.contains(now)) {
                if window.is_limited_in_money() && ask.price.is_none() {
                    return Err(BudgetError::PriceUnknown {
                        scope: scope.clone(),
                        period: window.period,
                        provider: ask.provider.to_owned(),
                        model: ask.model.to_owned(),
                    });
                }
                match window.room(ask) {
                    Room::Output(fits) => output = output.min(fits),
                    Room::None { needed } => {
                        let later = |short: &Shortage| match (short.resets_at, window.span.until) {
                            (None, _) => false,
                            (Some(_), None) => true,
                            (Some(told), Some(this)) => this > told,
                        };
                        if short.as_ref().is_none_or(later) {
                            short = Some(window.shortage(scope, needed));
                        }
                    }
                }
            }
        }
        short.map_or(Ok(output), |short| Err(BudgetError::Exhausted(Box::new(short))))
    }

    /// Sets an amount aside in every window of a call, whatever fits.
    pub(super) fn hold(
        &mut self,
        config: &BudgetsConfig,
        id: ModelCallId,
        scopes: &CallScopes,
        amount: Amount,
        granted: Granted,
        at: Timestamp,
    ) {
        if self.calls.contains_key(&id) {
            return;
        }
        for scope in scopes.iter() {
            for period in [Period::Day, Period::Month, Period::Total] {
                if let Some(window) = self.window(config, scope, period, at, at) {
                    window.reserve(amount, at);
                }
            }
        }
        self.calls.insert(id, Held { scopes: scopes.clone(), amount, granted, at });
    }

    pub(super) fn settle(&mut self, config: &BudgetsConfig, id: ModelCallId, used: Amount) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let Some(Held { scopes, amount, at, .. }) = self.calls.remove(&id) else { return warnings };
        for scope in scopes.iter() {
            for window in self.scopes.get_mut(scope).into_iter().flatten().filter(|window| window.span.contains(at)) {
                window.release(amount);
                if window.is_loaded() {
                    window.spend(used);
                    warnings.extend(window.warnings(scope, &config.warn_at));
                } else {
                    // A sum that is on its way may have been made before this was in the ledger.
                    self.issue += 1;
                }
            }
        }
        warnings.sort_by(|a, b| (&a.scope, a.period).cmp(&(&b.scope, b.period)));
        warnings
    }

    pub(super) fn rows(&self, now: Timestamp) -> Vec<BudgetRow> {
        let rows = self.scopes.iter().flat_map(|(scope, windows)| {
            windows.iter().filter(|window| window.span.contains(now)).flat_map(|window| window.rows(scope))
        });
        let mut rows: Vec<BudgetRow> = rows.collect();
        rows.sort_by(|a, b| (&a.scope, a.period, a.limit.unit()).cmp(&(&b.scope, b.period, b.limit.unit())));
        rows
    }

    /// Lets go of windows that are over, and of those of sessions and peers that have long been quiet: the store
    /// has what was spent in them.
    fn sweep(&mut self, now: Timestamp) {
        let many = self.scopes.len() > MANY;
        if !many && now.since(self.swept_at) < SWEEP && now >= self.swept_at {
            return;
        }
        self.swept_at = now;
        let mut dropped = 0;
        self.scopes.retain(|scope, windows| {
            let before = windows.len();
            windows.retain(|window| {
                let quiet = scope.is_numerous() && (many || now.since(window.used_at) >= IDLE);
                window.is_in_use() || !(window.span.is_over(now) || quiet)
            });
            dropped += before - windows.len();
            !windows.is_empty()
        });
        if dropped > 0 {
            self.issue += 1;
        }
    }
}
