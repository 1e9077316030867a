//! Files of sessions, in pieces: a file that grows is never copied, and no piece is larger than
//! what a reader may hold.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{MemoryStore, State, done};
use crate::store::file::{
    FILE_OVERHEAD, FileAppend, FileId, FileOutcome, FileRecord, MAX_FILE_PIECE, NewFile, SessionFiles,
};
use crate::store::{SessionKey, StoreError};

/// Bytes of every piece but a file's last, which is still to be filled.
const PIECE: usize = 64 << 10;

/// The files of one session.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: HashMap<FileId, File>,
    /// What they count, all together.
    used: u64,
}

#[derive(Debug)]
struct File {
    record: FileRecord,
    content: Content,
}

/// Full pieces, and what does not fill one.
#[derive(Debug, Default)]
struct Content {
    pieces: Vec<Bytes>,
    last: Vec<u8>,
}

impl Content {
    fn append(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let (now, rest) = data.split_at(data.len().min(PIECE - self.last.len()));
            self.last.extend_from_slice(now);
            data = rest;
            if self.last.len() == PIECE {
                // Boxed, so that no room is kept for more.
                self.pieces.push(std::mem::take(&mut self.last).into_boxed_slice().into());
            }
        }
    }

    /// The pieces that hold `length` bytes from `offset` on, cut to these.
    fn slices(&self, offset: u64, length: usize) -> Vec<Bytes> {
        let mut left = length.min(MAX_FILE_PIECE);
        let mut slices = Vec::new();
        let Ok(offset) = usize::try_from(offset) else { return slices };
        let mut within = offset % PIECE;
        for index in offset / PIECE.. {
            let piece = match self.pieces.get(index) {
                Some(piece) => piece.clone(),
                None if index == self.pieces.len() => Bytes::copy_from_slice(&self.last),
                None => break,
            };
            let start = within.min(piece.len());
            let end = piece.len().min(start + left);
            left -= end - start;
            slices.push(piece.slice(start..end));
            within = 0;
            if left == 0 {
                break;
            }
        }
        slices
    }
}

impl Files {
    /// What they count against the limit on all files.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// How long a file is.
    pub(super) fn length(&self, id: &FileId) -> Option<u64> {
        self.files.get(id).map(|file| file.record.size)
    }

    /// All of them, with their pieces and where these begin.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&FileRecord, impl Iterator<Item = (u64, &[u8])>)> {
        self.files.values().map(|file| {
            let (full, last) = (file.content.pieces.iter().map(|piece| &piece[..]), &file.content.last[..]);
            let pieces = full.chain((!last.is_empty()).then_some(last)).enumerate();
            (&file.record, pieces.map(|(index, piece)| ((index * PIECE) as u64, piece)))
        })
    }
}

impl State {
    /// Whether so many bytes more fit, and takes them in where they do.
    fn take_room(&mut self, session: &SessionKey, bytes: u64, limits: super::MemoryLimits) -> FileOutcome {
        let Some(session) = self.sessions.get_mut(session) else { return FileOutcome::NotFound };
        if session.files.used.saturating_add(bytes) > limits.session_files.0 {
            FileOutcome::SessionFull
        } else if self.files_used.saturating_add(bytes) > limits.files.0 {
            FileOutcome::Full
        } else {
            session.files.used += bytes;
            self.files_used += bytes;
            FileOutcome::Done
        }
    }

    /// Makes a file, unless it is there, and whatever the limits.
    pub(super) fn put_file(&mut self, session: &SessionKey, record: FileRecord) {
        let Some(session) = self.sessions.get_mut(session) else { return };
        if let Entry::Vacant(room) = session.files.files.entry(record.id) {
            room.insert(File { record, content: Content::default() });
            session.files.used += FILE_OVERHEAD;
            self.files_used += FILE_OVERHEAD;
        }
    }

    /// Adds to a file, whatever the limits.
    pub(super) fn extend_file(&mut self, session: &SessionKey, id: &FileId, data: &[u8]) {
        let Some(session) = self.sessions.get_mut(session) else { return };
        if let Some(file) = session.files.files.get_mut(id) {
            file.content.append(data);
            let added = data.len() as u64;
            file.record.size += added;
            session.files.used += added;
            self.files_used += added;
        }
    }

    fn file(&self, session: &SessionKey, id: &FileId) -> Option<&File> {
        self.sessions.get(session)?.files.files.get(id)
    }
}

impl SessionFiles for MemoryStore {
    fn file_create(&self, file: NewFile) -> BoxFuture<'_, Result<FileOutcome, StoreError>> {
        let mut state = self.state();
        if !state.sessions.contains_key(&file.session) {
            return done(Err(StoreError::NoSession(file.session)));
        }
        let outcome = state.take_room(&file.session, FILE_OVERHEAD, self.limits);
        if let (FileOutcome::Done, Some(session)) = (outcome, state.sessions.get_mut(&file.session)) {
            let NewFile { id, name, mime_type, plugin, now, .. } = file;
            let record = FileRecord { id, name, mime_type, size: 0, plugin, created_at: now };
            session.files.files.insert(id, File { record, content: Content::default() });
        }
        done(Ok(outcome))
    }

    fn file_append(&self, append: FileAppend) -> BoxFuture<'_, Result<FileOutcome, StoreError>> {
        let FileAppend { session, id, data, limit } = append;
        let added = data.len() as u64;
        let mut state = self.state();
        let outcome = match state.file(&session, &id) {
            None => FileOutcome::NotFound,
            Some(file) if file.record.size.saturating_add(added) > limit => FileOutcome::TooLarge,
            Some(_) => state.take_room(&session, added, self.limits),
        };
        let session = state.sessions.get_mut(&session).filter(|_| outcome == FileOutcome::Done);
        if let Some(file) = session.and_then(|session| session.files.files.get_mut(&id)) {
            file.content.append(&data);
            file.record.size += added;
        }
        done(Ok(outcome))
    }

    fn file_stat<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
    ) -> BoxFuture<'a, Result<Option<FileRecord>, StoreError>> {
        done(Ok(self.state().file(session, id).map(|file| file.record.clone())))
    }

    fn file_read<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
        offset: u64,
        length: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        let slices = self.state().file(session, id).map(|file| file.content.slices(offset, length));
        // Joined when nobody waits for the lock.
        done(Ok(slices.map(|slices| slices.concat())))
    }

    fn file_remove<'a>(&'a self, session: &'a SessionKey, ids: &'a [FileId]) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut state = self.state();
        let mut freed = 0;
        if let Some(session) = state.sessions.get_mut(session) {
            for file in ids.iter().filter_map(|id| session.files.files.remove(id)) {
                freed += file.record.size + FILE_OVERHEAD;
            }
            session.files.used -= freed;
        }
        state.files_used -= freed;
        done(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_read_is_what_was_appended(
            lengths in prop::collection::vec(0_usize..3 * PIECE, 0..6),
            offset in 0_u64..12 * PIECE as u64,
            length in 0_usize..4 * PIECE,
        ) {
            let (mut content, mut whole) = (Content::default(), Vec::new());
            for (index, length) in lengths.iter().enumerate() {
                let data: Vec<u8> = (0..*length).map(|byte| (byte.wrapping_mul(31) + index) as u8).collect();
                content.append(&data);
                whole.extend(data);
            }
            let start = whole.len().min(offset as usize);
            let expected = &whole[start..whole.len().min(start + length)];
            prop_assert!(content.slices(offset, length).concat() == expected);
            prop_assert!(content.last.len() < PIECE && content.pieces.iter().all(|piece| piece.len() == PIECE));
        }
    }
}
