//! `exoclaw data backup`, `verify` and `compact`: what is done to the store's file.

use std::path::Path;

use super::place::{Existing, Placed};
use super::progress::{Meter, share};
use super::{CliError, Exit};
use crate::cli::{output, table};
use crate::store::sqlite::{self, Progress, SqliteOptions};

/// Shows how far such a work is.
fn shown(meter: &mut Meter) -> impl FnMut(Progress) {
    |Progress { what, done, total }| meter.show(|| share(what, done, total))
}

pub(super) fn backup(path: &Path, to: &Path, force: bool) -> Result<Exit, CliError> {
    let mut meter = Meter::new();
    if force {
        let placed = Placed::new(to, Existing::Replace).map_err(CliError::failed)?;
        sqlite::backup(path, placed.partial(), &mut shown(&mut meter)).map_err(CliError::failed)?;
        placed.finish().map_err(CliError::failed)?;
    } else {
        Placed::new(to, Existing::Keep).map_err(CliError::failed)?;
        sqlite::backup(path, to, &mut shown(&mut meter)).map_err(CliError::failed)?;
    }
    drop(meter);
    let bytes = std::fs::metadata(to)?.len();
    output::print(format!("{} in {}\n", table::size(bytes), to.display()).as_bytes())?;
    Ok(Exit::Done)
}

pub(super) fn verify(path: &Path) -> Result<Exit, CliError> {
    let mut meter = Meter::new();
    let verified = sqlite::verify(path, &mut shown(&mut meter)).map_err(CliError::failed)?;
    drop(meter);
    let size = table::size(verified.bytes);
    let store = path.display();
    if verified.problems.is_empty() {
        output::print(format!("{store} is whole: {size}, schema version {}\n", verified.version).as_bytes())?;
        return Ok(Exit::Done);
    }
    let mut lines = String::new();
    for problem in &verified.problems {
        lines.push_str(&format!("{}\n", crate::text::escape(&problem.to_string(), &[])));
    }
    output::print(lines.as_bytes())?;
    Err(CliError::failed(format!(
        "{store} is damaged; keep a copy of it and of its -wal file, and restore a backup, or export what can be read: \
         `exoclaw data export`"
    )))
}

pub(super) fn compact(options: &SqliteOptions) -> Result<Exit, CliError> {
    let mut meter = Meter::new();
    let compacted = sqlite::compact(options, &mut shown(&mut meter)).map_err(CliError::failed)?;
    drop(meter);
    let (before, after) = (table::size(compacted.before), table::size(compacted.after));
    output::print(format!("{}: {before} before, {after} now\n", options.path.display()).as_bytes())?;
    Ok(Exit::Done)
}
