//! One budget of one scope, for one day, month, or ever.

use super::calendar::{Period, Span};
use super::quantity::{Amount, Quantity, Unit};
use super::{Ask, Scope, Shortage, Warning, WindowQuery};
use crate::config::{Limit, Percent};
use crate::store::{NanoDollars, Timestamp};

/// What is spent and set aside of a limit.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) period: Period,
    pub(super) span: Span,
    limit: Limit,
    /// What was settled; absent until it is loaded.
    spent: Option<Amount>,
    reserved: Amount,
    /// Calls under way that count here.
    calls: u32,
    /// The highest thresholds that were crossed: of tokens and of money.
    warned: [Option<Percent>; 2],
    pub(super) used_at: Timestamp,
}

const UNITS: [Unit; 2] = [Unit::Tokens, Unit::Usd];

/// What a window leaves of a call.
pub(super) enum Room {
    /// An answer of so many tokens.
    Output(u32),
    /// Not even the least that makes sense.
    None { needed: Quantity },
}

impl Window {
    pub(super) fn new(period: Period, span: Span, limit: Limit, now: Timestamp) -> Self {
        let (spent, reserved) = (None, Amount::default());
        Self { period, span, limit, spent, reserved, calls: 0, warned: [None; 2], used_at: now }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.spent.is_some()
    }

    /// Whether calls under way count here.
    pub(super) fn is_in_use(&self) -> bool {
        self.calls > 0
    }

    pub(super) fn is_limited_in_money(&self) -> bool {
        self.limit.cost.is_some()
    }

    /// Takes what was spent before, unless that is known already. What it had crossed was told then.
    pub(super) fn load(&mut self, spent: Amount, warn_at: &[Percent]) {
        if self.spent.is_none() {
            self.spent = Some(spent);
            self.warned = UNITS.map(|unit| self.crossed(unit, warn_at));
        }
    }

    /// How long an answer fits in here, beside all that is set aside.
    pub(super) fn room(&self, ask: &Ask<'_>) -> Room {
        let gone = self.spent.unwrap_or_default().plus(self.reserved);
        let (most, least) = (u64::from(ask.max_tokens), ask.least());
        let mut output = most;
        if let Some(limit) = self.limit.tokens {
            let left = limit.saturating_sub(gone.tokens);
            match left.checked_sub(ask.estimated_input).filter(|&fits| fits >= least) {
                Some(fits) => output = output.min(fits),
                None => {
                    let needed = ask.estimated_input.saturating_add(least);
                    return Room::None { needed: Quantity::Tokens(needed) };
                }
            }
        }
        if let Some((limit, price)) = self.limit.cost.zip(ask.price) {
            let left = limit.saturating_sub(gone.cost);
            let fits = price.longest_output(ask.estimated_input, left, ask.caching);
            match fits.filter(|&fits| fits >= least) {
                Some(fits) => output = output.min(fits),
                None => {
                    let needed = price.most(ask.estimated_input, least, ask.caching);
                    return Room::None { needed: Quantity::Cost(needed) };
                }
            }
        }
        Room::Output(u32::try_from(output).unwrap_or(ask.max_tokens))
    }

    pub(super) fn shortage(&self, scope: &Scope, needed: Quantity) -> Shortage {
        let unit = needed.unit();
        Shortage {
            scope: scope.clone(),
            period: self.period,
            used: self.spent.unwrap_or_default().in_unit(unit),
            reserved: self.reserved.in_unit(unit),
            needed,
            limit: self.limit_in(unit).unwrap_or(needed),
            resets_at: self.span.until,
        }
    }

    pub(super) fn reserve(&mut self, amount: Amount, now: Timestamp) {
        self.reserved = self.reserved.plus(amount);
        self.calls += 1;
        self.used_at = self.used_at.max(now);
    }

    /// Gives back what a call had set aside.
    pub(super) fn release(&mut self, amount: Amount) {
        self.reserved = self.reserved.minus(amount);
        self.calls = self.calls.saturating_sub(1);
    }

    /// Counts what a call consumed. Of a window that is not loaded yet, the store counts it.
    pub(super) fn spend(&mut self, amount: Amount) {
        self.spent = self.spent.map(|spent| spent.plus(amount));
    }

    /// The highest thresholds that are crossed since this was last asked.
    pub(super) fn warnings<'a>(
        &'a mut self,
        scope: &'a Scope,
        warn_at: &'a [Percent],
    ) -> impl Iterator<Item = Warning> + 'a {
        UNITS.into_iter().enumerate().filter_map(move |(index, unit)| {
            let threshold = self.crossed(unit, warn_at)?;
            let warned = self.warned.get_mut(index)?;
            if warned.is_some_and(|warned| warned >= threshold) {
                return None;
            }
            *warned = Some(threshold);
            Some(Warning {
                scope: scope.clone(),
                period: self.period,
                threshold,
                used: self.spent?.in_unit(unit),
                limit: self.limit_in(unit)?,
                resets_at: self.span.until,
            })
        })
    }

    /// The highest threshold that what was spent has reached.
    fn crossed(&self, unit: Unit, warn_at: &[Percent]) -> Option<Percent> {
        let used = u128::from(self.spent?.in_unit(unit).amount());
        let limit = u128::from(self.limit_in(unit)?.amount());
        let reached = |percent: &&Percent| used > 0 && used * 100 >= limit * u128::from(percent.get());
        warn_at.iter().filter(reached).max().copied()
    }

    fn limit_in(&self, unit: Unit) -> Option<Quantity> {
        match unit {
            Unit::Tokens => self.limit.tokens.map(Quantity::Tokens),
            Unit::Usd => self.limit.cost.map(Quantity::Cost),
        }
    }

    /// A line of the status for each unit that is limited.
    pub(super) fn rows<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = BudgetRow> + 'a {
        UNITS.into_iter().zip(self.warned).filter_map(move |(unit, warned)| {
            Some(BudgetRow {
                scope: scope.clone(),
                period: self.period,
                used: self.spent?.in_unit(unit),
                reserved: self.reserved.in_unit(unit),
                limit: self.limit_in(unit)?,
                resets_at: self.span.until,
                warned,
            })
        })
    }

    pub(super) fn query(&self, scope: &Scope, issue: u64) -> WindowQuery {
        WindowQuery { scope: scope.clone(), period: self.period, span: self.span, issue }
    }
}

/// A budget as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetRow {
    /// Whose.
    pub scope: Scope,
    /// How long it runs.
    pub period: Period,
    /// What is spent of it; its unit is that of the row.
    pub used: Quantity,
    /// What is set aside for calls under way.
    pub reserved: Quantity,
    /// All of it.
    pub limit: Quantity,
    /// When it begins anew; absent where it never does.
    pub resets_at: Option<Timestamp>,
    /// The highest threshold that it crossed.
    pub warned: Option<Percent>,
}

impl BudgetRow {
    /// What is neither spent nor set aside.
    #[must_use]
    pub fn left(&self) -> Quantity {
        let left = self.limit.amount().saturating_sub(self.used.amount()).saturating_sub(self.reserved.amount());
        match self.limit {
            Quantity::Tokens(_) => Quantity::Tokens(left),
            Quantity::Cost(_) => Quantity::Cost(NanoDollars::from_nanos(left)),
        }
    }
}
