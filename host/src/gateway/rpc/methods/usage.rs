//! What models consumed, and what may still be spent: `usage.query`, `budget.status`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::Answer;
use super::super::error::RpcError;
use super::super::params::Limit;
use super::super::table::Method;
use super::NoParams;
use crate::gateway::Shared;
use crate::metering::{BudgetRow, day, days, moment};
use crate::store::{
    BudgetState, CallCause, DynStore, LedgerFilter, SessionKey, Timestamp, UsageFilter, UsageGroup, UsageKey,
    UsagePeer, UsageQuery, UsageRow, UsageSums,
};

pub(super) fn methods() -> [Method; 2] {
    [
        Method::new(
            "usage.query",
            "What calls of models consumed and cost, added up: a page of sums, and the sum of all. A call counts when \
             it began, and once it ended.",
            &[],
            query,
        ),
        Method::new(
            "budget.status",
            "Every budget, as it stands: what is used of it, and what is set aside for calls under way.",
            &[],
            status,
        ),
    ]
}

/// What a sum is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    Agent,
    Channel,
    Peer,
    Model,
    #[default]
    Day,
    Session,
    Cause,
}

/// A moment: milliseconds since the Unix epoch, or a text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum When {
    /// Milliseconds since the Unix epoch.
    Millis(u64),
    /// A day in the gateway's time zone (`2026-11-01`), or so long ago (`30m`, `12h`, `7d`, `4w`).
    Text(String),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Query {
    /// What each sum is of.
    #[serde(default)]
    by: By,
    /// Of calls that began then or later; of all, where left out.
    since: Option<When>,
    /// Of calls that began before.
    until: Option<When>,
    /// Of this agent alone.
    agent: Option<String>,
    /// Of this channel alone.
    channel: Option<String>,
    /// Of this session alone.
    session: Option<SessionKey>,
    /// Of this provider alone.
    provider: Option<String>,
    /// Of this model alone.
    model: Option<String>,
    /// For this reason alone: `message`, or `plugin:NAME`.
    cause: Option<String>,
    /// A cursor from `next`; the beginning where left out.
    after: Option<String>,
    /// Sums at most.
    #[serde(default)]
    limit: Limit,
}

/// What some calls consumed and cost.
#[derive(Debug, Serialize, JsonSchema)]
struct Sum {
    /// Of what: an agent's or a channel's name, `channel:account:peer`, `provider/model`, a day, a session, a cause.
    /// Empty for all.
    key: String,
    /// The calls.
    calls: u64,
    /// Of them, those whose counts are estimates, because the provider's never came.
    estimated: u64,
    /// Of them, those that were cut.
    cut: u64,
    /// Of them, those that failed before an answer began, and consumed nothing.
    failed: u64,
    /// Of them, those that a crash left without an end.
    lost: u64,
    /// Input that was neither read from nor written to a cache.
    input_tokens: u64,
    /// Output, reasoning included.
    output_tokens: u64,
    /// Input read from the provider's cache.
    cache_read_tokens: u64,
    /// Input written to the provider's cache.
    cache_write_tokens: u64,
    /// Of it, what is kept for an hour.
    cache_write_1h_tokens: u64,
    /// Of the output, what was reasoning.
    reasoning_tokens: u64,
    /// In US dollars, as far as prices are known; null where none is.
    cost_usd: Option<f64>,
    /// Calls that consumed something at an unknown price, which the cost is without.
    unpriced: u64,
    /// How many US dollars less it cost than it would have without the provider's cache; negative where it cost more.
    cache_saving_usd: f64,
    /// How long the calls took, in milliseconds, one after the other.
    duration_ms: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct UsagePage {
    /// What each sum is of.
    by: By,
    /// In which days begin at midnight.
    time_zone: String,
    /// The sums, in the order of their keys.
    rows: Vec<Sum>,
    /// The sum of all calls that were asked for, also of those on other pages.
    total: Sum,
    /// The cursor of the next page; null where there is none.
    next: Option<String>,
}

async fn query(shared: Arc<Shared>, params: Query) -> Result<Answer<UsagePage>, RpcError> {
    let Query { by, since, until, agent, channel, session, provider, model, cause, after, limit } = params;
    let dispatcher = &shared.state.dispatcher;
    let (store, zone, now) = (dispatcher.store(), dispatcher.meter().time_zone(), Timestamp::now());
    let at = |name: &str, when: Option<When>| {
        let text = match when {
            None => return Ok(None),
            Some(When::Millis(millis)) => millis.to_string(),
            Some(When::Text(text)) => text,
        };
        moment(&text, zone, now).map(Some).map_err(|error| RpcError::invalid_params(format!("`{name}`: {error}")))
    };
    let (since, until) = (at("since", since)?, at("until", until)?);
    let cause = cause.map(|cause| cause.parse::<CallCause>()).transpose();
    let cause = cause.map_err(|error| RpcError::invalid_params(format!("`cause`: {error}")))?;
    let after = after.map(|cursor| serde_json::from_str::<UsageKey>(&cursor)).transpose();
    let after = after.map_err(|_| RpcError::invalid_params("`after` is no cursor of this method"))?;
    let filter = UsageFilter { agent, channel, account: None, peer: None, session, provider, model, cause };
    let group = match by {
        By::Agent => UsageGroup::Agent,
        By::Channel => UsageGroup::Channel,
        By::Peer => UsageGroup::Peer,
        By::Model => UsageGroup::Model,
        By::Session => UsageGroup::Session,
        By::Cause => UsageGroup::Cause,
        By::Day => {
            let first = match since {
                Some(since) => since,
                None => oldest(store).await?.unwrap_or(now),
            };
            let bounds = days(first, until.unwrap_or(Timestamp(now.0.saturating_add(1))), zone);
            UsageGroup::Days(bounds.map_err(|error| RpcError::invalid_params(error.to_string()))?)
        }
    };
    let all = UsageQuery { since, until, group: UsageGroup::Total, filter: filter.clone(), after: None, limit: 1 };
    let total = store.usage(all).await?.items.pop().map_or_else(UsageSums::default, |row| row.sums);
    let page = store.usage(UsageQuery { since, until, group, filter, after, limit: limit.get() }).await?;
    let sum = |row: UsageRow| {
        let key = match row.key {
            UsageKey::Total => String::new(),
            UsageKey::Agent(name) | UsageKey::Channel(name) => name,
            UsageKey::Peer(UsagePeer { channel, account, peer }) => format!("{channel}:{account}:{peer}"),
            UsageKey::Model { provider, model } => format!("{provider}/{model}"),
            UsageKey::Session(session) => session.to_string(),
            UsageKey::Cause(cause) => cause.to_string(),
            UsageKey::Day(start) => day(start, zone),
        };
        Sum::of(key, &row.sums)
    };
    // A key is made of texts and numbers, which always have a JSON form.
    let next = page.next.and_then(|key| serde_json::to_string(&key).ok());
    let rows = page.items.into_iter().map(sum).collect();
    let time_zone = dispatcher.meter().time_zone().iana_name().unwrap_or("UTC").to_owned();
    Ok(Answer::of(UsagePage { by, time_zone, rows, total: Sum::of(String::new(), &total), next }))
}

/// When the first call began that is on record.
async fn oldest(store: &DynStore) -> Result<Option<Timestamp>, RpcError> {
    let page = store.ledger(&LedgerFilter::default(), None, 1).await?;
    Ok(page.items.first().map(|record| record.call.at))
}

impl Sum {
    fn of(key: String, sums: &UsageSums) -> Self {
        let tokens = &sums.tokens;
        #[allow(
            clippy::cast_precision_loss,
            reason = "below nine million dollars, it is the nearest to the nano-dollar"
        )]
        let cache_saving_usd = sums.cache_saving as f64 / 1e9;
        let known = sums.unpriced == 0 || sums.cost.as_nanos() > 0;
        Self {
            key,
            calls: sums.calls,
            estimated: sums.estimated,
            cut: sums.cut,
            failed: sums.failed,
            lost: sums.lost,
            input_tokens: tokens.input_tokens,
            output_tokens: tokens.output_tokens,
            cache_read_tokens: tokens.cache_read_tokens,
            cache_write_tokens: tokens.cache_write_tokens,
            cache_write_1h_tokens: tokens.cache_write_1h_tokens,
            reasoning_tokens: tokens.reasoning_tokens,
            cost_usd: known.then(|| sums.cost.to_f64()),
            unpriced: sums.unpriced,
            cache_saving_usd,
            duration_ms: sums.duration_ms,
        }
    }
}

/// A budget.
#[derive(Debug, Serialize, JsonSchema)]
struct Budget {
    /// As it stands.
    #[serde(flatten)]
    state: BudgetState,
    /// The hundredths of the limit at which its owner was last told.
    warned: Option<u8>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct BudgetStatus {
    /// In which days and months begin.
    time_zone: String,
    /// The budgets: those that the config names, and those of sessions and peers that are at work.
    budgets: Vec<Budget>,
}

async fn status(shared: Arc<Shared>, _: NoParams) -> Result<Answer<BudgetStatus>, RpcError> {
    let meter = shared.state.dispatcher.meter();
    let budgets = meter.budgets(Timestamp::now()).await?.into_iter().map(Budget::from).collect();
    let time_zone = meter.time_zone().iana_name().unwrap_or("UTC").to_owned();
    Ok(Answer::of(BudgetStatus { time_zone, budgets }))
}

impl From<BudgetRow> for Budget {
    fn from(row: BudgetRow) -> Self {
        Self { warned: row.warned.map(crate::config::Percent::get), state: row.into() }
    }
}
