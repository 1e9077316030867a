//! `config.example.toml` against the code.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::*;
use crate::config::schema;

const EXAMPLE: &str = include_str!("../../../../config.example.toml");

/// The example with the `#` of its defaults removed, and the `##` of the examples that `keep`
/// takes.
fn uncommented(keep: impl Fn(&str) -> bool) -> String {
    let line = |line: &'static str| match (line.strip_prefix("##"), line.strip_prefix('#')) {
        (Some(example), _) if keep(example) => example,
        (None, Some(default)) if default.starts_with(|c: char| c == '[' || c.is_ascii_alphabetic()) => default,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Every key of a file, under the header that the schema gives its table.
fn keys(text: &str) -> BTreeSet<(String, String)> {
    fn walk(at: &str, table: &DeTable<'_>, keys: &mut BTreeSet<(String, String)>) {
        for (key, value) in table {
            let below = match at {
                "" => key.get_ref().to_string(),
                "agents" | "providers" | "channels" | "plugins.grants.secrets" | "prices" => format!("{at}.NAME"),
                "budgets.agents" | "budgets.channels" | "budgets.plugins" => format!("{at}.NAME"),
                "budgets.peers" if value.get_ref().as_table().is_some() => format!("{at}.NAME"),
                _ => format!("{at}.{}", key.get_ref()),
            };
            match value.get_ref() {
                DeValue::Table(_) if below == "plugins.settings" => {}
                DeValue::Table(table) => walk(&below, table, keys),
                DeValue::Array(tables) => {
                    for table in tables.iter().filter_map(|table| table.get_ref().as_table()) {
                        walk(&below, table, keys);
                    }
                    if at.is_empty() {
                        continue;
                    }
                }
                _ => {}
            }
            if !matches!(value.get_ref(), DeValue::Table(_)) || below.contains('.') && !below.ends_with("NAME") {
                let lists = ["plugins", "bindings", "plugins.grants.http", "plugins.grants.dirs", "prices.NAME.tiers"];
                let listed = lists.contains(&at);
                let header = if listed { format!("[[{at}]]") } else { format!("[{at}]") };
                keys.insert((header, key.get_ref().to_string()));
            }
        }
    }
    let mut keys = BTreeSet::new();
    walk("", DeTable::parse(text).expect("TOML").get_ref(), &mut keys);
    keys
}

#[test]
fn the_example_as_it_stands_is_the_defaults() {
    assert_eq!(parse(EXAMPLE).map_err(|e| e.to_string()), Ok(Config::default()));
}

#[test]
fn the_defaults_that_the_example_shows_are_the_defaults() {
    assert_eq!(parse(&uncommented(|_| false)).map_err(|e| e.to_string()), Ok(Config::default()));
}

#[test]
fn every_example_of_a_value_is_right() {
    for other in ["system =", "soul = \"soul.md\""] {
        let config = parse(&uncommented(|line| !line.starts_with(other))).map_err(|e| e.to_string()).expect(other);
        assert_eq!(config.bindings.len(), 1);
        assert!(config.providers.contains_key("ollama"));
    }
}

#[test]
fn every_key_that_is_read_is_in_the_example_with_an_explanation() {
    let shown = keys(&uncommented(|_| true));
    for table in schema::tables() {
        // They have the same keys as [agent].
        if table.header.starts_with("[agents.NAME") {
            continue;
        }
        for key in table.keys {
            assert!(
                shown.contains(&(table.header.clone(), key.to_owned())),
                "{} {key} is not in the example",
                table.header
            );
        }
    }
    let mut explained = false;
    let mut seen = BTreeSet::new();
    for line in EXAMPLE.lines() {
        let prose = line.starts_with("# ");
        let key = line.trim_start_matches('#').split_once(" = ").map(|(key, _)| key);
        if let Some(key) = key.filter(|_| !prose)
            && seen.insert(key)
        {
            let by_itself = ["channel", "account", "team", "guild", "peer", "agent"].contains(&key);
            assert!(explained || by_itself, "{key} stands without an explanation");
        }
        explained = prose;
    }
}
