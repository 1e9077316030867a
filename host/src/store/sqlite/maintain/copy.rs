//! A copy of a database as it is at one moment, whole or not there: under another name until it is on the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::super::connection::{beside, sync_folder};
use super::Progress;

/// Pages of a step, between two words on the progress: 4 MiB.
const STEP_PAGES: i32 = 1_024;

/// Why a copy could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is something already.
    #[error("{} is there already, and is not overwritten; choose another name, or move it away", to.display())]
    Exists {
        /// Where the copy was to be.
        to: PathBuf,
    },
    /// The copy cannot be written.
    #[error("{} cannot be written: {error}", to.display())]
    Io {
        /// Where the copy was to be.
        to: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// SQLite could not copy.
    #[error("the copy to {} failed: {error}", to.display())]
    Sqlite {
        /// Where the copy was to be.
        to: PathBuf,
        /// What SQLite says.
        #[source]
        error: rusqlite::Error,
    },
}

/// A copy that is whole and on the disk, under a name of its own. It goes unless it gets its place.
#[derive(Debug)]
pub(in super::super) struct Copied {
    partial: PathBuf,
    to: PathBuf,
}

impl Copied {
    /// Gives the copy its name, which nothing has yet.
    pub(super) fn place(self) -> Result<(), CopyError> {
        let failed = |error: io::Error| CopyError::Io { to: self.to.clone(), error };
        match fs::hard_link(&self.partial, &self.to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(CopyError::Exists { to: self.to.clone() });
            }
            // A file system without links, such as a stick's.
            Err(_) if !taken(&self.to) => fs::rename(&self.partial, &self.to).map_err(failed)?,
            Err(_) => return Err(CopyError::Exists { to: self.to.clone() }),
        }
        sync_folder(folder(&self.to)).map_err(failed)
    }

    /// Gives the copy its name, and takes it from whatever has it.
    pub(in super::super) fn replace(self) -> Result<(), CopyError> {
        let placed = fs::rename(&self.partial, &self.to).and_then(|()| sync_folder(folder(&self.to)));
        placed.map_err(|error| CopyError::Io { to: self.to.clone(), error })
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        clear(&self.partial);
    }
}

/// Copies all that `from` sees now. The store may be written meanwhile: the copy is of the moment at which it began.
pub(in super::super) fn copy(
    from: &Connection,
    to: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    let failed = |error: io::Error| CopyError::Io { to: to.to_owned(), error };
    let copied = Copied { partial: beside(to, ".partial"), to: to.to_owned() };
    // Left by a copy that was cut.
    clear(&copied.partial);
    let mut how = OpenOptions::new();
    how.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
    how.open(&copied.partial).map_err(failed)?;
    pages(from, &copied.partial, progress).map_err(|error| CopyError::Sqlite { to: to.to_owned(), error })?;
    File::open(&copied.partial).and_then(|file| file.sync_all()).map_err(failed)?;
    Ok(copied)
}

fn pages(from: &Connection, partial: &Path, progress: &mut dyn FnMut(Progress)) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(partial, flags)?;
    // It is synced at the end, and thrown away if it is cut.
    target.pragma_update(None, "synchronous", "OFF")?;
    target.pragma_update(None, "journal_mode", "MEMORY")?;
    // A look that stays open: without it each write of a gateway would make the copy begin again.
    let snapshot = from.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    {
        let backup = Backup::new(&snapshot, &mut target)?;
        loop {
            let step = backup.step(STEP_PAGES)?;
            let pages = backup.progress();
            let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
            let total = count(pages.pagecount);
            progress(Progress { what: "copying pages", done: total.saturating_sub(count(pages.remaining)), total });
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                // Nobody else has the target, and the source is held by the look.
                _ => {
                    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                    return Err(rusqlite::Error::SqliteFailure(code, Some("the source is locked".to_owned())));
                }
            }
        }
    }
    drop(snapshot);
    target.close().map_err(|(_, error)| error)
}

/// Whether there is something under a name, be it a link to nothing.
pub(super) fn taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn clear(partial: &Path) {
    for ending in ["", "-journal", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(partial, ending));
    }
}
