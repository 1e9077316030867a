//! Files of a session: what users sent and what tools made.

use std::fmt;
use std::str::FromStr;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::id::ALPHABET;
use super::{SessionKey, StoreError, Timestamp};
use crate::config::PluginName;
use crate::text;

/// The longest name of a file, in bytes.
pub const MAX_FILE_NAME: usize = 255;

/// The most that is read of a file at once, in bytes.
pub const MAX_FILE_PIECE: usize = 1 << 20;

/// What a file counts besides its content against the limits on a session's files and on all, in
/// bytes, so that a million empty ones are not free.
pub const FILE_OVERHEAD: u64 = 1 << 10;

/// The files of sessions, as the store keeps them. A part of [`super::Store`].
///
/// A file belongs to one session: every operation names it, and finds no file of another. It goes
/// with its session. Besides the limit on one file, an engine is made with limits on the files of
/// one session and on all.
pub trait SessionFiles: Send + Sync + 'static {
    /// Makes an empty file.
    ///
    /// # Errors
    /// [`StoreError::NoSession`].
    fn file_create(&self, file: NewFile) -> BoxFuture<'_, Result<FileOutcome, StoreError>>;

    /// Adds to the end of a file. Either all of `data` is added, or nothing.
    fn file_append(&self, append: FileAppend) -> BoxFuture<'_, Result<FileOutcome, StoreError>>;

    /// What is known of a file.
    fn file_stat<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
    ) -> BoxFuture<'a, Result<Option<FileRecord>, StoreError>>;

    /// Up to `length` bytes from `offset` on, at most [`MAX_FILE_PIECE`]; fewer only at the end.
    fn file_read<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
        offset: u64,
        length: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// Removes files, as far as there are any.
    fn file_remove<'a>(&'a self, session: &'a SessionKey, ids: &'a [FileId]) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Names a file: 26 characters of `[a-z0-9]`, 128 bits of chance, so that nobody guesses one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId([u8; Self::LENGTH]);

/// A text that is no file's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a file's id has 26 characters of a-z and 0-9")]
pub struct FileIdError;

impl FileId {
    const LENGTH: usize = 26;

    /// An id of this chance, which must be unguessable.
    #[must_use]
    pub fn new(chance: u128) -> Self {
        let mut id = [0; Self::LENGTH];
        for (index, byte) in id.iter_mut().enumerate() {
            *byte = ALPHABET[(chance >> (5 * index) & 31) as usize];
        }
        Self(id)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for FileId {
    type Err = FileIdError;

    fn from_str(text: &str) -> Result<Self, FileIdError> {
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| FileIdError)?;
        if bytes.iter().all(|byte| ALPHABET.contains(byte)) { Ok(Self(bytes)) } else { Err(FileIdError) }
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A file's name, as a person is shown it and may save it: 1 to [`MAX_FILE_NAME`] bytes, no
/// separator of folders, nothing that makes it read otherwise than it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(Box<str>);

/// A text that is no file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a file's name has 1 to {MAX_FILE_NAME} bytes without `/`, `\\` and control characters, and is not `.` or `..`"
)]
pub struct FileNameError;

impl FileName {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, FileNameError> {
        let bad = |character| matches!(character, '/' | '\\') || text::is_deceptive(character);
        if text.trim().is_empty() || text.len() > MAX_FILE_NAME || matches!(text, "." | "..") || text.contains(bad) {
            return Err(FileNameError);
        }
        Ok(Self(text.into()))
    }
}

/// A media type without parameters: `text/csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MimeType(Box<str>);

/// A text that is no media type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a media type has the form `type/subtype`, such as `text/csv`, without parameters")]
pub struct MimeTypeError;

impl MimeType {
    /// The type's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MimeType {
    type Err = MimeTypeError;

    fn from_str(text: &str) -> Result<Self, MimeTypeError> {
        // RFC 6838, section 4.2: restricted names have at most 127 of these characters.
        let is_name = |name: &str| {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
            (1..=127).contains(&name.len()) && name.bytes().all(valid)
        };
        match text.split_once('/') {
            Some((kind, subtype)) if is_name(kind) && is_name(subtype) => Ok(Self(text.into())),
            _ => Err(MimeTypeError),
        }
    }
}

/// A file to be made.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// Under which it is known from now on.
    pub id: FileId,
    /// Whose it is.
    pub session: SessionKey,
    /// The plugin that makes it.
    pub plugin: PluginName,
    /// For people.
    pub name: FileName,
    /// What it holds.
    pub mime_type: MimeType,
    /// When.
    pub now: Timestamp,
}

/// An addition to a file.
#[derive(Debug, Clone)]
pub struct FileAppend {
    /// Whose file.
    pub session: SessionKey,
    /// Which.
    pub id: FileId,
    /// What is added.
    pub data: Vec<u8>,
    /// What the file may hold then, in bytes.
    pub limit: u64,
}

/// What became of a change to a file. But for the first, nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOutcome {
    /// It is made.
    Done,
    /// The session has no such file.
    NotFound,
    /// The file would be too large.
    TooLarge,
    /// The files of the session would be too large, all together.
    SessionFull,
    /// All files of all sessions would be too large.
    Full,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// Its id.
    pub id: FileId,
    /// For people.
    pub name: FileName,
    /// What it holds.
    pub mime_type: MimeType,
    /// Bytes.
    pub size: u64,
    /// The plugin that made it.
    pub plugin: PluginName,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A file, as a tool's answer names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FileRef {
    /// Under which the session's tools find it.
    pub id: String,
    /// For people.
    pub name: String,
    /// `text/csv`.
    pub mime_type: String,
    /// Bytes.
    pub size: u64,
}

impl From<FileRecord> for FileRef {
    fn from(file: FileRecord) -> Self {
        Self { id: file.id.to_string(), name: file.name.0.into(), mime_type: file.mime_type.0.into(), size: file.size }
    }
}

/// As a model is told of it.
impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[file {}, {}, {} bytes, id {}]", self.name, self.mime_type, self.size, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_differ_by_every_bit() {
        let mut seen = std::collections::HashSet::new();
        for bit in 0..128 {
            let id = FileId::new(1 << bit);
            assert_eq!(id.as_str().parse(), Ok(id));
            assert!(seen.insert(id), "bit {bit}");
        }
        for bad in ["", "ABCDEFGHJKMNPQRSTVWXYZ2345", "0123456789abcdefghjkmnpq/s"] {
            assert_eq!(bad.parse::<FileId>(), Err(FileIdError), "{bad}");
        }
    }

    #[test]
    fn names_lead_nowhere_and_hide_nothing() {
        for good in ["report.csv", "Übersicht 2026.pdf", "..hidden", "a b"] {
            assert!(good.parse::<FileName>().is_ok(), "{good}");
        }
        let long = "x".repeat(256);
        for bad in ["", " ", ".", "..", "a/b", "a\\b", "a\nb", "a\0", "invoice\u{202e}fdp.exe", &long] {
            assert_eq!(bad.parse::<FileName>(), Err(FileNameError), "{bad:?}");
        }
    }

    #[test]
    fn media_types_have_two_names_and_no_parameters() {
        assert!("image/svg+xml".parse::<MimeType>().is_ok());
        for bad in ["", "text", "text/", "/csv", "text/plain; charset=utf-8", "text/a/b", "text/\r\nx"] {
            assert_eq!(bad.parse::<MimeType>(), Err(MimeTypeError), "{bad:?}");
        }
    }
}
