//! `exoclaw usage`: what the models consumed and what it cost, as a table, a small chart, CSV or JSON.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::client::{Client, ClientError, Target};
use super::{CliError, Exit, Reach, output};
use crate::config::Loaded;
use crate::text;

/// The largest page that a gateway gives.
const PAGE: usize = 500;

/// Columns of the longest bar.
const BAR: usize = 24;

/// The longest key that is shown whole.
const KEY: usize = 48;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Counts are the providers' own where they came; `~` stands before a number that is partly an estimate. `cached` is input that was
read from a provider's cache. A cost is `-` where the price of a model is not known: add it to [prices] in the config.

Examples:
  exoclaw usage                        the last 30 days, by day
  exoclaw usage --by model --since 7d
  exoclaw usage --by session --since 2026-11-01 --limit 10
  exoclaw usage --by day --since all --csv > usage.csv
  exoclaw usage --json | jq .total.cost_usd")]
pub(super) struct UsageArgs {
    /// What each line adds up
    #[arg(long, value_name = "WHAT", default_value = "day")]
    by: By,
    /// From when: so long ago (`12h`, `7d`), a day (`2026-11-01`) in the gateway's time zone, or `all`
    #[arg(long, value_name = "WHEN", default_value = "30d")]
    since: String,
    /// Until when, in the same forms; what happens on that day is left out
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Of this agent alone
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Of this channel alone
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Of this session alone
    #[arg(long, value_name = "KEY")]
    session: Option<String>,
    /// Lines at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    /// Print comma-separated values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    reach: Reach,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a line adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Agent,
    Channel,
    Peer,
    Model,
    Day,
    Session,
    Cause,
}

impl By {
    fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Channel => "channel",
            Self::Peer => "peer",
            Self::Model => "model",
            Self::Day => "day",
            Self::Session => "session",
            Self::Cause => "cause",
        }
    }
}

/// What the gateway answers.
#[derive(Debug, Deserialize)]
struct Answer {
    rows: Vec<Row>,
    total: Row,
    #[serde(default)]
    next: Option<Box<RawValue>>,
}

/// A line of it. What a newer gateway adds is shown by `--json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    key: String,
    calls: u64,
    estimated: u64,
    failed: u64,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    cache_write_1h_tokens: u64,
    reasoning_tokens: u64,
    cost_usd: Option<f64>,
    unpriced: u64,
    cache_saving_usd: f64,
    duration_ms: u64,
}

pub(super) async fn run(args: UsageArgs, loaded: Loaded) -> Result<Exit, CliError> {
    let mut client = Client::connect(&Target::find(args.reach.url.as_deref(), &loaded)?).await?;
    let when = |text: &str| if text == "all" { json!(null) } else { json!(text) };
    let mut params = json!({
        "by": args.by.as_str(), "since": when(&args.since), "until": args.until,
        "agent": args.agent, "channel": args.channel, "session": args.session,
    });
    let mut rows: Vec<Box<RawValue>> = Vec::new();
    let (total, more) = loop {
        params["limit"] = args.limit.saturating_sub(rows.len()).clamp(1, PAGE).into();
        let answer = client.call("usage.query", &params).await?;
        #[derive(Deserialize)]
        struct Page {
            rows: Vec<Box<RawValue>>,
            total: Box<RawValue>,
            next: Option<Box<RawValue>>,
        }
        let page: Page = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
        rows.extend(page.rows);
        match page.next {
            Some(next) if rows.len() < args.limit => {
                params["after"] = serde_json::from_str(next.get()).map_err(ClientError::Answer)?;
            }
            next => break (page.total, next.is_some()),
        }
    };
    client.close().await;
    let whole = json!({ "rows": rows, "total": total, "next": more.then_some(true) });
    if args.json {
        let raw = serde_json::value::to_raw_value(
            &json!({ "by": args.by.as_str(), "rows": rows, "total": total, "more": more }),
        );
        output::print_json(&raw.map_err(ClientError::Answer)?)?;
        return Ok(Exit::Done);
    }
    let answer: Answer = serde_json::from_value(whole).map_err(ClientError::Answer)?;
    let text = if args.csv { csv(args.by, &answer) } else { table(args.by, &answer, io::stdout().is_terminal()) };
    output::print(text.as_bytes())?;
    Ok(Exit::Done)
}

/// All counts, a line each, under a line of their names.
fn csv(by: By, answer: &Answer) -> String {
    let mut out = format!(
        "{},calls,estimated,failed,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,\
         cache_write_1h_tokens,reasoning_tokens,cost_usd,unpriced,cache_saving_usd,duration_ms\n",
        by.as_str()
    );
    for row in &answer.rows {
        let cost = row.cost_usd.map_or_else(String::new, |cost| cost.to_string());
        let _ = writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{cost},{},{},{}",
            quoted(&row.key),
            row.calls,
            row.estimated,
            row.failed,
            row.input_tokens,
            row.output_tokens,
            row.cache_read_tokens,
            row.cache_write_tokens,
            row.cache_write_1h_tokens,
            row.reasoning_tokens,
            row.unpriced,
            row.cache_saving_usd,
            row.duration_ms
        );
    }
    out
}

/// As RFC 4180 has it. A spreadsheet takes what begins with one of `=+-@` for a formula, and keys have
/// parts that strangers choose.
fn quoted(key: &str) -> String {
    let formula = key.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let shield = if formula { "'" } else { "" };
    if formula || key.contains([',', '"', '\n', '\r']) {
        return format!("\"{shield}{}\"", key.replace('"', "\"\""));
    }
    key.to_owned()
}

/// Columns for a person, with bars where a person looks at them.
fn table(by: By, answer: &Answer, bars: bool) -> String {
    if answer.rows.is_empty() {
        return "no model was called in that time\n".to_owned();
    }
    let costs = answer.rows.iter().all(|row| row.cost_usd.is_some());
    #[allow(clippy::cast_precision_loss, reason = "a bar is a rough thing")]
    let weight = |row: &Row| match row.cost_usd {
        Some(cost) if costs => cost,
        _ => (row.input() + row.output_tokens) as f64,
    };
    let most = answer.rows.iter().map(weight).fold(0.0, f64::max);
    let mut lines = vec![[by.as_str(), "calls", "input", "cached", "output", "cost", ""].map(str::to_owned)];
    for row in &answer.rows {
        let drawn = if bars { bar(weight(row), most) } else { String::new() };
        lines.push(row.cells(text::one_line(&row.key, KEY), drawn));
    }
    lines.push(answer.total.cells("total".to_owned(), String::new()));
    let mut out = aligned(&lines);
    if answer.total.cache_saving_usd.abs() >= 0.000_001 {
        let saving = answer.total.cache_saving_usd;
        let word = if saving < 0.0 { "cost" } else { "saved" };
        let _ = writeln!(out, "caching {word} {}", dollars(saving.abs()));
    }
    if answer.total.unpriced > 0 {
        let unpriced = answer.total.unpriced;
        let _ = writeln!(
            out,
            "{unpriced} calls have no known price and are not in the costs; add it to [prices] in the config"
        );
    }
    if answer.next.is_some() {
        out.push_str("there are more lines; --limit shows them\n");
    }
    out
}

impl Row {
    /// Everything that was sent.
    fn input(&self) -> u64 {
        self.input_tokens + self.cache_read_tokens + self.cache_write_tokens
    }

    fn cells(&self, key: String, bar: String) -> [String; 7] {
        let about = if self.estimated > 0 { "~" } else { "" };
        let cost = match self.cost_usd {
            Some(cost) if self.unpriced == 0 => format!("{about}{}", dollars(cost)),
            Some(cost) if cost > 0.0 => format!(">{}", dollars(cost)),
            _ => "-".to_owned(),
        };
        [
            key,
            self.calls.to_string(),
            format!("{about}{}", short(self.input())),
            short(self.cache_read_tokens),
            format!("{about}{}", short(self.output_tokens)),
            cost,
            bar,
        ]
    }
}

/// The first column to the left, numbers to the right, bars behind them.
fn aligned(lines: &[[String; 7]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut out = String::new();
    for line in lines {
        let mut written = format!("{:<1$}", line[0], widths[0]);
        for column in 1..6 {
            let _ = write!(written, "  {:>1$}", line[column], widths[column]);
        }
        let _ = write!(written, "  {}", line[6]);
        out.push_str(written.trim_end());
        out.push('\n');
    }
    out
}

/// A number as a person reads it: 999, 1.2k, 34k, 5.6M.
fn short(number: u64) -> String {
    let scaled = |unit: u64, letter: char| {
        let tenths = number / (unit / 10);
        if tenths < 100 {
            format!("{}.{}{letter}", tenths / 10, tenths % 10)
        } else {
            format!("{}{letter}", tenths / 10)
        }
    };
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => scaled(1_000, 'k'),
        1_000_000..1_000_000_000 => scaled(1_000_000, 'M'),
        _ => scaled(1_000_000_000, 'G'),
    }
}

/// Cents where there are dollars, and more places where there are not.
fn dollars(amount: f64) -> String {
    match amount {
        1.0.. => format!("${amount:.2}"),
        0.01.. => format!("${amount:.4}"),
        _ => format!("${amount:.6}"),
    }
}

/// A bar in eighths of a column.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "between 0 and 8 × BAR"
)]
fn bar(value: f64, most: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if most <= 0.0 || value <= 0.0 {
        return String::new();
    }
    let eighths = ((value / most) * (BAR * 8) as f64).round().clamp(1.0, (BAR * 8) as f64) as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, input_tokens: u64, cost_usd: Option<f64>) -> Row {
        let unpriced = u64::from(cost_usd.is_none());
        Row { key: key.to_owned(), calls: 2, input_tokens, output_tokens: 10, cost_usd, unpriced, ..Row::default() }
    }

    #[test]
    fn a_person_sees_columns_bars_and_a_total() {
        let rows = vec![row("2026-11-21", 1_500, Some(0.5)), row("2026-11-22", 999, Some(2.0))];
        let answer = Answer { rows, total: row("", 2_499, Some(2.5)), next: None };
        let expected = "\
day         calls  input  cached  output     cost
2026-11-21      2   1.5k       0      10  $0.5000  ██████
2026-11-22      2    999       0      10    $2.00  ████████████████████████
total           2   2.4k       0      10    $2.50
";
        assert_eq!(table(By::Day, &answer, true), expected);
        assert!(!table(By::Day, &answer, false).contains('█'), "a pipe gets no bars");
    }

    #[test]
    fn what_is_not_known_is_not_shown_as_nothing() {
        let estimated = Row { estimated: 1, ..row("", 5, Some(0.001)) };
        let answer = Answer { rows: vec![row("new-model", 5, None)], total: estimated, next: None };
        let shown = table(By::Model, &answer, false);
        assert!(shown.lines().any(|line| line.starts_with("new-model") && line.ends_with(" -")), "{shown}");
        assert!(shown.contains("~$0.001000"), "{shown}");
    }

    #[test]
    fn a_spreadsheet_runs_no_formula_that_a_stranger_chose() {
        assert_eq!(quoted("default:irc:net:=1+1"), "default:irc:net:=1+1");
        assert_eq!(quoted("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(quoted("a,b"), "\"a,b\"");
    }

    #[test]
    fn numbers_keep_two_digits_that_count() {
        let shown = [0, 999, 1_000, 9_999, 10_000, 999_999, 1_000_000, 12_345_678_901].map(short);
        assert_eq!(shown, ["0", "999", "1.0k", "9.9k", "10k", "999k", "1.0M", "12G"]);
    }
}
