//! `exoclaw data import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::lines::{LineError, Reader, Totals};
use super::progress::{Meter, amount};
use super::{CliError, Exit, Session};
use crate::cli::output;
use crate::config::Loaded;
use crate::store::{Record, StoreError};

/// Of one transaction: whichever comes first.
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;

/// Why an import came to nothing, or to a part.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    /// The file is no whole export.
    #[error("nothing of {file} was stored: {error}")]
    Refused { file: String, error: LineError },
    /// The input is no whole export, as it turned out in the middle.
    #[error("what stood before is stored, and the rest is not: {error}; run it again with the whole input")]
    Cut { error: LineError },
    /// A record that the store does not take.
    #[error("what stood before line {line} is stored, and the rest is not: line {line}: {error}")]
    Line { line: u64, error: StoreError },
    /// The store fails.
    #[error("what stood before line {line} is stored, and the rest is not: {error}; run it again")]
    Store { line: u64, error: StoreError },
}

pub(super) fn run(file: &Path, loaded: &Loaded) -> Result<Exit, CliError> {
    let totals = if file == Path::new("-") {
        let session = Session::open(loaded)?;
        store(io::stdin().lock(), &session)?
    } else {
        let open = || {
            let opened = File::open(file);
            opened.map_err(|error| CliError::Usage(format!("{} cannot be read: {error}", file.display())))
        };
        // A file that is not whole is to leave no trace.
        check(BufReader::new(open()?))
            .map_err(|error| CliError::failed(ImportError::Refused { file: file.display().to_string(), error }))?;
        let session = Session::open(loaded)?;
        store(BufReader::new(open()?), &session)?
    };
    output::print(format!("{} imported; what was there already stayed as it was\n", amount(totals)).as_bytes())?;
    Ok(Exit::Done)
}

/// Looks through an export to its end.
fn check(source: impl BufRead) -> Result<(), LineError> {
    let mut meter = Meter::new();
    let mut reader = Reader::begin(source)?;
    while reader.next()?.is_some() {
        meter.show(|| format!("looking through: {}", amount(reader.totals())));
    }
    Ok(())
}

/// Stores an export, a batch a transaction.
fn store(source: impl BufRead, session: &Session) -> Result<Totals, CliError> {
    let mut meter = Meter::new();
    let cut = |error| CliError::failed(ImportError::Cut { error });
    let mut reader = Reader::begin(source).map_err(cut)?;
    let mut batch = Batch::default();
    while let Some((record, line, bytes)) = reader.next().map_err(cut)? {
        batch.lines.push((line, record));
        batch.bytes += bytes;
        if batch.lines.len() >= BATCH_RECORDS || batch.bytes >= BATCH_BYTES {
            batch.store(session)?;
            meter.show(|| amount(reader.totals()));
        }
    }
    batch.store(session)?;
    Ok(reader.totals())
}

/// Records of one transaction, with the numbers of their lines.
#[derive(Default)]
struct Batch {
    lines: Vec<(u64, Record)>,
    bytes: usize,
}

impl Batch {
    fn store(&mut self, session: &Session) -> Result<(), CliError> {
        let lines = std::mem::take(self).lines;
        let Some(&(first, _)) = lines.first() else { return Ok(()) };
        let import = |records: Vec<Record>| session.runtime.block_on(session.storage.store.import(records));
        match import(lines.iter().map(|(_, record)| record.clone()).collect()) {
            Ok(()) => return Ok(()),
            Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(CliError::failed(ImportError::Store { line: first, error })),
        }
        // One of them is bad: one after the other, it is found.
        for (line, record) in lines {
            import(vec![record]).map_err(|error| CliError::failed(ImportError::Line { line, error }))?;
        }
        Ok(())
    }
}
