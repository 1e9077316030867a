//! A file that is whole, or not there: written under another name beside its own, which it gets at the end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// What becomes of a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and the new one is refused.
    Keep,
    /// The new one takes its name.
    Replace,
}

impl Existing {
    pub(super) fn with_force(force: bool) -> Self {
        if force { Self::Replace } else { Self::Keep }
    }
}

/// Why a file did not get its place.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// Something has its name.
    #[error("{} is there already; choose another name, or overwrite it with --force", .0.display())]
    Taken(PathBuf),
    /// It cannot be written.
    #[error("{} cannot be written", path.display())]
    Io {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// It is a store that has a log, which would be taken for a part of what comes in its place.
    #[error("{} is a store in use, or one that was not closed; choose another name", .0.display())]
    Store(PathBuf),
}

/// A file that gets its name when it is whole. It goes where it is dropped before.
#[derive(Debug)]
pub(super) struct Placed {
    to: PathBuf,
    partial: PathBuf,
    existing: Existing,
}

impl Placed {
    /// Sees to it that the name is free, or may be taken, before the work begins.
    pub(super) fn new(to: &Path, existing: Existing) -> Result<Self, PlaceError> {
        let taken = fs::symlink_metadata(to).is_ok();
        if taken && (existing == Existing::Keep || to.is_dir()) {
            return Err(PlaceError::Taken(to.to_owned()));
        }
        let beside = |ending: &str| {
            let mut name = to.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        if fs::metadata(beside("-wal")).is_ok_and(|log| log.len() > 0) {
            return Err(PlaceError::Store(to.to_owned()));
        }
        let partial = beside(".partial");
        let placed = Self { to: to.to_owned(), partial, existing };
        // Left by a run that was killed.
        let _ = fs::remove_file(&placed.partial);
        Ok(placed)
    }

    /// Where it is written.
    pub(super) fn partial(&self) -> &Path {
        &self.partial
    }

    /// The name that it gets.
    pub(super) fn to(&self) -> &Path {
        &self.to
    }

    /// The file, which nobody but its owner may read.
    pub(super) fn create(&self) -> Result<File, PlaceError> {
        let mut how = OpenOptions::new();
        how.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
        how.open(&self.partial).map_err(|error| self.failed(error))
    }

    /// Gives the file its name, once it is on the disk.
    pub(super) fn finish(self) -> Result<(), PlaceError> {
        self.name().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PlaceError::Taken(self.to.clone()),
            _ => self.failed(error),
        })
    }

    fn name(&self) -> io::Result<()> {
        File::open(&self.partial)?.sync_all()?;
        match self.existing {
            Existing::Replace => fs::rename(&self.partial, &self.to)?,
            // Fails where someone took the name meanwhile, as a renaming would not.
            Existing::Keep => match fs::hard_link(&self.partial, &self.to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                // A file system without links, such as a stick's.
                Err(_) if fs::symlink_metadata(&self.to).is_err() => fs::rename(&self.partial, &self.to)?,
                Err(error) => return Err(error),
            },
        }
        sync_folder(&self.to)
    }

    pub(super) fn failed(&self, error: io::Error) -> PlaceError {
        PlaceError::Io { path: self.to.clone(), error }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.partial);
    }
}

/// Has the file's name outlive a loss of power.
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn write(to: &Path, text: &str, existing: Existing) -> Result<(), PlaceError> {
        let placed = Placed::new(to, existing)?;
        placed.create()?.write_all(text.as_bytes()).map_err(|error| placed.failed(error))?;
        placed.finish()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_is_there_stays_unless_it_may_be_overwritten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("out");
        write(&path, "one", Existing::Keep).expect("a free name");
        let refused = write(&path, "two", Existing::Keep).expect_err("taken").to_string();
        assert!(refused.contains("there already") && refused.contains("--force"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "one");
        write(&path, "two", Existing::Replace).expect("it may");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "two");
        assert_eq!(names(folder.path()), ["out"]);
        assert!(write(folder.path(), "x", Existing::Replace).is_err(), "a folder is never overwritten");
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("out");
        let placed = Placed::new(&path, Existing::Keep).expect("a free name");
        placed.create().expect("a writable folder");
        assert_eq!(names(folder.path()), ["out.partial"]);
        drop(placed);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn nothing_takes_the_place_of_a_store_with_a_log() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("other.db");
        write(&path, "a store", Existing::Keep).expect("a free name");
        fs::write(folder.path().join("other.db-wal"), "").expect("a writable folder");
        write(&path, "another", Existing::Replace).expect("an empty log is none");
        fs::write(folder.path().join("other.db-wal"), "a log").expect("a writable folder");
        assert!(matches!(write(&path, "a third", Existing::Replace), Err(PlaceError::Store(_))));
        assert_eq!(fs::read_to_string(&path).expect("a file"), "another");
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_not_taken_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("out");
        let placed = Placed::new(&path, Existing::Keep).expect("a free name");
        placed.create().expect("a writable folder");
        fs::write(&path, "another's").expect("a writable folder");
        assert!(matches!(placed.finish(), Err(PlaceError::Taken(_))));
        assert_eq!(fs::read_to_string(&path).expect("a file"), "another's");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_but_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("out");
        write(&path, "private", Existing::Keep).expect("a free name");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    }
}
