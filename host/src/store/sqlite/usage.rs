//! What calls consumed, read from the sums that are kept, and where a span begins or ends within one of them, from
//! the ledger.

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::cells::{integer, number, parse, rows};
use super::error::SqlResult;
use super::rollup::{DAY, HOUR, OF_LEDGER, OF_SUMS};
use crate::store::usage::{QUARTER, Span, UsageRows, split};
use crate::store::{
    NanoDollars, Page, TokenUsage, UsageFilter, UsageGroup, UsageKey, UsagePeer, UsageQuery, UsageRow, UsageSums,
};

/// Where sums are read from. In each of them `u` has what is added up and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Sums of a day each, scope by scope: all that does not ask for sessions.
    Days,
    /// Sums of a quarter of an hour each, scope by scope.
    Quarters,
    /// Sums of an hour each, session by session.
    Hours,
    /// The same, hour by hour.
    LateHours,
    /// The calls themselves.
    Ledger,
}

/// Columns of sums, behind which those of a key are.
const COLUMNS: usize = 15;

/// Adds what a page needs of a table of scopes to a source that knows but their rows.
const WITH_SCOPES: &str = " CROSS JOIN usage_scopes k ON k.id = u.scope";

/// A page of sums.
pub(super) fn page(connection: &Connection, query: &UsageQuery) -> SqlResult<Page<UsageRow, UsageKey>> {
    let mut found = UsageRows::new();
    match &query.group {
        UsageGroup::Days(bounds) => {
            for (key, day) in query.days(bounds) {
                let mut total = UsageRows::new();
                collect(connection, query, &UsageGroup::Total, &day, &mut total)?;
                found.extend(total.into_values().map(|sums| (key.clone(), sums)));
                if found.len() > query.limit {
                    break;
                }
            }
        }
        group => collect(connection, query, group, &query.span(), &mut found)?,
    }
    Ok(query.page(found))
}

/// Adds the sums of a span to rows: all that are up to the end of the query's page, at least.
fn collect(
    connection: &Connection,
    query: &UsageQuery,
    group: &UsageGroup,
    span: &Span,
    found: &mut UsageRows,
) -> SqlResult<()> {
    let mut left = vec![span.clone()];
    for &(source, width) in Source::of(query, group, span) {
        let mut edges = Vec::new();
        for span in &left {
            let (whole, rest) = split(span, width);
            if let Some(whole) = whole {
                Statement::new(source, query, group, &whole).run(connection, group, found)?;
            }
            edges.extend(rest);
        }
        left = edges;
    }
    left.iter().try_for_each(|edge| Statement::new(Source::Ledger, query, group, edge).run(connection, group, found))
}

impl Source {
    /// Where the whole pieces of a span are read, the widest first; what none of them has is in the ledger.
    fn of(query: &UsageQuery, group: &UsageGroup, span: &Span) -> &'static [(Self, u64)] {
        let UsageFilter { session, peer, .. } = &query.filter;
        let everyone = session.is_none() && peer.is_none();
        match group {
            // To look at everyone for who was there lately would take longer.
            UsageGroup::Session | UsageGroup::Peer if everyone && span.start > 0 => &[(Self::LateHours, HOUR)],
            UsageGroup::Session | UsageGroup::Peer => &[(Self::Hours, HOUR)],
            _ if everyone => &[(Self::Days, DAY), (Self::Quarters, QUARTER)],
            _ => &[(Self::Hours, HOUR)],
        }
    }

    const fn from(self) -> &'static str {
        match self {
            Self::Days => "usage_scopes k CROSS JOIN usage_days u ON u.scope = k.id",
            Self::Quarters => "usage_scopes k CROSS JOIN usage_quarters u ON u.scope = k.id",
            Self::Hours => "usage_sessions s CROSS JOIN usage_hours u ON u.session = s.id",
            Self::LateHours => {
                "usage_hours u INDEXED BY usage_hours_at CROSS JOIN usage_sessions s ON s.id = u.session"
            }
            Self::Ledger => "ledger u INDEXED BY ledger_at CROSS JOIN usage_sessions s ON s.session = u.session",
        }
    }

    /// The table that has the agent and the channel.
    const fn of_session(self) -> &'static str {
        match self {
            Self::Days | Self::Quarters => "k",
            Self::Hours | Self::LateHours | Self::Ledger => "s",
        }
    }

    /// The table that has the cause, the provider and the model.
    const fn of_call(self) -> &'static str {
        match self {
            Self::Days | Self::Quarters | Self::Hours | Self::LateHours => "k",
            Self::Ledger => "u",
        }
    }
}

/// A question to one source.
struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    fn new(source: Source, query: &UsageQuery, group: &UsageGroup, span: &Span) -> Self {
        let (of_session, of_call) = (source.of_session(), source.of_call());
        let key: Vec<String> = match group {
            // Each day is asked for as a total.
            UsageGroup::Total | UsageGroup::Days(_) => Vec::new(),
            UsageGroup::Agent => vec![format!("{of_session}.agent")],
            UsageGroup::Channel => vec![format!("{of_session}.channel")],
            UsageGroup::Peer => ["channel", "account", "peer"].map(|column| format!("s.{column}")).to_vec(),
            UsageGroup::Model => ["provider", "model"].map(|column| format!("{of_call}.{column}")).to_vec(),
            UsageGroup::Session => vec!["s.session".to_owned()],
            UsageGroup::Cause => vec![format!("{of_call}.cause")],
        };
        let UsageFilter { agent, channel, peer, session, provider, model, cause } = &query.filter;
        let mut wanted = Conditions::default();
        wanted.text(of_session, "agent", agent.as_deref());
        wanted.text(of_session, "channel", channel.as_deref());
        wanted.text("s", "channel", peer.as_ref().map(|peer| &*peer.channel));
        wanted.text("s", "account", peer.as_ref().map(|peer| &*peer.account));
        wanted.text("s", "peer", peer.as_ref().map(|peer| &*peer.peer));
        wanted.text("s", "session", session.as_ref().map(crate::store::SessionKey::as_str));
        wanted.text(of_call, "provider", provider.as_deref());
        wanted.text(of_call, "model", model.as_deref());
        wanted.text(of_call, "cause", cause.as_ref().map(ToString::to_string).as_deref());
        if source == Source::Ledger {
            wanted.add("u.outcome IS NOT NULL", []);
        }
        if span.start > 0 {
            wanted.add("u.at >= ?", [integer(span.start).into()]);
        }
        if span.end < u64::MAX {
            wanted.add("u.at < ?", [integer(span.end).into()]);
        }
        // There may be as many sessions as there are people. All else is few, and is read whole.
        let many = matches!(group, UsageGroup::Session | UsageGroup::Peer);
        match &query.after {
            Some(UsageKey::Session(after)) if *group == UsageGroup::Session => {
                wanted.add("s.session > ?", [after.as_str().to_owned().into()]);
            }
            Some(UsageKey::Peer(UsagePeer { channel, account, peer })) if *group == UsageGroup::Peer => {
                let after = [channel, account, peer].map(|part| Value::from(part.clone()));
                wanted.add("(s.channel, s.account, s.peer) > (?, ?, ?)", after);
            }
            _ => {}
        }

        let mut sql = format!("SELECT {}", if source == Source::Ledger { OF_LEDGER } else { OF_SUMS });
        for column in &key {
            sql.extend([", ", column]);
        }
        sql.extend([" FROM ", source.from()]);
        let calls_are_told_apart = matches!(group, UsageGroup::Model | UsageGroup::Cause)
            || provider.is_some()
            || model.is_some()
            || cause.is_some();
        if calls_are_told_apart && matches!(source, Source::Hours | Source::LateHours) {
            sql.push_str(WITH_SCOPES);
        }
        let Conditions { texts, mut values } = wanted;
        if !texts.is_empty() {
            sql.extend([" WHERE ", &texts.join(" AND ")]);
        }
        match source {
            // In the order in which they are read. What is of one key is added up by whoever reads it.
            Source::Days | Source::Quarters => sql.push_str(" GROUP BY k.id"),
            _ if key.is_empty() => {}
            _ => sql.extend([" GROUP BY ", &key.join(", ")]),
        }
        if many && source != Source::Ledger {
            sql.extend([" ORDER BY ", &key.join(", "), " LIMIT ?"]);
            values.push(rows(query.limit.saturating_add(1)).into());
        }
        Self { sql, values }
    }

    fn run(&self, connection: &Connection, group: &UsageGroup, found: &mut UsageRows) -> SqlResult<()> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(&self.values))?;
        while let Some(row) = rows.next()? {
            // Of nothing there is one row, without sums.
            if row.get::<_, Option<i64>>(0)?.unwrap_or(0) > 0 {
                found.entry(key(group, row)?).or_default().add(&sums(row)?);
            }
        }
        Ok(())
    }
}

/// What rows must be.
#[derive(Default)]
struct Conditions {
    texts: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    fn add<const N: usize>(&mut self, text: impl Into<String>, values: [Value; N]) {
        self.texts.push(text.into());
        self.values.extend(values);
    }

    /// Where a text is given, a column is it.
    fn text(&mut self, table: &str, column: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.add(format!("{table}.{column} = ?"), [text.to_owned().into()]);
        }
    }
}

fn sums(row: &Row<'_>) -> rusqlite::Result<UsageSums> {
    let count = |column| row.get(column).map(number);
    Ok(UsageSums {
        calls: count(0)?,
        estimated: count(1)?,
        cut: count(2)?,
        failed: count(3)?,
        lost: count(4)?,
        tokens: TokenUsage {
            input_tokens: count(5)?,
            output_tokens: count(6)?,
            cache_read_tokens: count(7)?,
            cache_write_tokens: count(8)?,
            cache_write_1h_tokens: count(9)?,
            reasoning_tokens: count(10)?,
        },
        cost: NanoDollars::from_nanos(count(11)?),
        unpriced: count(12)?,
        cache_saving: row.get(13)?,
        duration_ms: count(14)?,
    })
}

fn key(group: &UsageGroup, row: &Row<'_>) -> SqlResult<UsageKey> {
    let text = |behind: usize| row.get::<_, String>(COLUMNS + behind);
    Ok(match group {
        UsageGroup::Total | UsageGroup::Days(_) => UsageKey::Total,
        UsageGroup::Agent => UsageKey::Agent(text(0)?),
        UsageGroup::Channel => UsageKey::Channel(text(0)?),
        UsageGroup::Peer => UsageKey::Peer(UsagePeer { channel: text(0)?, account: text(1)?, peer: text(2)? }),
        UsageGroup::Model => UsageKey::Model { provider: text(0)?, model: text(1)? },
        UsageGroup::Session => UsageKey::Session(parse("a session's key", &text(0)?)?),
        UsageGroup::Cause => UsageKey::Cause(parse("the cause of a call", &text(0)?)?),
    })
}

#[cfg(test)]
mod tests;
