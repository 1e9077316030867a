//! What calls of models consumed, added up. The store keeps sums per quarter of an hour beside the ledger, in
//! the same transactions, so that a question over millions of records reads thousands of rows. What a
//! span begins or ends with in the middle of a quarter is read from the ledger itself: sums are exact,
//! whatever the span.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use serde::{Deserialize, Serialize};

use super::{CallCause, CallOutcome, ModelCallEnd, NanoDollars, Page, SessionKey, Timestamp, TokenUsage};

/// A quarter of an hour, in milliseconds. The offset of every time zone is a multiple of it, so that each local
/// day and month is made of whole quarters.
pub(super) const QUARTER: u64 = 15 * 60 * 1000;

/// The most of each count that a record of one call holds; a larger one is taken for a provider's mistake and
/// kept as this. Sums of some millions of such calls still fit.
pub const MAX_CALL_TOKENS: u64 = 1 << 40;

/// The most that a record of one call says it cost, or saved: more than a million dollars.
pub const MAX_CALL_COST: NanoDollars = NanoDollars::from_nanos(1 << 50);

/// Sums over calls that ended. A call counts when it began, whenever it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UsageSums {
    /// The calls.
    pub calls: u64,
    /// Of them, those whose counts are ours, because the provider's never came.
    pub estimated: u64,
    /// Of them, those that were cut ([`CallOutcome::Cut`]).
    pub cut: u64,
    /// Of them, those that failed before an answer began.
    pub failed: u64,
    /// Of them, those of which nobody knows the end.
    pub lost: u64,
    /// What they consumed.
    pub tokens: TokenUsage,
    /// What they cost, as far as their prices are known.
    pub cost: NanoDollars,
    /// Of them, those that consumed something at an unknown price: they are missing in the cost.
    pub unpriced: u64,
    /// How much less they cost than they would have without caches, in nano-dollars; may be negative.
    pub cache_saving: i64,
    /// How long they took, in milliseconds, one after the other.
    pub duration_ms: u64,
}

impl UsageSums {
    /// Those of one call that began then.
    #[must_use]
    pub fn of(begun: Timestamp, end: &ModelCallEnd) -> Self {
        let one = |is: bool| u64::from(is);
        Self {
            calls: 1,
            estimated: one(end.estimated),
            cut: one(end.outcome == CallOutcome::Cut),
            failed: one(end.outcome == CallOutcome::Failed),
            lost: one(end.outcome == CallOutcome::Lost),
            tokens: end.tokens,
            cost: end.cost.unwrap_or_default(),
            unpriced: one(end.cost.is_none() && end.tokens.total() > 0),
            cache_saving: end.cache_saving.unwrap_or(0),
            duration_ms: end.at.0.saturating_sub(begun.0),
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        let sum = |one: &mut u64, other: u64| *one = one.saturating_add(other);
        sum(&mut self.calls, other.calls);
        sum(&mut self.estimated, other.estimated);
        sum(&mut self.cut, other.cut);
        sum(&mut self.failed, other.failed);
        sum(&mut self.lost, other.lost);
        sum(&mut self.tokens.input_tokens, other.tokens.input_tokens);
        sum(&mut self.tokens.output_tokens, other.tokens.output_tokens);
        sum(&mut self.tokens.cache_read_tokens, other.tokens.cache_read_tokens);
        sum(&mut self.tokens.cache_write_tokens, other.tokens.cache_write_tokens);
        sum(&mut self.tokens.cache_write_1h_tokens, other.tokens.cache_write_1h_tokens);
        sum(&mut self.tokens.reasoning_tokens, other.tokens.reasoning_tokens);
        self.cost = self.cost.saturating_add(other.cost);
        sum(&mut self.unpriced, other.unpriced);
        self.cache_saving = self.cache_saving.saturating_add(other.cache_saving);
        sum(&mut self.duration_ms, other.duration_ms);
    }
}

/// The other side of a conversation, whichever agents it is with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UsagePeer {
    /// The channel's name.
    pub channel: String,
    /// The account on it.
    pub account: String,
    /// Who.
    pub peer: String,
}

impl UsagePeer {
    /// Whom a session is with.
    #[must_use]
    pub fn of(session: &SessionKey) -> Self {
        Self { channel: session.channel(), account: session.account(), peer: session.peer() }
    }
}

/// Which calls are counted: those for which all that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// For this agent.
    pub agent: Option<String>,
    /// By this channel.
    pub channel: Option<String>,
    /// On this account of a channel.
    pub account: Option<String>,
    /// With them, as the channel names them.
    pub peer: Option<String>,
    /// In this session.
    pub session: Option<SessionKey>,
    /// Of this provider, by its name in the config.
    pub provider: Option<String>,
    /// Of this model, whichever provider has it.
    pub model: Option<String>,
    /// For this reason.
    pub cause: Option<CallCause>,
}

/// By what sums are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageGroup {
    /// By nothing: all is one sum.
    Total,
    /// By agent.
    Agent,
    /// By channel.
    Channel,
    /// By who is on the other side.
    Peer,
    /// By provider and model.
    Model,
    /// By session.
    Session,
    /// By what made the calls necessary.
    Cause,
    /// By day: from each of these instants, which ascend, to the next. What began before the first, or at the
    /// last or later, is not counted. Where days begin is up to the caller, since that is a matter of time
    /// zones; a month is as good.
    Days(Vec<Timestamp>),
}

/// What a sum is of. Keys of one group are in the order of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageKey {
    /// Of all.
    Total,
    /// Of an agent.
    Agent(String),
    /// Of a channel.
    Channel(String),
    /// Of someone.
    Peer(UsagePeer),
    /// Of a model.
    Model {
        /// The provider's name in the config.
        provider: String,
        /// The model, as the provider calls it.
        model: String,
    },
    /// Of a session, which may be deleted.
    Session(SessionKey),
    /// Of a cause.
    Cause(CallCause),
    /// Of the day that begins then.
    Day(Timestamp),
}

/// A question about what was consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// By calls that began then or later.
    pub since: Option<Timestamp>,
    /// By calls that began before.
    pub until: Option<Timestamp>,
    /// By what the sums are told apart.
    pub group: UsageGroup,
    /// Of which calls.
    pub filter: UsageFilter,
    /// Rows behind this one: the cursor of the page before. One of another group is before all, or behind all.
    pub after: Option<UsageKey>,
    /// Rows at most.
    pub limit: usize,
}

/// One sum. There is none of what has no calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Of what.
    pub key: UsageKey,
    /// The sums.
    pub sums: UsageSums,
}

/// What counts against a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Tokens: input, output, and what was read from caches and written to them.
    pub tokens: u64,
    /// Money, as far as prices are known.
    pub cost: NanoDollars,
    /// Calls that consumed something at an unknown price: they are missing in the cost.
    pub unpriced: u64,
}

impl From<&UsageSums> for Spent {
    fn from(sums: &UsageSums) -> Self {
        Self { tokens: sums.tokens.total(), cost: sums.cost, unpriced: sums.unpriced }
    }
}

/// By how much the tokens that are counted here differ from those that a provider counts, for one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFactor {
    /// The provider's name in the config.
    pub provider: String,
    /// The model, as the provider calls it.
    pub model: String,
    /// Tokens as they are counted here, over the calls that were learnt from, as whoever learns weighs them.
    pub base: u64,
    /// Tokens of the same calls, as the provider counted them, weighed alike.
    pub counted: u64,
    /// How many calls were learnt from.
    pub calls: u64,
}

/// Instants from one on, up to but not including another; in milliseconds since the Unix epoch. No end
/// is `u64::MAX`.
pub(super) type Span = Range<u64>;

impl UsageFilter {
    /// Whether a call is counted.
    pub(super) fn admits(&self, session: &SessionKey, cause: &CallCause, provider: &str, model: &str) -> bool {
        self.session.as_ref().is_none_or(|wanted| wanted == session)
            && self.cause.as_ref().is_none_or(|wanted| wanted == cause)
            && self.provider.as_ref().is_none_or(|wanted| wanted == provider)
            && self.model.as_ref().is_none_or(|wanted| wanted == model)
            && self.agent.as_ref().is_none_or(|wanted| *wanted == session.agent())
            && self.channel.as_ref().is_none_or(|wanted| *wanted == session.channel())
            && self.account.as_ref().is_none_or(|wanted| *wanted == session.account())
            && self.peer.as_ref().is_none_or(|wanted| *wanted == session.peer())
    }
}

impl UsageGroup {
    /// Of which row a call is; of none where rows are days.
    pub(super) fn key(&self, session: &SessionKey, cause: &CallCause, provider: &str, model: &str) -> Option<UsageKey> {
        Some(match self {
            Self::Total => UsageKey::Total,
            Self::Agent => UsageKey::Agent(session.agent()),
            Self::Channel => UsageKey::Channel(session.channel()),
            Self::Peer => UsageKey::Peer(UsagePeer::of(session)),
            Self::Model => UsageKey::Model { provider: provider.to_owned(), model: model.to_owned() },
            Self::Session => UsageKey::Session(session.clone()),
            Self::Cause => UsageKey::Cause(cause.clone()),
            Self::Days(_) => return None,
        })
    }
}

/// Rows on their way into a page.
pub(super) type UsageRows = BTreeMap<UsageKey, UsageSums>;

impl UsageQuery {
    /// The page that it asks for, of rows that are all up to its end, at least.
    pub(super) fn page(&self, rows: UsageRows) -> Page<UsageRow, UsageKey> {
        let from = self.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest =
            rows.range((from, Bound::Unbounded)).map(|(key, sums)| UsageRow { key: key.clone(), sums: *sums });
        let items: Vec<_> = rest.by_ref().take(self.limit).collect();
        let more = rest.next().is_some();
        let next = items.last().filter(|_| more).map(|row| row.key.clone());
        Page { items, next }
    }

    /// The span of the whole question.
    pub(super) fn span(&self) -> Span {
        self.since.map_or(0, |since| since.0)..self.until.map_or(u64::MAX, |until| until.0)
    }

    /// The days that are asked for and not before the page, each with what of it is in the span.
    pub(super) fn days<'a>(&self, bounds: &'a [Timestamp]) -> impl Iterator<Item = (UsageKey, Span)> + use<'a> {
        let (span, after) = (self.span(), self.after.clone());
        bounds.windows(2).filter_map(move |day| {
            let &[from, to] = day else { return None };
            let key = UsageKey::Day(from);
            let within = from.0.max(span.start)..to.0.min(span.end);
            (!within.is_empty() && after.as_ref().is_none_or(|after| key > *after)).then_some((key, within))
        })
    }
}

/// The part of a span that is made of whole pieces of `width`, and what is left of it at its ends.
pub(super) fn split(span: &Span, width: u64) -> (Option<Span>, Vec<Span>) {
    if span.is_empty() {
        return (None, Vec::new());
    }
    let start = span.start.checked_next_multiple_of(width).unwrap_or(u64::MAX);
    // No end: nothing is left behind the last whole piece.
    let end = if span.end == u64::MAX { u64::MAX } else { span.end - span.end % width };
    if start >= end {
        return (None, vec![span.clone()]);
    }
    let edges = [span.start..start, end..span.end];
    (Some(start..end), edges.into_iter().filter(|edge| !edge.is_empty()).collect())
}

impl TokenUsage {
    /// All tokens that were consumed: what is part of another count is not counted again.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, .. } = *self;
        let all = [input_tokens, output_tokens, cache_read_tokens, cache_write_tokens];
        all.into_iter().fold(0, u64::saturating_add)
    }

    /// These counts, each at most [`MAX_CALL_TOKENS`].
    pub(super) fn bounded(&self) -> Self {
        let Self { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, .. } = *self;
        Self {
            input_tokens: input_tokens.min(MAX_CALL_TOKENS),
            output_tokens: output_tokens.min(MAX_CALL_TOKENS),
            cache_read_tokens: cache_read_tokens.min(MAX_CALL_TOKENS),
            cache_write_tokens: cache_write_tokens.min(MAX_CALL_TOKENS),
            cache_write_1h_tokens: self.cache_write_1h_tokens.min(MAX_CALL_TOKENS),
            reasoning_tokens: self.reasoning_tokens.min(MAX_CALL_TOKENS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_its_whole_pieces_and_its_ends() {
        const MAX: u64 = u64::MAX;
        let parts = |span: Span| {
            let (whole, edges) = split(&span, 10);
            let ends = |span: Span| (span.start, span.end);
            (whole.map(ends), edges.into_iter().map(ends).collect::<Vec<_>>())
        };
        assert_eq!(parts(0..MAX), (Some((0, MAX)), vec![]));
        assert_eq!(parts(10..30), (Some((10, 30)), vec![]));
        assert_eq!(parts(7..32), (Some((10, 30)), vec![(7, 10), (30, 32)]));
        assert_eq!(parts(7..MAX), (Some((10, MAX)), vec![(7, 10)]));
        assert_eq!(parts(7..13), (None, vec![(7, 13)]));
        assert_eq!(parts(3..9), (None, vec![(3, 9)]));
        assert_eq!(parts(9..9), (None, vec![]));
        assert_eq!(parts(MAX - 1..MAX), (None, vec![(MAX - 1, MAX)]));
    }
}
