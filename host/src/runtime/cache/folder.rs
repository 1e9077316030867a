//! A folder that is its owner's alone, with files that are there whole or not at all.
//!
//! The folder is opened and checked once. All else goes by its descriptor, so that nothing that
//! happens to its path afterwards leads anywhere else.

use std::borrow::Cow;
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use super::error::CacheError;

/// How the names of files begin that are still being written.
const TEMPORARY: &str = ".new-";

/// What of a mode is the group's and everybody's.
const OTHERS: u32 = 0o077;

pub(super) struct Folder {
    path: PathBuf,
    handle: File,
}

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    /// In bytes.
    pub(super) size: u64,
    /// When it was last written or used, in seconds since 1970.
    pub(super) modified: i64,
}

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// There is none.
    Absent,
    /// What is there is none of ours.
    Unfit(Cow<'static, str>),
    /// The system could not, this time.
    Io(io::Error),
}

impl Folder {
    /// Makes the folder where there is none, and refuses one that others could write to.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        let failed = |error| CacheError::Folder { path: path.to_owned(), error };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        // Before what kept it from being made: a broken link is told as the link that it is.
        let found = std::fs::symlink_metadata(path).or_else(|error| made.and(Err(error))).map_err(failed)?;
        if !found.is_dir() {
            let found = if found.is_symlink() { "a symbolic link" } else { "a file" };
            return Err(CacheError::NotAFolder { path: path.to_owned(), found });
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?);
        let metadata = handle.metadata().map_err(failed)?;
        let (owner, user, mode) = (metadata.uid(), user(), metadata.mode() & 0o7777);
        if owner != user {
            return Err(CacheError::Owner { path: path.to_owned(), owner, user });
        }
        if mode & OTHERS != 0 {
            return Err(CacheError::Open { path: path.to_owned(), mode });
        }
        Ok(Self { path: path.to_owned(), handle })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file of at most `limit` bytes, read to its end.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        // Without O_NONBLOCK, a pipe in its place would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Err(ReadError::Absent),
            Err(Errno::LOOP) => return Err(ReadError::Unfit("it is a symbolic link".into())),
            Err(Errno::NXIO) => return Err(ReadError::Unfit("it is not a file".into())),
            Err(Errno::ACCESS | Errno::PERM) => return Err(ReadError::Unfit("its owner may not read it".into())),
            Err(error) => return Err(ReadError::Io(error.into())),
        };
        // Asked of the open file, so that what is read is what was checked.
        let metadata = file.metadata().map_err(ReadError::Io)?;
        fit(&metadata, limit).map_err(|why| ReadError::Unfit(why.into()))?;
        let mut bytes = Vec::new();
        let room = usize::try_from(metadata.len()).unwrap_or(usize::MAX).saturating_add(1);
        bytes.try_reserve_exact(room).map_err(|error| ReadError::Io(io::Error::other(error)))?;
        file.take(limit + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
        if bytes.len() as u64 > limit { Err(ReadError::Unfit(TOO_LONG.into())) } else { Ok(bytes) }
    }

    /// Puts a file (mode 0600) there, with these parts one after the other. Where there is one of
    /// its name already, that stays; where there is something else, it is an error.
    pub(super) fn publish(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let mut new = Temporary::create(self)?;
        for part in parts {
            new.file.write_all(part)?;
        }
        // Before it has its name: after a crash, what has the name is complete.
        new.file.sync_all()?;
        // Unlike a rename, a link never takes the place of what is there.
        match rustix::fs::linkat(&self.handle, &new.name, &self.handle, name, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::EXIST) if self.is_file(name) => {}
            Err(error) => return Err(error.into()),
        }
        drop(new);
        // Some file systems cannot. Then a crash may lose the file, which costs a compilation.
        let _ = rustix::fs::fsync(&self.handle);
        Ok(())
    }

    fn is_file(&self, name: &str) -> bool {
        rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
    }

    /// Removes a file, or an empty folder in its place. It is no error if there is none.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let removed = match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            // Linux says the first of a folder, POSIX and macOS the second.
            Err(Errno::ISDIR | Errno::PERM) => rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR),
            other => other,
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the time at which a file was last used to now.
    pub(super) fn touch(&self, name: &str) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        Ok(rustix::fs::utimensat(&self.handle, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Its regular files with names of UTF-8, in no order.
    pub(super) fn list(&self) -> io::Result<Vec<Found>> {
        let mut list = Vec::new();
        for item in Dir::read_from(&self.handle)? {
            let item = item?;
            let Ok(name) = item.file_name().to_str() else { continue };
            // What is gone meanwhile is not there.
            let Ok(stat) = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(stat.st_mode).is_file() {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                list.push(Found { name: name.to_owned(), size, modified: stat.st_mtime });
            }
        }
        Ok(list)
    }

    /// Whether a file of this name is one that somebody still writes.
    pub(super) fn is_temporary(name: &str) -> bool {
        name.starts_with(TEMPORARY)
    }
}

/// A file that is still being written; its name goes when this does.
struct Temporary<'a> {
    folder: &'a Folder,
    name: String,
    file: File,
}

impl<'a> Temporary<'a> {
    fn create(folder: &'a Folder) -> io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("{TEMPORARY}{}", HEXLOWER.encode(&random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder.handle, &name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { folder, name, file: File::from(file) })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // What stays behind is swept up by a later start.
        let _ = self.folder.remove(&self.name);
    }
}

const TOO_LONG: &str = "it is too long";

/// Whether an open file can be one that [`Folder::publish`] made.
fn fit(metadata: &Metadata, limit: u64) -> Result<(), &'static str> {
    match () {
        () if !metadata.is_file() => Err("it is not a file"),
        () if metadata.uid() != user() => Err("it belongs to another user"),
        () if metadata.mode() & OTHERS != 0 => Err("it is open to others"),
        () if metadata.len() > limit => Err(TOO_LONG),
        () => Ok(()),
    }
}

/// Who we are, as far as files are concerned.
fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}
