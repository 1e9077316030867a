//! `exoclaw data export`.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::lines::{Totals, Writer};
use super::place::{Existing, Placed};
use super::progress::{Meter, amount};
use super::{CliError, Exit, Session};
use crate::cli::output;
use crate::config::Loaded;
use crate::store::sqlite::OpenError;

/// Of one question to the store, in bytes.
const PAGE: usize = 1 << 20;

/// A store that a gateway uses is not to be exported as it changes.
#[derive(Debug, thiserror::Error)]
#[error("{0}; or export a copy: `exoclaw data backup copy.db`, then `exoclaw data export --store sqlite:copy.db`")]
struct InUse(OpenError);

pub(super) fn run(file: Option<&Path>, force: bool, path: &Path, loaded: &Loaded) -> Result<Exit, CliError> {
    let file = file.filter(|file| *file != Path::new("-"));
    // Before the store is opened, which may take its time.
    let placed =
        file.map(|file| Placed::new(file, Existing::with_force(force))).transpose().map_err(CliError::failed)?;
    let session = Session::existing(path, loaded).map_err(|error| match error {
        CliError::Store(error @ OpenError::InUse { .. }) => CliError::failed(InUse(error)),
        error => error,
    })?;
    match placed {
        Some(placed) => {
            let out = BufWriter::new(placed.create().map_err(CliError::failed)?);
            let totals = write(out, &session, &placed)?;
            let to = placed.to().display().to_string();
            placed.finish().map_err(CliError::failed)?;
            output::print(format!("{} in {to}\n", amount(totals)).as_bytes())?;
        }
        None => {
            let totals = write(BufWriter::new(io::stdout().lock()), &session, &())?;
            // Who has closed it does not want to know.
            let _ = writeln!(io::stderr(), "{}", amount(totals));
        }
    }
    Ok(Exit::Done)
}

/// Whose fault a failed write is.
trait Target {
    fn failed(&self, error: io::Error) -> CliError;
}

impl Target for Placed {
    fn failed(&self, error: io::Error) -> CliError {
        CliError::failed(Placed::failed(self, error))
    }
}

impl Target for () {
    fn failed(&self, error: io::Error) -> CliError {
        CliError::Io(error)
    }
}

fn write(out: impl Write, session: &Session, target: &impl Target) -> Result<Totals, CliError> {
    let failed = |error| target.failed(error);
    let mut meter = Meter::new();
    let mut writer = Writer::begin(out).map_err(failed)?;
    let mut after = None;
    loop {
        let page = session.runtime.block_on(session.storage.store.export(after, PAGE));
        let (records, next) = page.map_err(CliError::failed)?;
        for record in &records {
            writer.record(record).map_err(failed)?;
        }
        meter.show(|| amount(writer.totals()));
        after = next;
        if after.is_none() {
            return writer.end().map(|(_, totals)| totals).map_err(failed);
        }
    }
}
