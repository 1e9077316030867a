//! The configuration as its owner meets it.

mod budgets;
mod errors;
mod example;
mod values;

use std::path::Path;

use super::{Config, ConfigErrors};

/// Reads a text as `/etc/exoclaw/config.toml`.
fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, Path::new("/etc/exoclaw/config.toml"))
}

/// What is printed of a text's mistakes.
fn printed(text: &str) -> String {
    parse(text).expect_err("a file with mistakes").to_string()
}
