//! Where a folder cannot be known to be its owner's alone, there is none.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use super::error::CacheError;

/// Never made.
pub(super) enum Folder {}

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) modified: i64,
}

/// Why a file was not read.
#[allow(dead_code, reason = "without a folder no file is read")]
#[derive(Debug)]
pub(super) enum ReadError {
    Absent,
    Unfit(Cow<'static, str>),
    Io(io::Error),
}

impl Folder {
    pub(super) fn open(_: &Path) -> Result<Self, CacheError> {
        Err(CacheError::Platform)
    }

    pub(super) fn path(&self) -> &Path {
        match *self {}
    }

    pub(super) fn read(&self, _: &str, _: u64) -> Result<Vec<u8>, ReadError> {
        match *self {}
    }

    pub(super) fn publish(&self, _: &str, _: &[&[u8]]) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn remove(&self, _: &str) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn touch(&self, _: &str) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn list(&self) -> io::Result<Vec<Found>> {
        match *self {}
    }

    pub(super) fn is_temporary(_: &str) -> bool {
        false
    }
}
