//! Opening the file: where it is, who may read it, and how SQLite is to treat it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::Durability;
use super::error::OpenError;
use super::migrate::{self, Found, Migration};

/// How long a connection waits for another process that holds the file, such as a tool that writes.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 128;

/// Pages of the log after which a commit moves them into the file: 4 MiB, SQLite's own choice. What is
/// written while nothing else goes on is moved by the writer when it is idle.
const CHECKPOINT_PAGES: u32 = 1_000;

/// What is left of the log's file after a large transaction, in bytes.
const LOG_BYTES: u32 = 16 << 20;

/// Pages kept in memory, in KiB, by the writer and by each reader.
const WRITER_CACHE: i32 = 8 << 10;
const READER_CACHE: i32 = 2 << 10;

/// The file of a store in use: which one it is, even if its name comes to mean another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    #[cfg(unix)]
    files: Vec<(PathBuf, u64, u64)>,
}

impl Identity {
    /// Of a store that is open.
    pub(super) fn of(path: &Path) -> Self {
        #[cfg(unix)]
        {
            let files = [path.to_owned(), beside(path, "-wal")];
            let files = files.into_iter().filter_map(|path| inode(&path).map(|(device, inode)| (path, device, inode)));
            Self { files: files.collect() }
        }
        #[cfg(not(unix))]
        {
            let _ = path;
            Self {}
        }
    }

    /// The file that is no more where it was. SQLite would go on writing to it, and all would be lost with
    /// the process.
    pub(super) fn missing(&self) -> Option<&Path> {
        #[cfg(unix)]
        {
            let gone = self.files.iter().find(|(path, device, node)| inode(path) != Some((*device, *node)));
            gone.map(|(path, ..)| path.as_path())
        }
        #[cfg(not(unix))]
        None
    }
}

#[cfg(unix)]
fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// The file that belongs to a store under this ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Where a store really is: one file has one lock, by whichever links it is reached. An absolute path is
/// also never taken for a URI.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (fs::canonicalize(&path), path.parent(), path.file_name()) {
        (Ok(path), ..) => Ok(path),
        (Err(error), Some(folder), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(fs::canonicalize(folder)?.join(name))
        }
        (Err(error), ..) => Err(error),
    }
}

/// Makes the store's folder where there is none, for its owner alone.
pub(super) fn make_folder(path: &Path) -> Result<(), OpenError> {
    let absolute = std::path::absolute(path).map_err(|error| OpenError::io(path, "its path", &error))?;
    let Some(folder) = absolute.parent() else { return Ok(()) };
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.create(folder).and_then(|()| folder.ancestors().skip(1).take(1).try_for_each(sync_folder));
    made.map_err(|error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            OpenError::ReadOnly { path: path.to_owned() }
        }
        _ => OpenError::io(path, "its folder cannot be made", &error),
    })
}

/// Makes what was created, renamed or removed in a folder outlive the loss of power.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        File::open(folder)?.sync_all()
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(())
    }
}

/// Makes a file that its owner alone may read; its log gets the same mode from SQLite. Says whether
/// there was none. One that is there must be writable.
fn make_file(path: &Path) -> io::Result<bool> {
    let mut how = OpenOptions::new();
    how.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
    match how.open(path) {
        Ok(file) => file.sync_all().map(|()| true),
        // Whether it may be written is asked before SQLite is: that would open it for reading instead, and leave a
        // log beside it that nobody may write either. No connection of this process has it open yet, whose locks
        // the closing would take.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().write(true).open(path).map(|_| false)
        }
        Err(error) => Err(error),
    }
}

/// Opens the connection that writes, on a store that this process owns: made where there is none, and brought
/// up to date.
pub(super) fn writer(path: &Path, durability: Durability, migrations: &[Migration]) -> Result<Connection, OpenError> {
    let made = make_file(path).map_err(|error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            OpenError::ReadOnly { path: path.to_owned() }
        }
        _ => OpenError::io(path, "it cannot be opened", &error),
    })?;
    let sql = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sql)?;
    // Before anything is changed: it may be no store.
    let found = migrate::find(&connection, path, migrations)?;
    whole_pages(&connection, path)?;
    if connection.is_readonly("main").map_err(sql)? {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    if found == Found::New {
        // Only while there is no page.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(sql)?;
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(sql)?;
    if !mode.eq_ignore_ascii_case("wal") {
        let reason = format!(
            "its file system cannot hold a write-ahead log (SQLite stays in mode `{mode}`); keep it on a local disk"
        );
        return Err(OpenError::File { path: path.to_owned(), reason });
    }
    set_up_writer(&connection, durability).map_err(sql)?;
    migrate::migrate(&connection, path, found, migrations)?;
    if made {
        let synced = path.parent().map_or(Ok(()), sync_folder);
        synced.map_err(|error| OpenError::io(path, "its folder cannot be synced", &error))?;
    }
    Ok(connection)
}

fn set_up_writer(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Power => "FULL",
        Durability::Process => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // On macOS a sync reaches the disk's own cache only; this one reaches the disk. No other system has it.
    let full = durability == Durability::Power;
    connection.pragma_update(None, "fullfsync", full)?;
    connection.pragma_update(None, "checkpoint_fullfsync", full)?;
    // What is deleted is overwritten: a deleted conversation is not in the file any more.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE)
}

/// Looks whether the file ends with a whole page. SQLite refuses one that lacks pages, but fills up a last one of
/// which a part is missing, with zeros. While there is a log, the end may lie there.
fn whole_pages(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let logged = ["-wal", "-journal"].iter().any(|log| fs::metadata(beside(path, log)).is_ok_and(|log| log.len() > 0));
    if logged {
        return Ok(());
    }
    let page = connection.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0));
    let page = u64::from(page.map_err(|error| OpenError::sqlite(path, &error))?);
    let length = fs::metadata(path).map_err(|error| OpenError::io(path, "its length", &error))?.len();
    if length.is_multiple_of(page) {
        return Ok(());
    }
    let reason = format!("it ends after {length} bytes, in the middle of a page of {page}");
    Err(OpenError::Damaged { path: path.to_owned(), reason })
}

/// Opens a connection that reads, beside the one that writes. It may write in SQLite's sense, so that the last
/// connection that closes clears the log away, but no statement can.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE)?;
    Ok(connection)
}

/// Opens a store that may be in use, for looking only. No lock is taken and nothing is changed.
pub(super) fn onlooker(path: &Path) -> Result<Connection, OpenError> {
    if !path.is_file() {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let sql = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sql)?;
    // Reads the header: another file has no pages that could be whole.
    connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0)).map_err(sql)?;
    whole_pages(&connection, path)?;
    Ok(connection)
}

fn open(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // Each connection is used by one thread at a time, which Rust sees to.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "foreign_keys", true)?;
    // No conversation is to be found in the system's folder for temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A map of the file would save a copy a page, and turn an error of the disk into the end of the process.
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))?;
    Ok(connection)
}
