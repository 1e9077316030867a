//! What commands print, for people and for pipes.

use std::io::{self, IsTerminal, Write};

/// Writes to standard output. A closed pipe is an error like any other, and no panic.
pub(super) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// JSON, with a line end.
pub(super) fn print_json(json: &serde_json::value::RawValue) -> io::Result<()> {
    print(format!("{json}\n").as_bytes())
}

/// Whether a stream shows colours: on a terminal, unless <https://no-color.org> says no.
pub(super) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
