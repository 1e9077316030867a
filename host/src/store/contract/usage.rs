//! What calls consumed, added up: what every engine is held to. The sums that it must give are made here, of the
//! calls one by one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::{Outcome, Tested, open, session};
use crate::store::*;

/// A call, and what became of it.
#[derive(Debug, Clone)]
pub(in crate::store) struct Made {
    session: usize,
    cause: usize,
    model: usize,
    at: u64,
    end: Option<End>,
    way: Way,
}

/// How a call ended.
#[derive(Debug, Clone)]
struct End {
    tokens: TokenUsage,
    estimated: bool,
    cost: Option<u64>,
    saving: Option<i64>,
    outcome: CallOutcome,
    later: u64,
}

/// How it came into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In a turn's transaction, with its end.
    Together,
    /// Its end by itself.
    Apart,
    /// As a record of another store.
    Imported,
}

/// A question, and the size of its pages.
#[derive(Debug, Clone)]
pub(in crate::store) struct Asked {
    since: Option<u64>,
    until: Option<u64>,
    group: UsageGroup,
    filter: UsageFilter,
    limit: usize,
}

/// A quarter of an hour, in milliseconds.
const QUARTER: u64 = 900_000;

/// When calls begin: some hours of a day, and some in the days behind it; many at an end of a quarter.
fn instant() -> impl Strategy<Value = u64> {
    let within = prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(QUARTER - 1), 2 => 0..QUARTER];
    let quarter = prop_oneof![3 => 0..20_u64, 1 => 0..4 * 96_u64];
    (quarter, within).prop_map(|(quarter, within)| 19_676 * 96 * QUARTER + quarter * QUARTER + within)
}

/// Sessions of two agents, on two channels, with two people whose names must be encoded.
fn sessions() -> Vec<SessionKey> {
    let mut keys = Vec::new();
    for agent in ["a:b", "c"] {
        for (channel, account) in [("left", "1"), ("right", "1"), ("right", "%")] {
            keys.extend(["p:q", "r"].map(|peer| SessionKey::new(agent, channel, account, peer).expect("a key")));
        }
    }
    keys
}

fn causes() -> Vec<CallCause> {
    ["message", "plugin:files", "plugin:web"].map(|cause| cause.parse().expect("a cause")).to_vec()
}

/// Two providers have a model of the same name.
const MODELS: [(&str, &str); 3] = [("here", "m"), ("there", "m"), ("there", "n")];

/// A count, seldom one that no call can have.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 12 => 0..5_000_u64, 1 => Just(u64::MAX)]
}

fn tokens() -> impl Strategy<Value = TokenUsage> {
    prop::array::uniform6(count()).prop_map(|[input, output, read, write, write_1h, reasoning]| TokenUsage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: read,
        cache_write_tokens: write,
        cache_write_1h_tokens: write_1h,
        reasoning_tokens: reasoning,
    })
}

fn end() -> impl Strategy<Value = End> {
    let outcome = select(vec![CallOutcome::Finished, CallOutcome::Cut, CallOutcome::Failed, CallOutcome::Lost]);
    let saving = prop::option::of(prop_oneof![9 => -5_000..5_000_i64, 1 => Just(i64::MIN)]);
    // A clock may be set back.
    let later = prop_oneof![9 => 0..QUARTER, 1 => Just(u64::MAX)];
    (tokens(), any::<bool>(), prop::option::of(count()), saving, outcome, later).prop_map(
        |(tokens, estimated, cost, saving, outcome, later)| End { tokens, estimated, cost, saving, outcome, later },
    )
}

/// Calls, in no order.
pub(in crate::store) fn calls() -> impl Strategy<Value = Vec<Made>> {
    let way = select(vec![Way::Together, Way::Apart, Way::Imported]);
    let one = (0..12_usize, 0..3_usize, 0..3_usize, instant(), prop::option::weighted(0.9, end()), way);
    let made = one.prop_map(|(session, cause, model, at, end, way)| Made { session, cause, model, at, end, way });
    prop::collection::vec(made, 0..60)
}

/// Questions.
pub(in crate::store) fn questions() -> impl Strategy<Value = Vec<Asked>> {
    let days = prop::collection::vec(instant(), 0..6).prop_map(|mut days| {
        days.sort_unstable();
        UsageGroup::Days(days.into_iter().map(Timestamp).collect())
    });
    let group = prop_oneof![
        2 => days,
        7 => select(vec![
            UsageGroup::Total,
            UsageGroup::Agent,
            UsageGroup::Channel,
            UsageGroup::Peer,
            UsageGroup::Model,
            UsageGroup::Session,
            UsageGroup::Cause,
        ]),
    ];
    let seldom = || prop::option::weighted(0.2, any::<prop::sample::Index>());
    let filter = prop::array::uniform8(seldom()).prop_map(|chosen| {
        let [agent, channel, account, peer, in_session, provider, model, cause] = chosen;
        let (sessions, causes) = (sessions(), causes());
        UsageFilter {
            agent: agent.map(|one| one.get(&sessions).agent()),
            channel: channel.map(|one| one.get(&sessions).channel()),
            account: account.map(|one| one.get(&sessions).account()),
            peer: peer.map(|one| one.get(&sessions).peer()),
            session: in_session.map(|one| one.get(&sessions).clone()),
            provider: provider.map(|one| one.get(&MODELS).0.to_owned()),
            model: model.map(|one| one.get(&MODELS).1.to_owned()),
            cause: cause.map(|one| one.get(&causes).clone()),
        }
    });
    let maybe = || prop::option::of(instant());
    let asked = (maybe(), maybe(), group, filter, 1..5_usize).prop_map(|(since, until, group, filter, limit)| Asked {
        since,
        until,
        group,
        filter,
        limit,
    });
    prop::collection::vec(asked, 1..20)
}

/// A call of the ledger, as it must be kept.
struct Kept {
    call: ModelCall,
    end: Option<ModelCallEnd>,
}

impl Kept {
    fn of(made: &Made, number: u64) -> Self {
        let (provider, model) = MODELS[made.model];
        let id = ModelCallId { turn: TurnId::new(Timestamp(100 + number / 2), 1), index: (number % 2) as u32 };
        let call = ModelCall {
            id,
            session: sessions()[made.session].clone(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            cause: causes()[made.cause].clone(),
            estimate: TokenUsage { input_tokens: number, output_tokens: 9, ..TokenUsage::default() },
            reserved_cost: number.is_multiple_of(3).then_some(NanoDollars::from_nanos(number)),
            at: Timestamp(made.at),
        };
        let end = made.end.as_ref().map(|end| ModelCallEnd {
            id,
            tokens: end.tokens,
            estimated: end.estimated,
            cost: end.cost.map(NanoDollars::from_nanos),
            price: end.cost.map(|_| "v1".to_owned()),
            cache_saving: end.saving,
            outcome: end.outcome,
            // Wraps to the millisecond before it began.
            at: Timestamp(made.at.wrapping_add(end.later)),
        });
        Self { call, end }
    }

    /// What it adds to a sum.
    fn sums(&self) -> Option<UsageSums> {
        let end = self.end.as_ref()?;
        let is = |outcome| u64::from(end.outcome == outcome);
        let most = |count: u64| count.min(1 << 40);
        let tokens = TokenUsage {
            input_tokens: most(end.tokens.input_tokens),
            output_tokens: most(end.tokens.output_tokens),
            cache_read_tokens: most(end.tokens.cache_read_tokens),
            cache_write_tokens: most(end.tokens.cache_write_tokens),
            cache_write_1h_tokens: most(end.tokens.cache_write_1h_tokens),
            reasoning_tokens: most(end.tokens.reasoning_tokens),
        };
        let cost = end.cost.map(|cost| cost.as_nanos().min(1 << 50));
        Some(UsageSums {
            calls: 1,
            estimated: u64::from(end.estimated),
            cut: is(CallOutcome::Cut),
            failed: is(CallOutcome::Failed),
            lost: is(CallOutcome::Lost),
            tokens,
            cost: NanoDollars::from_nanos(cost.unwrap_or(0)),
            unpriced: u64::from(cost.is_none() && total(&tokens) > 0),
            cache_saving: end.cache_saving.unwrap_or(0).clamp(-(1 << 50), 1 << 50),
            duration_ms: end.at.0.saturating_sub(self.call.at.0),
        })
    }

    fn is_asked_for(&self, asked: &Asked) -> bool {
        fn holds<T: PartialEq>(wanted: Option<&T>, is: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        let (call, filter) = (&self.call, &asked.filter);
        asked.since.is_none_or(|since| call.at.0 >= since)
            && asked.until.is_none_or(|until| call.at.0 < until)
            && holds(filter.agent.as_ref(), &call.session.agent())
            && holds(filter.channel.as_ref(), &call.session.channel())
            && holds(filter.account.as_ref(), &call.session.account())
            && holds(filter.peer.as_ref(), &call.session.peer())
            && holds(filter.session.as_ref(), &call.session)
            && holds(filter.provider.as_ref(), &call.provider)
            && holds(filter.model.as_ref(), &call.model)
            && holds(filter.cause.as_ref(), &call.cause)
    }

    fn key(&self, group: &UsageGroup) -> Option<UsageKey> {
        let call = &self.call;
        Some(match group {
            UsageGroup::Total => UsageKey::Total,
            UsageGroup::Agent => UsageKey::Agent(call.session.agent()),
            UsageGroup::Channel => UsageKey::Channel(call.session.channel()),
            UsageGroup::Peer => UsageKey::Peer(UsagePeer::of(&call.session)),
            UsageGroup::Model => UsageKey::Model { provider: call.provider.clone(), model: call.model.clone() },
            UsageGroup::Session => UsageKey::Session(call.session.clone()),
            UsageGroup::Cause => UsageKey::Cause(call.cause.clone()),
            UsageGroup::Days(days) => {
                // The last that began, unless nothing ends it.
                let begun = days.iter().rposition(|day| *day <= call.at)?;
                days.get(begun + 1)?;
                UsageKey::Day(days[begun])
            }
        })
    }
}

fn total(tokens: &TokenUsage) -> u64 {
    tokens.input_tokens + tokens.output_tokens + tokens.cache_read_tokens + tokens.cache_write_tokens
}

fn failed(error: StoreError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

/// All pages of an answer.
async fn answer(store: &dyn Store, asked: &Asked) -> Result<Vec<UsageRow>, TestCaseError> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let query = UsageQuery {
            since: asked.since.map(Timestamp),
            until: asked.until.map(Timestamp),
            group: asked.group.clone(),
            filter: asked.filter.clone(),
            after,
            limit: asked.limit,
        };
        let page = store.usage(query).await.map_err(failed)?;
        prop_assert!(page.items.len() <= asked.limit && rows.len() < 1_000, "{:?}", page);
        rows.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(rows);
        }
    }
}

/// Puts calls into a store, each more than once.
async fn put(store: &dyn Store, kept: &[(Kept, Way)]) -> Outcome {
    let key = session("one");
    let turn = open(store, &key, 1).await.map_err(failed)?;
    let step = |ledger| Step { ledger, ..Step::of(key.clone(), turn, Epoch(0), Timestamp(2)) };
    for (Kept { call, end }, way) in kept {
        let begin = LedgerEntry::Begin(call.clone());
        let settle = |end: &ModelCallEnd| LedgerEntry::Settle(end.clone());
        // Of a call that was not begun, no end is kept.
        store.append(step(end.iter().map(settle).collect())).await.map_err(failed)?;
        match (way, end) {
            (Way::Imported, end) => {
                let entry = LedgerRecord { call: call.clone(), end: end.clone() };
                store.import(vec![Record::Ledger { entry: entry.clone() }]).await.map_err(failed)?;
                store.import(vec![Record::Ledger { entry }]).await.map_err(failed)?;
            }
            (_, None) => store.append(step(vec![begin.clone()])).await.map_err(failed)?,
            (Way::Together, Some(end)) => {
                store.append(step(vec![begin.clone(), settle(end)])).await.map_err(failed)?;
            }
            (Way::Apart, Some(end)) => {
                store.append(step(vec![begin.clone()])).await.map_err(failed)?;
                store.settle(vec![end.clone()]).await.map_err(failed)?;
            }
        }
        // What ended has ended, and what began has begun.
        store.append(step(vec![begin])).await.map_err(failed)?;
        if let Some(end) = end {
            let again = ModelCallEnd { tokens: TokenUsage { input_tokens: 1, ..end.tokens }, ..end.clone() };
            store.append(step(vec![settle(&again)])).await.map_err(failed)?;
            store.settle(vec![again]).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Sums are those of the calls that ended, whatever is asked for and in whichever pages; what did not end is in
/// none of them, and is found. `between` is done to the store before it is asked.
pub(in crate::store) async fn sums_are_those_of_the_calls(
    store: DynStore,
    calls: Vec<Made>,
    questions: Vec<Asked>,
    between: impl AsyncFnOnce(DynStore) -> DynStore,
) -> Outcome {
    let kept: Vec<_> = (0..).zip(&calls).map(|(number, made)| (Kept::of(made, number), made.way)).collect();
    put(&*store, &kept).await?;
    let store = between(store).await;
    for asked in questions {
        let mut expected: BTreeMap<UsageKey, UsageSums> = BTreeMap::new();
        let mut all = UsageSums::default();
        for (kept, _) in kept.iter().filter(|(kept, _)| kept.is_asked_for(&asked)) {
            let Some(sums) = kept.sums() else { continue };
            all.add(&sums);
            if let Some(key) = kept.key(&asked.group) {
                expected.entry(key).or_default().add(&sums);
            }
        }
        let expected: Vec<_> = expected.into_iter().map(|(key, sums)| UsageRow { key, sums }).collect();
        prop_assert_eq!(answer(&*store, &asked).await?, expected, "{:?}", &asked);
        let (since, until) = (asked.since.map(Timestamp), asked.until.map(Timestamp));
        let spent = store.spent(asked.filter.clone(), since, until).await.map_err(failed)?;
        let expected = Spent { tokens: total(&all.tokens), cost: all.cost, unpriced: all.unpriced };
        prop_assert_eq!(spent, expected, "{:?}", &asked);
    }
    let mut expected: Vec<_> =
        kept.iter().filter(|(kept, _)| kept.end.is_none()).map(|(kept, _)| kept.call.clone()).collect();
    expected.sort_by_key(|call| call.id);
    let (mut unsettled, mut after) = (Vec::new(), None);
    loop {
        let page = store.unsettled(after, 2).await.map_err(failed)?;
        unsettled.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    prop_assert_eq!(unsettled, expected);
    Ok(())
}

/// What was learnt of a model replaces what was known of it, and of no other.
pub(in crate::store) async fn the_last_that_was_learnt_of_a_model_is_kept(store: &dyn Store) -> Tested {
    let factor = |provider: &str, model: &str, calls| TokenFactor {
        provider: provider.to_owned(),
        model: model.to_owned(),
        base: 1_000 * calls,
        counted: 1_130 * calls,
        calls,
    };
    assert_eq!(store.token_factors().await?, []);
    for (provider, model, calls) in [("there", "m", 1), ("here", "m", 1), ("here", "a", 3), ("here", "m", 2)] {
        store.save_token_factor(factor(provider, model, calls)).await?;
    }
    let expected = [factor("here", "a", 3), factor("here", "m", 2), factor("there", "m", 1)];
    assert_eq!(store.token_factors().await?, expected);
    Ok(())
}
