//! `exoclaw data backup`, `verify` and `compact`: what is done to the store's file.

use std::path::Path;

use super::{CliError, Exit};
use crate::store::sqlite::SqliteOptions;

pub(super) fn backup(path: &Path, to: &Path, force: bool) -> Result<Exit, CliError> {
    let _ = (path, to, force);
    Err(CliError::Usage("not yet".into()))
}

pub(super) fn verify(path: &Path) -> Result<Exit, CliError> {
    let _ = path;
    Err(CliError::Usage("not yet".into()))
}

pub(super) fn compact(options: &SqliteOptions) -> Result<Exit, CliError> {
    let _ = options;
    Err(CliError::Usage("not yet".into()))
}
