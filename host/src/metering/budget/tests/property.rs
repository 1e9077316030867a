//! Whatever happens in whatever order, no limit is passed by more than estimates were wrong.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SESSIONS: [&str; 4] =
    ["default:clock:x:ann", "default:clock:x:bob", "coder:clock:x:ann", "coder:websocket:local:main"];
const PLUGINS: [Option<&str>; 3] = [None, Some("echo"), Some("clock")];

#[derive(Debug, Clone)]
enum Op {
    /// A call, and what it will really send; it may die between being granted and being recorded.
    Begin {
        session: usize,
        plugin: usize,
        estimate: u64,
        real: u64,
        max: u32,
        least: u32,
        dies: bool,
    },
    /// It ends by itself, having said so much of what it may.
    Finish {
        which: usize,
        said: u32,
    },
    /// It never reached its provider.
    Fail {
        which: usize,
    },
    /// It ends in the ledger, and the process dies before anything else.
    FinishAndCrash {
        which: usize,
        said: u32,
    },
    /// The end of a call is told again.
    Repeat {
        which: usize,
    },
    Crash,
    Wait {
        minutes: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let begin = (0..SESSIONS.len(), 0..PLUGINS.len(), 0..400_u64, -100..200_i64, 0..300_u32, 0..120_u32, 0..20_u8)
        .prop_map(|(session, plugin, estimate, error, max, least, dies)| Op::Begin {
            session,
            plugin,
            estimate,
            // Half of the estimates are exact.
            real: if error < 50 { estimate } else { estimate.saturating_add_signed(error - 50) },
            max,
            least,
            dies: dies == 0,
        });
    prop_oneof![
        8 => begin,
        5 => (0..100_usize, 0..=100_u32).prop_map(|(which, said)| Op::Finish { which, said }),
        1 => (0..100_usize).prop_map(|which| Op::Fail { which }),
        1 => (0..100_usize, 0..=100_u32).prop_map(|(which, said)| Op::FinishAndCrash { which, said }),
        1 => (0..100_usize).prop_map(|which| Op::Repeat { which }),
        1 => Just(Op::Crash),
        2 => prop_oneof![0..5_u64, 0..2_000_u64].prop_map(|minutes| Op::Wait { minutes }),
    ]
}

fn budgets() -> impl Strategy<Value = String> {
    let limit = |most: u64| prop_oneof![2 => Just(None), 3 => (0..most).prop_map(Some)];
    let table = move || {
        let tokens = (limit(2_000), limit(6_000), limit(12_000));
        let money = (limit(8_000_000), limit(30_000_000), limit(60_000_000));
        (tokens, money).prop_map(|((daily, monthly, total), (daily_usd, monthly_usd, total_usd))| {
            let tokens = [("daily", daily), ("monthly", monthly), ("total", total)];
            let money = [("daily_usd", daily_usd), ("monthly_usd", monthly_usd), ("total_usd", total_usd)];
            let dollars = |nanos| NanoDollars::from_nanos(nanos).to_decimal();
            let tokens = tokens.into_iter().filter_map(|(key, limit)| Some(format!("{key} = {}\n", limit?)));
            let money = money.into_iter().filter_map(|(key, limit)| Some(format!("{key} = {}\n", dollars(limit?))));
            tokens.chain(money).collect::<String>()
        })
    };
    let session = (limit(4_000), limit(20_000_000)).prop_map(|(tokens, cost)| {
        let cost = cost.map(|nanos| NanoDollars::from_nanos(nanos).to_decimal());
        let key =
            |key: &str, value: Option<String>| value.map_or_else(String::new, |value| format!("{key} = {value}\n"));
        key("session", tokens.map(|tokens| tokens.to_string())) + &key("session_usd", cost)
    });
    (session, table(), table(), table(), table(), table(), table()).prop_map(
        |(session, all, agent, channel, each, peer, plugin)| {
            format!(
                "time_zone = 'Europe/Berlin'\n{session}{all}[budgets.agents.coder]\n{agent}[budgets.channels.clock]\n\
                 {channel}[budgets.peers]\n{each}[budgets.peers.'clock:ann']\n{peer}[budgets.plugins.echo]\n{plugin}"
            )
        },
    )
}

/// A call under way.
#[derive(Debug, Clone)]
struct Flight {
    id: ModelCallId,
    scopes: CallScopes,
    want: Want,
    granted: Granted,
    at: Timestamp,
    real: u64,
}

impl Flight {
    fn reserved(&self) -> Amount {
        let tokens = self.want.input + u64::from(self.granted.max_tokens);
        Amount { tokens, cost: self.granted.reserved_cost.unwrap_or_default() }
    }

    /// What it consumed: some of the input came from the cache.
    fn used(&self, said: u32) -> TokenUsage {
        let output = u64::from(self.granted.max_tokens) * u64::from(said) / 100;
        TokenUsage { cache_read_tokens: self.real / 3, ..used(self.real - self.real / 3, output) }
    }
}

#[derive(Default)]
struct Model {
    flights: Vec<Flight>,
    ended: Vec<(ModelCallId, TokenUsage)>,
    /// How much more than was set aside was spent in each window since a call was last granted in it.
    errors: HashMap<(Scope, Period, Span), Amount>,
}

impl Model {
    fn end(&mut self, desk: &mut Desk, which: usize, said: u32, crash: bool) {
        if self.flights.is_empty() {
            return;
        }
        let flight = self.flights.swap_remove(which % self.flights.len());
        let usage = flight.used(said);
        let spent = Amount::of(&usage, Some(price().cost(&usage).cost));
        let error = spent.minus(flight.reserved());
        for scope in flight.scopes.iter() {
            for (period, span) in spans(desk, flight.at) {
                let errors = self.errors.entry((scope.clone(), period, span)).or_default();
                *errors = errors.plus(error);
            }
        }
        self.ended.push((flight.id, usage));
        if crash {
            desk.books.settle(flight.id, usage, Some(price().cost(&usage).cost));
            desk.crash();
        } else {
            desk.settle(flight.id, usage);
        }
    }

    fn step(&mut self, desk: &mut Desk, op: Op) {
        match op {
            Op::Begin { session, plugin, estimate, real, max, least, dies } => {
                let (session, plugin) = (SESSIONS[session], PLUGINS[plugin]);
                let want = Want { session, plugin, input: estimate, max, least, priced: true };
                let (id, Ok(granted)) = desk.ask(want) else { return };
                assert!(granted.max_tokens <= max && granted.max_tokens >= least.min(max));
                let scopes = CallScopes::new(&session.parse().expect("a session"), &cause(plugin));
                let flight = Flight { id, scopes, want, granted, at: desk.now, real };
                for scope in flight.scopes.iter() {
                    for (period, span) in spans(desk, desk.now) {
                        self.errors.remove(&(scope.clone(), period, span));
                    }
                }
                if dies {
                    return desk.crash();
                }
                desk.record(id, want, granted);
                self.flights.push(flight);
            }
            Op::Finish { which, said } => self.end(desk, which, said, false),
            Op::FinishAndCrash { which, said } => self.end(desk, which, said, true),
            Op::Fail { which } if !self.flights.is_empty() => {
                let flight = self.flights.swap_remove(which % self.flights.len());
                desk.books.settle(flight.id, TokenUsage::default(), Some(NanoDollars::ZERO));
                desk.budgets.release(flight.id);
            }
            Op::Repeat { which } if !self.ended.is_empty() => {
                let (id, usage) = self.ended[which % self.ended.len()];
                desk.settle(id, usage);
            }
            Op::Fail { .. } | Op::Repeat { .. } => {}
            Op::Crash => desk.crash(),
            Op::Wait { minutes } => desk.now = desk.now.plus(Duration::from_secs(60 * minutes)),
        }
    }

    /// The rows say what the ledger and the calls under way say, and no limit is passed by more than it may be.
    fn check(&self, desk: &Desk) {
        for row in desk.status() {
            let (_, span) =
                spans(desk, desk.now).into_iter().find(|(period, _)| *period == row.period).expect("a span");
            let flights = self
                .flights
                .iter()
                .filter(|flight| span.contains(flight.at) && flight.scopes.iter().any(|scope| *scope == row.scope));
            let unit = row.limit.unit();
            let settled = desk.books.spent(&row.scope, span).in_unit(unit);
            let reserved = flights.map(Flight::reserved).fold(Amount::default(), Amount::plus).in_unit(unit);
            assert_eq!((row.used, row.reserved), (settled, reserved), "{row:?}");
            let errors = self.errors.get(&(row.scope.clone(), row.period, span)).copied().unwrap_or_default();
            let most = row.limit.amount() + errors.in_unit(unit).amount();
            assert!(row.used.amount() <= most, "{row:?} with errors of {errors:?}");
        }
    }
}

fn spans(desk: &Desk, at: Timestamp) -> [(Period, Span); 3] {
    let mut calendar = super::super::calendar::Calendar::new(desk.config.time_zone.clone());
    [Period::Day, Period::Month, Period::Total].map(|period| (period, calendar.span(period, at)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn settled_spending_passes_no_limit_by_more_than_the_error_of_its_estimates(
        budgets in budgets(),
        ops in proptest::collection::vec(op(), 1..250),
    ) {
        let mut desk = Desk::new(&budgets);
        let mut model = Model::default();
        for op in ops {
            model.step(&mut desk, op);
            model.check(&desk);
        }
        while !model.flights.is_empty() {
            model.end(&mut desk, 0, 100, false);
        }
        model.check(&desk);
        prop_assert!(desk.status().iter().all(|row| row.reserved.amount() == 0));
        desk.crash();
        model.check(&desk);
    }
}
