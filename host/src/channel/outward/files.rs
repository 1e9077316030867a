//! Files that go out with a request, streamed past the channel that names them.

use std::io;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};

use crate::store::{DynStore, FileId, SessionKey};

/// What is read of a file at once, in bytes: two pieces are held at most, the one that is sent and the
/// one behind it.
const PIECE: usize = 256 << 10;

/// What knows the files that a request may name.
pub(in crate::channel) trait FileSource: Send + Sync {
    /// Begins to read a file.
    fn open<'a>(&'a self, file: &'a str) -> BoxFuture<'a, Result<OpenFile, FileSourceError>>;
}

/// A file that is about to be read.
pub(in crate::channel) struct OpenFile {
    /// Bytes that `body` has, neither more nor less.
    pub(in crate::channel) size: u64,
    pub(in crate::channel) body: BoxStream<'static, io::Result<Bytes>>,
}

/// Why a file cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::channel) enum FileSourceError {
    #[error("there is none such")]
    NotFound,
    #[error("it cannot be read: {0}")]
    Unavailable(String),
}

/// A request that belongs to no delivery has no files.
pub(in crate::channel) struct NoFiles;

impl FileSource for NoFiles {
    fn open<'a>(&'a self, _file: &'a str) -> BoxFuture<'a, Result<OpenFile, FileSourceError>> {
        Box::pin(std::future::ready(Err(FileSourceError::NotFound)))
    }
}

/// The files of one session.
pub(in crate::channel) struct SessionSource {
    pub(in crate::channel) store: DynStore,
    pub(in crate::channel) session: SessionKey,
}

impl FileSource for SessionSource {
    fn open<'a>(&'a self, file: &'a str) -> BoxFuture<'a, Result<OpenFile, FileSourceError>> {
        Box::pin(async move {
            let id: FileId = file.parse().map_err(|_| FileSourceError::NotFound)?;
            let found = self.store.file_stat(&self.session, &id).await;
            let found = found.map_err(|error| FileSourceError::Unavailable(error.to_string()))?;
            let size = found.ok_or(FileSourceError::NotFound)?.size;
            let reading = Reading { store: self.store.clone(), session: self.session.clone(), id, offset: 0, size };
            Ok(OpenFile { size, body: stream::try_unfold(reading, Reading::next).boxed() })
        })
    }
}

/// Where the reading of a file is.
struct Reading {
    store: DynStore,
    session: SessionKey,
    id: FileId,
    offset: u64,
    size: u64,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let left = self.size.saturating_sub(self.offset);
        if left == 0 {
            return Ok(None);
        }
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let read = self.store.file_read(&self.session, &self.id, self.offset, length).await;
        let piece = read.map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?;
        if piece.is_empty() {
            // Shorter than it was: whoever counts notices.
            return Ok(None);
        }
        self.offset += piece.len() as u64;
        Ok(Some((Bytes::from(piece), self)))
    }
}
