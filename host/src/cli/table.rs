//! A JSON answer as a person reads it: names and values in columns.
//!
//! It shows whatever is there, so that a newer gateway's answer is shown too.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::client::ClientError;
use crate::text;

/// Names that come first, in this order; the others follow by the alphabet.
const FIRST: &[&str] = &[
    "scope",
    "name",
    "period",
    "unit",
    "used",
    "reserved",
    "limit",
    "version",
    "demo",
    "address",
    "uptime",
    "uptime_ms",
    "uptime_seconds",
    "kind",
    "state",
    "path",
    "digest",
    "sha256",
    "size",
    "store",
    "sessions",
    "turns",
    "running",
    "queued",
    "models",
    "agents",
    "plugins",
    "tools",
    "imports",
    "exports",
];
/// Characters of one cell, and of one value beside its name.
const CELL: usize = 60;
const VALUE: usize = 400;
/// Characters of a digest in a cell: enough to tell two apart. Beside its name it stands whole.
const DIGEST: usize = 12;

/// An answer as lines.
pub(super) fn render(answer: &RawValue) -> Result<String, ClientError> {
    let value: Value = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
    let mut lines = Vec::new();
    match &value {
        Value::Object(map) => object(map, 0, &mut lines),
        Value::Array(items) if items.is_empty() => lines.push("none".to_owned()),
        Value::Array(items) => array(items, 0, &mut lines),
        value => lines.push(scalar("", value, VALUE)),
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

fn object(map: &Map<String, Value>, indent: usize, lines: &mut Vec<String>) {
    let (simple, nested): (Vec<_>, Vec<_>) = ordered(map).into_iter().partition(|(_, value)| is_simple(value));
    let width = simple.iter().map(|(name, _)| title(name).chars().count()).max().unwrap_or(0);
    for (name, value) in simple {
        lines.push(format!("{:indent$}{:width$}  {}", "", title(name), scalar(name, value, VALUE)));
    }
    for (name, value) in nested {
        lines.push(String::new());
        lines.push(format!("{:indent$}{}", "", title(name)));
        match value {
            Value::Object(map) => object(map, indent + 2, lines),
            Value::Array(items) => array(items, indent + 2, lines),
            _ => {}
        }
    }
}

fn array(items: &[Value], indent: usize, lines: &mut Vec<String>) {
    let mut columns: Vec<&String> = Vec::new();
    for map in items.iter().filter_map(Value::as_object) {
        columns.extend(ordered(map).into_iter().filter(|(_, value)| is_simple(value)).map(|(name, _)| name));
    }
    columns.sort_by_key(|name| rank(name));
    columns.dedup();
    if columns.is_empty() {
        lines.extend(items.iter().map(|item| format!("{:indent$}{}", "", scalar("", item, VALUE))));
        return;
    }
    let mut rows = vec![columns.iter().map(|name| title(name).to_uppercase()).collect::<Vec<_>>()];
    for item in items {
        let limit = |name: &str| if name == "sha256" { DIGEST } else { CELL };
        let cell =
            |name: &&String| item.get(name.as_str()).map_or_else(String::new, |value| scalar(name, value, limit(name)));
        rows.push(columns.iter().map(cell).collect());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        lines.push(format!("{:indent$}{}", "", cells.join("  ")).trim_end().to_owned());
    }
}

/// Whether a value fits beside its name: anything but tables, and lists of tables.
fn is_simple(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(items) => !items.iter().any(|item| item.is_object() || item.is_array()),
        _ => true,
    }
}

fn ordered(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(name, _)| rank(name));
    entries
}

fn rank(name: &str) -> (usize, &str) {
    (FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len()), name)
}

/// A name without the unit that its value is shown with.
fn title(name: &str) -> String {
    let plain = ["_ms", "_s", "_seconds", "_bytes"].iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name);
    text::one_line(&plain.replace('_', " "), CELL)
}

fn scalar(name: &str, value: &Value, limit: usize) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match number.as_u64() {
            Some(n) if name.ends_with("_ms") => duration(n / 1000),
            Some(n) if name.ends_with("_seconds") || name.ends_with("_s") => duration(n),
            Some(n) if matches!(name, "at" | "since" | "until") || name.ends_with("_at") => moment(n),
            Some(n) if name.ends_with("_bytes") || name == "size" => size(n),
            _ => number.to_string(),
        },
        Value::String(string) => text::one_line(string, limit),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| scalar(name, item, limit)).collect();
            text::one_line(&items.join(", "), limit)
        }
        Value::Object(_) => text::one_line(&value.to_string(), limit),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Milliseconds since the Unix epoch, as UTC.
fn moment(milliseconds: u64) -> String {
    let moment = i64::try_from(milliseconds).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| milliseconds.to_string(), |moment| format!("{moment:.0}"))
}

/// A number of bytes.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_digests_are_shown_as_people_read_them() {
        let json = r#"{"started_at":1795348592311,"uptime_s":3723,"plugins":[{"name":"x","sha256":"0123456789abcdef","at":0}]}"#;
        assert_eq!(
            rendered(json),
            "started at  2026-11-22T11:56:32Z\nuptime      1h 2m\n\nplugins\n  \
             NAME  SHA256         AT\n  x     0123456789ab…  1970-01-01T00:00:00Z\n"
        );
    }

    fn rendered(json: &str) -> String {
        render(&RawValue::from_string(json.into()).expect("JSON")).expect("a table")
    }

    #[test]
    fn an_answer_is_laid_out_in_columns() {
        let json = r#"{"uptime_ms":3723000,"version":"0.1.0","demo":true,"turns":{"running":1,"queued":0},
            "plugins":[{"state":"ready","name":"clock","kind":"tool","tools":["now"]},{"name":"x","odd":1}],"agents":[],"z":null}"#;
        assert_eq!(
            rendered(json),
            "version  0.1.0\ndemo     yes\nuptime   1h 2m\nagents   none\nz        -\n\n\
             turns\n  running  1\n  queued   0\n\n\
             plugins\n  NAME   KIND  STATE  TOOLS  ODD\n  clock  tool  ready  now\n  x                          1\n"
        );
    }

    #[test]
    fn whatever_comes_is_shown_and_nothing_of_it_is_obeyed() {
        assert_eq!(rendered("[]"), "none\n");
        assert_eq!(rendered("3"), "3\n");
        assert_eq!(rendered(r#"["a\u001b[2J", 1]"#), "a\\u{1b}[2J\n1\n");
        assert_eq!(rendered(r#"{"size": 1536, "memory_bytes": 67108864}"#), "size    2 KiB\nmemory  64.0 MiB\n");
    }
}
