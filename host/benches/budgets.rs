//! Reserving and settling a call in every scope it counts in: alone, and from 64 tasks at once.
#![allow(missing_docs, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use exoclaw::config::{Config, ProviderKind};
use exoclaw::metering::{Ask, Budgets, Caching, CallScopes, Price, PriceTable};
use exoclaw::store::{CallCause, ModelCallId, SessionKey, Spent, Timestamp, TokenUsage, TurnId};

/// Limits of every kind, none of them near.
const CONFIG: &str = "[budgets]\nsession = 1_000_000_000_000\ndaily = 1_000_000_000_000\nmonthly_usd = 1_000_000_000\n\
    total_usd = 1_000_000_000\n[budgets.agents.default]\ndaily_usd = 1_000_000_000\n[budgets.channels.websocket]\n\
    daily = 1_000_000_000_000\n[budgets.peers]\ndaily_usd = 1_000_000_000\nmonthly = 1_000_000_000_000";

struct Bench {
    budgets: Budgets,
    price: Price,
    now: Timestamp,
}

impl Bench {
    fn new() -> Arc<Self> {
        let config = Config::parse(CONFIG, Path::new("config.toml")).expect("a config");
        let now = Timestamp::now();
        let table = PriceTable::new(&[]).expect("the table");
        let price = table.find(ProviderKind::Anthropic, "anthropic", "claude-sonnet-5", now).expect("a price").clone();
        Arc::new(Self { budgets: Budgets::new(config.budgets), price, now })
    }

    /// The scopes of a session, with nothing spent.
    fn open(&self, session: usize) -> CallScopes {
        let session = SessionKey::new("default", "websocket", "local", &format!("peer-{session}")).expect("a key");
        let scopes = CallScopes::new(&session, &CallCause::Message);
        for query in self.budgets.windows_to_load(&scopes, self.now) {
            self.budgets.load(&query, Spent::default(), self.now);
        }
        scopes
    }

    fn call(&self, scopes: &CallScopes, id: ModelCallId) {
        let ask = Ask {
            id,
            scopes,
            provider: "anthropic",
            model: "claude-sonnet-5",
            estimated_input: 4_000,
            max_tokens: 4_096,
            least_output: 256,
            price: Some(&self.price),
            caching: Caching::Short,
        };
        self.budgets.reserve(&ask, self.now).expect("a grant");
        let usage = TokenUsage { input_tokens: 3_900, output_tokens: 120, ..TokenUsage::default() };
        let cost = self.price.cost(&usage).cost;
        let _ = self.budgets.settle(id, &usage, Some(cost));
    }
}

fn reserve_and_settle(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    let mut group = criterion.benchmark_group("budgets");
    for tasks in [1_usize, 64] {
        let bench = Bench::new();
        group.bench_function(BenchmarkId::new("reserve_and_settle", tasks), |bencher| {
            bencher.iter_custom(|iterations| {
                let each = iterations.div_ceil(tasks as u64);
                runtime.block_on(async {
                    let start = Instant::now();
                    let work = (0..tasks).map(|task| {
                        let bench = Arc::clone(&bench);
                        tokio::spawn(async move {
                            let scopes = bench.open(task);
                            let turn = TurnId::new(bench.now, task as u64);
                            for index in 0..each {
                                let index = u32::try_from(index).unwrap_or(u32::MAX);
                                bench.call(&scopes, ModelCallId { turn, index });
                                // As a call waits for its provider.
                                tokio::task::yield_now().await;
                            }
                        })
                    });
                    for task in work.collect::<Vec<_>>() {
                        task.await.expect("a task");
                    }
                    start.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reserve_and_settle);
criterion_main!(benches);
