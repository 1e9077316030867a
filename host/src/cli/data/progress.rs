//! How far a long work is: one line on a terminal, written anew. A pipe and a file get nothing of it.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::lines::Totals;
use crate::cli::table;

/// How often the line is written.
const EVERY: Duration = Duration::from_millis(100);

/// The line. It goes when this is dropped.
pub(super) struct Meter {
    terminal: bool,
    written: Option<Instant>,
}

impl Meter {
    /// On standard error, where that is a terminal that can rewrite a line.
    pub(super) fn new() -> Self {
        let smart = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { terminal: smart && io::stderr().is_terminal(), written: None }
    }

    /// Shows where the work is, if it is time to.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        if self.terminal && self.written.is_none_or(|written| written.elapsed() >= EVERY) {
            self.written = Some(Instant::now());
            // Nobody misses a line that could not be written.
            let _ = write!(io::stderr(), "\r{}\x1b[K", text());
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.written.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// `12 records, 34 KiB`.
pub(super) fn amount(totals: Totals) -> String {
    let records = if totals.records == 1 { "record" } else { "records" };
    format!("{} {records}, {}", totals.records, table::size(totals.bytes))
}

/// `copying pages: 34%`.
pub(super) fn share(what: &str, done: u64, total: u64) -> String {
    match done.saturating_mul(100).checked_div(total) {
        Some(percent) => format!("{what}: {}%", percent.min(100)),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_as_people_read_them() {
        assert_eq!(amount(Totals { records: 1, bytes: 20 }), "1 record, 20 B");
        assert_eq!(amount(Totals { records: 12_345, bytes: 5 << 20 }), "12345 records, 5.0 MiB");
        assert_eq!(share("copying pages", 1, 3), "copying pages: 33%");
        assert_eq!(share("looking", 0, 0), "looking");
        assert_eq!(share("looking", 9, 3), "looking: 100%");
    }
}
