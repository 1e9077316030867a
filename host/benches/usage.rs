//! What it costs to add up what was spent: questions over a million calls, by everything that they can be asked
//! by; what budgets read when they are first asked; and what keeping the sums adds to a commit. Figures
//! are to be read beside one another, within one run.
#![allow(missing_docs, clippy::expect_used)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use exoclaw::store::sqlite::Durability;
use exoclaw::store::{
    CallCause, CallOutcome, DynStore, LedgerRecord, ModelCall, ModelCallEnd, ModelCallId, NanoDollars, Record,
    SessionKey, Timestamp, TokenUsage, TurnId, UsageFilter, UsageGroup, UsageQuery,
};

/// Calls in the ledger.
const CALLS: usize = 1_000_000;

/// Who has conversations: few have most.
const PEOPLE: u64 = 5_000;

/// Records of one transaction of an import.
const BATCH: usize = 2_000;

/// Times that a question is asked.
const ASKED: usize = 11;

/// Commits that are timed.
const COMMITS: usize = 2_000;

const MINUTE: u64 = 60 * 1000;
const DAY: u64 = 24 * 60 * MINUTE;

/// When the year of the calls begins; the beginning of a day.
const START: u64 = 20_000 * DAY;
const END: u64 = START + 365 * DAY;

/// `SplitMix64`: the same calls in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.next() as usize % of.len()]
    }
}

/// Someone's conversation with an agent.
fn session(person: u64) -> SessionKey {
    let agent = ["default", "family", "work"][(person % 3) as usize];
    let channel = ["telegram", "discord", "websocket", "whatsapp"][(person % 4) as usize];
    SessionKey::new(agent, channel, "1", &format!("person-{person}")).expect("a key")
}

fn record(chance: &mut Chance, session: &SessionKey, causes: &[CallCause], at: u64) -> LedgerRecord {
    // Each agent asks one, and seldom another.
    let (provider, model) = match (session.agent().as_str(), chance.below(50)) {
        (_, 0) => ("local", "a-free-model"),
        ("default", _) => ("anthropic", "a-large-model"),
        ("family", _) => ("anthropic", "a-small-model"),
        _ => ("openai", "another-model"),
    };
    let id = ModelCallId { turn: TurnId::new(Timestamp(at), chance.next()), index: 0 };
    let tokens = TokenUsage {
        input_tokens: chance.below(4_000),
        output_tokens: chance.below(1_000),
        cache_read_tokens: chance.below(20_000),
        cache_write_tokens: chance.below(500),
        ..TokenUsage::default()
    };
    let call = ModelCall {
        id,
        session: session.clone(),
        provider: provider.to_owned(),
        model: model.to_owned(),
        cause: chance.one(causes).clone(),
        estimate: TokenUsage { input_tokens: 20_000, output_tokens: 4_096, ..TokenUsage::default() },
        reserved_cost: Some(NanoDollars::from_nanos(100_000_000)),
        at: Timestamp(at),
    };
    let end = ModelCallEnd {
        id,
        tokens,
        estimated: chance.below(50) == 0,
        cost: Some(NanoDollars::from_nanos(chance.below(20_000_000))),
        price: Some("2026-11".to_owned()),
        cache_saving: Some(3_000_000),
        outcome: CallOutcome::Finished,
        at: Timestamp(at + chance.below(20_000)),
    };
    LedgerRecord { call, end: Some(end) }
}

/// Calls as people make them: some in a row, and then none for long. About in the order of time.
fn records() -> impl Iterator<Item = LedgerRecord> {
    let mut chance = Chance(7);
    let causes = ["message", "message", "message", "plugin:files", "plugin:web", "plugin:calendar"];
    let causes = causes.map(|cause| cause.parse::<CallCause>().expect("a cause"));
    let mut at = START;
    let visits = std::iter::from_fn(move || {
        // Ten calls a visit: so many visits take a year.
        at += chance.below(2 * 365 * DAY * 10 / CALLS as u64);
        let person = chance.below(PEOPLE) * chance.below(PEOPLE) / PEOPLE;
        let session = session(person);
        let mut then = at;
        let calls: Vec<_> = (0..1 + chance.below(19))
            .map(|_| {
                then += chance.below(MINUTE);
                record(&mut chance, &session, &causes, then.min(END - 1))
            })
            .collect();
        Some(calls)
    });
    visits.flatten().take(CALLS)
}

/// Has the sums left out from now on.
const NO_SUMS: &str = "
    CREATE TRIGGER no_quarters BEFORE INSERT ON usage_quarters BEGIN SELECT RAISE(IGNORE); END;
    CREATE TRIGGER no_days BEFORE INSERT ON usage_days BEGIN SELECT RAISE(IGNORE); END;
    CREATE TRIGGER no_hours BEFORE INSERT ON usage_hours BEGIN SELECT RAISE(IGNORE); END;";

fn with_sums(folder: &Path, sums: bool) -> DynStore {
    let store = support::in_file(folder, Durability::Process);
    if sums {
        return store;
    }
    drop(store);
    let connection = rusqlite::Connection::open(folder.join("exoclaw.db")).expect("a store");
    connection.execute_batch(NO_SUMS).expect("triggers");
    drop(connection);
    support::in_file(folder, Durability::Process)
}

async fn import(store: &DynStore, records: impl Iterator<Item = LedgerRecord>) -> Duration {
    let (mut records, mut took) = (records.peekable(), Duration::ZERO);
    while records.peek().is_some() {
        let batch = records.by_ref().take(BATCH).map(|entry| Record::Ledger { entry }).collect();
        let start = Instant::now();
        store.import(batch).await.expect("imported");
        took += start.elapsed();
    }
    took
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

async fn ask(store: &DynStore, query: &UsageQuery) -> (Duration, usize) {
    let (mut took, mut rows) = (Vec::new(), 0);
    for _ in 0..ASKED {
        let start = Instant::now();
        rows = store.usage(query.clone()).await.expect("an answer").items.len();
        took.push(start.elapsed());
    }
    (median(took), rows)
}

async fn questions(store: &DynStore) {
    let days: Vec<_> = (0..=365).map(|day| Timestamp(START + day * DAY)).collect();
    let groups = [
        ("total", UsageGroup::Total),
        ("agent", UsageGroup::Agent),
        ("channel", UsageGroup::Channel),
        ("model", UsageGroup::Model),
        ("cause", UsageGroup::Cause),
        ("day", UsageGroup::Days(days)),
        ("session", UsageGroup::Session),
        ("peer", UsageGroup::Peer),
    ];
    // In the middle of an hour: its ends are read from the ledger.
    let (since, until) = (END - 3 * DAY + 7 * MINUTE, END - 2 * DAY + 7 * MINUTE);
    println!("{:<10} {:>22} {:>22} {:>22}", "by", "a year", "a day", "a day, minutes off");
    for (name, group) in groups {
        print!("{name:<10}");
        for (since, until) in [(None, None), (Some(END - 3 * DAY), Some(END - 2 * DAY)), (Some(since), Some(until))] {
            let query = UsageQuery {
                since: since.map(Timestamp),
                until: until.map(Timestamp),
                group: group.clone(),
                filter: UsageFilter::default(),
                after: None,
                limit: 500,
            };
            let (took, rows) = ask(store, &query).await;
            print!(" {:>10.2} ms {rows:>4} rows", took.as_secs_f64() * 1e3);
        }
        println!();
    }

    let of = |session: Option<SessionKey>, agent: Option<&str>, cause: Option<&str>| UsageFilter {
        session,
        agent: agent.map(str::to_owned),
        cause: cause.map(|cause| cause.parse().expect("a cause")),
        ..UsageFilter::default()
    };
    println!("\n{:<28} {:>14} {:>14}", "what a budget reads", "a year", "a day");
    for (name, filter) in [
        ("all", of(None, None, None)),
        ("an agent", of(None, Some("work"), None)),
        ("a plugin", of(None, None, Some("plugin:web"))),
        ("a session that has much", of(Some(session(0)), None, None)),
        ("a session that has little", of(Some(session(PEOPLE / 2)), None, None)),
    ] {
        print!("{name:<28}");
        for since in [None, Some(Timestamp(END - DAY))] {
            let mut took = Vec::new();
            for _ in 0..ASKED {
                let start = Instant::now();
                store.spent(filter.clone(), since, None).await.expect("an answer");
                took.push(start.elapsed());
            }
            print!(" {:>11.3} ms", median(took).as_secs_f64() * 1e3);
        }
        println!();
    }
}

/// How many rows there are, and how many there would be of other widths.
fn rows(folder: &Path) {
    let connection = rusqlite::Connection::open(folder.join("exoclaw.db")).expect("a store");
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    println!("\n{:<44} {:>10}", "rows", "");
    for (name, sql) in [
        ("calls", "SELECT count(*) FROM ledger"),
        ("sums by quarter of an hour", "SELECT count(*) FROM usage_quarters"),
        ("sums by day", "SELECT count(*) FROM usage_days"),
        ("sums by session and hour", "SELECT count(*) FROM usage_hours"),
        (
            "by session and quarter it would be",
            "SELECT count(*) FROM (SELECT DISTINCT session, at / 900000, provider, model, cause FROM ledger)",
        ),
        (
            "by session and day it would be",
            "SELECT count(*) FROM (SELECT DISTINCT session, at / 86400000, provider, model, cause FROM ledger)",
        ),
    ] {
        println!("{name:<44} {:>10}", count(sql));
    }
}

/// Settles calls, one in each commit, and many in each.
async fn commits(store: &DynStore, sums: bool) {
    let records: Vec<_> = records().take(3 * COMMITS).collect();
    let begun = records.iter().map(|record| LedgerRecord { end: None, ..record.clone() });
    import(store, begun.map(later)).await;
    let mut ends = records.into_iter().map(later).filter_map(|record| record.end);
    let mut took = Vec::new();
    for end in ends.by_ref().take(COMMITS) {
        let start = Instant::now();
        store.settle(vec![end]).await.expect("settled");
        took.push(start.elapsed());
    }
    let start = Instant::now();
    let mut many = 0;
    loop {
        let batch: Vec<_> = ends.by_ref().take(256).collect();
        if batch.is_empty() {
            break;
        }
        many += batch.len();
        store.settle(batch).await.expect("settled");
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / many as f64;
    let name = if sums { "with sums" } else { "without" };
    println!("{name:<20} {:>12.1} µs {each:>16.1} µs", median(took).as_secs_f64() * 1e6);
}

/// The same call, a year on.
fn later(record: LedgerRecord) -> LedgerRecord {
    let later = |at: Timestamp| at.plus(Duration::from_millis(365 * DAY));
    let LedgerRecord { mut call, mut end } = record;
    call.at = later(call.at);
    if let Some(end) = &mut end {
        end.at = later(end.at);
        end.id.index += 1;
    }
    call.id.index += 1;
    LedgerRecord { call, end }
}

fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    tokio.block_on(async {
        let folder = support::folder();
        let store = with_sums(folder.path(), true);
        let took = import(&store, records()).await;
        println!("{CALLS} calls imported, {:.1} µs each\n", took.as_secs_f64() * 1e6 / CALLS as f64);
        questions(&store).await;
        drop(store);
        rows(folder.path());

        println!("\n{:<20} {:>15} {:>19}", "settling a call", "a commit of one", "in one of 256, each");
        for sums in [true, false, true, false] {
            let folder = support::folder();
            commits(&with_sums(folder.path(), sums), sums).await;
        }
    });
}
