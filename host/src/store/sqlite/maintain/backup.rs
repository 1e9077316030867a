//! A copy of a store for keeping, made while a gateway may use it.

use std::path::Path;

use super::super::OpenError;
use super::super::connection::{onlooker, resolve};
use super::super::migrate::{self, Found, MIGRATIONS, Migration};
use super::copy::{copy, taken};
use super::{CopyError, MaintainError, Progress};

/// Copies the store at `path` to `to`, which must not be there. The copy is of one moment and whole; it is a
/// store itself, to be put in the place of the first. Blocks: of a large store, for minutes.
///
/// # Errors
/// There is no copy.
pub fn backup(path: &Path, to: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), MaintainError> {
    backup_with(path, to, MIGRATIONS, progress)
}

pub(in super::super) fn backup_with(
    path: &Path,
    to: &Path,
    migrations: &[Migration],
    progress: &mut dyn FnMut(Progress),
) -> Result<(), MaintainError> {
    if taken(to) {
        return Err(CopyError::Exists { to: to.to_owned() }.into());
    }
    let path = resolve(path).map_err(|_| OpenError::Missing { path: path.to_owned() })?;
    let connection = onlooker(&path)?;
    if migrate::find(&connection, &path, migrations)? == Found::New {
        return Err(OpenError::Missing { path }.into());
    }
    copy(&connection, to, progress)?.place()?;
    Ok(())
}
