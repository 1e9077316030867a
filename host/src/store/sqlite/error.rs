//! From SQLite's errors to the store's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};

use super::lock::Holder;
use crate::store::{Sickness, StoreError};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read or written.
    #[error("the store {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// There is no such store, and none is to be made.
    #[error("there is no store at {}; check `[storage] url`, or start the gateway once to make one", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another process owns it.
    #[error(
        "the store {} is in use by {holder}; stop that process, or give this one a store of its own by `[storage] url`",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// Who owns it.
        holder: Holder,
    },
    /// The file is something else, or its beginning was lost.
    #[error(
        "{} is not a database: it is another kind of file, or its beginning is damaged; \
         restore a backup there, or choose another file by `[storage] url`",
        path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A database that another program made.
    #[error("{} is a database of another program; choose another file by `[storage] url`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A database with holes.
    #[error(
        "the store {} is damaged ({reason}); keep a copy of it and of its -wal file, run `exoclaw data verify`, \
         and restore a backup",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// No leave to write.
    #[error(
        "the store {} cannot be written: it, its folder or its file system is read-only; make it writable for the \
         user that runs exoclaw",
        path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// A later program wrote it.
    #[error(
        "the store {} has schema version {found}, and this program knows versions up to {known}; run the exoclaw \
         that wrote it or a later one, or restore the backup that the upgrade left beside it \
         (the newest *-backup)",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest that this program knows.
        known: u32,
    },
    /// An earlier program wrote it, and nothing is to be changed now.
    #[error(
        "the store {} has schema version {found}, which is older than {known}; start the gateway of this version \
         once, which brings it up to date",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that this program works with.
        known: u32,
    },
    /// It could not be brought up to date.
    #[error(
        "the store {} could not be brought from schema version {from} to {to}: {reason}; it is unchanged since \
         version {from}: put right what is in the way and start again, or go on with the earlier exoclaw",
        path.display()
    )]
    Migration {
        /// The file.
        path: PathBuf,
        /// Its version.
        from: u32,
        /// The version that it should have got.
        to: u32,
        /// What went wrong.
        reason: String,
    },
}

impl OpenError {
    /// What SQLite's error means for the opening of `path`.
    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, reason: error.to_string() },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            _ => Self::File { path, reason: explain(error) },
        }
    }

    /// What the system's error means for the opening of `path`.
    pub(super) fn io(path: &Path, what: &str, error: &std::io::Error) -> Self {
        Self::File { path: path.to_owned(), reason: format!("{what}: {error}") }
    }
}

/// Why a piece of work on the database came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// What the product's rules say. The connection is well.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What SQLite says.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The work itself broke off. Nothing of it is there.
    #[error("a fault in exoclaw ended the transaction; nothing of it was stored")]
    Panicked,
}

pub(super) type SqlResult<T> = Result<T, SqlError>;

impl SqlError {
    /// As callers of the store get it.
    pub(super) fn into_store(self, path: &Path) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Panicked => return failing(path, self.to_string()).into(),
            Self::Sqlite(error) => error,
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Corrupt { what: "pages", reason: error.to_string() }
            }
            Some(_) => sickness(&error, path)
                .unwrap_or_else(|| failing(path, format!("a fault in exoclaw: {error}; please report it")))
                .into(),
            // A row that is not what it should be.
            None => StoreError::Corrupt { what: "a row", reason: error.to_string() },
        }
    }

    /// What this says of the storage, if it says something of it: a broken rule, or a fault of the
    /// program, is none of the disk's.
    pub(super) fn sickness(&self, path: &Path) -> Option<Sickness> {
        match self {
            Self::Sqlite(error) => sickness(error, path),
            Self::Store(_) | Self::Panicked => None,
        }
    }
}

/// Anything that has no kind of its own.
pub(super) fn failing(path: &Path, reason: impl Into<Arc<str>>) -> Sickness {
    Sickness::Failing { place: place(path), reason: reason.into() }
}

/// What an error of SQLite says to a person.
pub(super) fn explain(error: &rusqlite::Error) -> String {
    environment(error).unwrap_or_else(|| error.to_string())
}

fn place(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}

/// What an error of SQLite says of the storage.
pub(super) fn sickness(error: &rusqlite::Error, path: &Path) -> Option<Sickness> {
    let rusqlite::Error::SqliteFailure(code, _) = error else { return None };
    match (code.code, code.extended_code) {
        // The index of the log could not grow, which it does where there is no room.
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Some(Sickness::DiskFull { place: place(path) }),
        (ErrorCode::ReadOnly, ffi::SQLITE_READONLY_DBMOVED) => {
            Some(failing(path, "it was moved or removed while it was in use; put it back, or restart the gateway"))
        }
        (ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _) => Some(Sickness::ReadOnly { place: place(path) }),
        _ => environment(error).map(|reason| failing(path, reason)),
    }
}

/// What an error of SQLite says of the system under it, and what to do; absent where it is no
/// matter of the system.
fn environment(error: &rusqlite::Error) -> Option<String> {
    if error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE) {
        return Some("there is no room for the index of its log; make room on the disk".to_owned());
    }
    Some(match error.sqlite_error_code()? {
        ErrorCode::DiskFull => "the disk that holds it is full; make room".to_owned(),
        ErrorCode::SystemIoFailure => format!(
            "the disk reports an error ({error}); look into the system's log, and check the disk, its mount and its quota"
        ),
        ErrorCode::CannotOpen => format!(
            "a file of it cannot be opened ({error}); check that its folder is there, that this user may read and \
             write it, and that the limit of open files is not reached"
        ),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => format!(
            "it is damaged ({error}); stop the gateway, keep a copy, run `exoclaw data verify`, and restore a backup"
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            "another process holds it locked; close the tool that has it open for writing".to_owned()
        }
        ErrorCode::FileLockingProtocolFailed => {
            "its file system does not lock files as it should; keep the store on a local disk".to_owned()
        }
        ErrorCode::OutOfMemory => "there is not enough memory for it".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i32) -> SqlError {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn what_the_disk_does_is_told_apart_from_what_the_program_does() {
        let path = Path::new("/data/exoclaw.db");
        for full in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            assert!(matches!(of(full).sickness(path), Some(Sickness::DiskFull { .. })), "{full}");
        }
        for locked in [ffi::SQLITE_READONLY, ffi::SQLITE_READONLY_DIRECTORY, ffi::SQLITE_PERM] {
            assert!(matches!(of(locked).sickness(path), Some(Sickness::ReadOnly { .. })), "{locked}");
        }
        let failing = [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_BUSY,
            ffi::SQLITE_READONLY_DBMOVED,
        ];
        for code in failing {
            assert!(matches!(of(code).sickness(path), Some(Sickness::Failing { .. })), "{code}");
        }
        for fault in [ffi::SQLITE_CONSTRAINT, ffi::SQLITE_MISUSE, ffi::SQLITE_ERROR, ffi::SQLITE_SCHEMA] {
            assert_eq!(of(fault).sickness(path), None, "{fault}");
        }
        assert!(matches!(of(ffi::SQLITE_CORRUPT).into_store(path), StoreError::Corrupt { .. }));
        let row = SqlError::from(rusqlite::Error::IntegralValueOutOfRange(0, -1));
        assert!(matches!(row.into_store(path), StoreError::Corrupt { .. }));
    }
}
