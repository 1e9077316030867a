//! Budgets over a ledger that the tests keep.

mod life;
mod property;
mod refusals;
mod store;
mod threads;

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::config::{Config, Rates};
use crate::store::{CallCause, SessionKey, TurnId};

/// The ledger.
#[derive(Debug, Default)]
struct Books(BTreeMap<ModelCallId, Row>);

/// A call, and what it consumed once that is known.
#[derive(Debug)]
struct Row {
    call: ModelCall,
    scopes: CallScopes,
    spent: Option<Amount>,
}

impl Books {
    fn begin(&mut self, call: ModelCall) {
        let scopes = CallScopes::new(&call.session, &call.cause);
        self.0.entry(call.id).or_insert(Row { call, scopes, spent: None });
    }

    fn settle(&mut self, id: ModelCallId, usage: TokenUsage, cost: Option<NanoDollars>) {
        if let Some(row) = self.0.get_mut(&id) {
            row.spent.get_or_insert(Amount::of(&usage, cost));
        }
    }

    fn spent(&self, scope: &Scope, span: Span) -> Amount {
        let counts = |row: &&Row| span.contains(row.call.at) && row.scopes.iter().any(|counted| counted == scope);
        self.0.values().filter(counts).filter_map(|row| row.spent).fold(Amount::default(), Amount::plus)
    }

    /// As the store tells it.
    fn sum(&self, scope: &Scope, span: Span) -> Spent {
        let Amount { tokens, cost } = self.spent(scope, span);
        Spent { tokens, cost, unpriced: 0 }
    }

    fn unsettled(&self) -> Vec<ModelCall> {
        self.0.values().filter(|row| row.spent.is_none()).map(|row| row.call.clone()).collect()
    }
}

/// A process, its clock, and the ledger that outlives it.
struct Desk {
    config: BudgetsConfig,
    budgets: Budgets,
    books: Books,
    now: Timestamp,
    calls: u64,
}

/// What a test asks for.
#[derive(Debug, Clone, Copy)]
struct Want {
    session: &'static str,
    plugin: Option<&'static str>,
    input: u64,
    max: u32,
    least: u32,
    priced: bool,
}

/// A call for a thousand tokens in and as many out.
const CALL: Want =
    Want { session: "default:websocket:local:main", plugin: None, input: 1_000, max: 1_000, least: 256, priced: true };

fn config(text: &str) -> BudgetsConfig {
    let text = format!("[agents.coder]\n[budgets]\n{text}");
    let config = Config::parse(&text, Path::new("/etc/exoclaw/config.toml"));
    config.unwrap_or_else(|errors| panic!("{errors}")).budgets
}

fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect("a moment");
    Timestamp(u64::try_from(moment.as_millisecond()).expect("after 1970"))
}

/// Three dollars in, fifteen out, and a cache.
fn price() -> Price {
    let dollars = |text: &str| text.parse().expect("dollars");
    let rates = Rates {
        input: dollars("3"),
        output: dollars("15"),
        cache_read: dollars("0.3"),
        cache_write: dollars("3.75"),
        cache_write_1h: dollars("6"),
    };
    Price::new(rates, Vec::new(), "test".into())
}

fn cause(plugin: Option<&str>) -> CallCause {
    plugin.map_or(CallCause::Message, |name| CallCause::Plugin(name.parse().expect("a name")))
}

fn used(input: u64, output: u64) -> TokenUsage {
    TokenUsage { input_tokens: input, output_tokens: output, ..TokenUsage::default() }
}

impl Desk {
    fn new(text: &str) -> Self {
        let config = config(text);
        let budgets = Budgets::new(config.clone());
        Self { config, budgets, books: Books::default(), now: at("2026-11-22T12:00:00Z"), calls: 0 }
    }

    /// Asks, after loading what has to be loaded, without making the call.
    fn ask(&mut self, want: Want) -> (ModelCallId, Result<Granted, BudgetError>) {
        let session: SessionKey = want.session.parse().expect("a session");
        let scopes = CallScopes::new(&session, &cause(want.plugin));
        self.calls += 1;
        let id = ModelCallId { turn: TurnId::new(Timestamp(1), self.calls), index: 0 };
        let price = want.priced.then(price);
        let ask = Ask {
            id,
            scopes: &scopes,
            provider: "anthropic",
            model: "claude",
            estimated_input: want.input,
            max_tokens: want.max,
            least_output: want.least,
            price: price.as_ref(),
            caching: Caching::Off,
        };
        for query in self.budgets.windows_to_load(&scopes, self.now) {
            self.budgets.load(&query, self.books.sum(&query.scope, query.span), self.now);
        }
        (id, self.budgets.reserve(&ask, self.now))
    }

    /// Asks for a call and makes it, so that its record is in the ledger.
    fn begin(&mut self, want: Want) -> Result<(ModelCallId, Granted), BudgetError> {
        let (id, granted) = self.ask(want);
        let granted = granted?;
        self.record(id, want, granted);
        Ok((id, granted))
    }

    fn record(&mut self, id: ModelCallId, want: Want, granted: Granted) {
        self.books.begin(ModelCall {
            id,
            session: want.session.parse().expect("a session"),
            provider: "anthropic".into(),
            model: "claude".into(),
            cause: cause(want.plugin),
            estimate: used(want.input, granted.max_tokens.into()),
            reserved_cost: granted.reserved_cost,
            at: self.now,
        });
    }

    fn settle(&mut self, id: ModelCallId, usage: TokenUsage) -> Vec<Warning> {
        let cost = Some(price().cost(&usage).cost);
        self.books.settle(id, usage, cost);
        self.budgets.settle(id, &usage, cost)
    }

    /// A call from its beginning to its end.
    fn spend(&mut self, want: Want, input: u64, output: u64) -> Vec<Warning> {
        let (id, _) = self.begin(want).expect("a grant");
        self.settle(id, used(input, output))
    }

    fn refused(&mut self, want: Want) -> Shortage {
        match self.ask(want).1 {
            Err(BudgetError::Exhausted(shortage)) => *shortage,
            other => panic!("{other:?}"),
        }
    }

    /// The process dies, and another begins with what the ledger has.
    fn crash(&mut self) {
        self.budgets = Budgets::new(self.config.clone());
        self.budgets.restore(&self.books.unsettled());
        for query in self.budgets.restored_windows(self.now) {
            self.budgets.load(&query, self.books.sum(&query.scope, query.span), self.now);
        }
        assert_eq!(self.budgets.restored_windows(self.now), []);
    }

    /// The rows of the status, with all that the config names.
    fn status(&self) -> Vec<BudgetRow> {
        for query in self.budgets.windows_of_status(self.now) {
            self.budgets.load(&query, self.books.sum(&query.scope, query.span), self.now);
        }
        self.budgets.status(self.now)
    }

    /// `used + reserved of limit` of each row.
    fn shown(&self) -> Vec<String> {
        let show =
            |row: BudgetRow| format!("{} {}: {} + {} of {}", row.period, row.scope, row.used, row.reserved, row.limit);
        self.status().into_iter().map(show).collect()
    }
}
