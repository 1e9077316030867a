//! `files`: what users sent and what tools made, held by the host and read in pieces.
//!
//! The call that makes a file may add to it, and nobody else, ever: a file that was named in an
//! answer stays what it was.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Access;
use crate::runtime::bindings::files::{File, FileError, Host};
use crate::runtime::error::CallError;
use crate::runtime::grants::Reach;
use crate::runtime::output::cut;
use crate::runtime::state::{Caller, State};
use crate::store::{
    DynStore, FileAppend, FileId, FileOutcome, FileRecord, FileRef, MAX_FILE_PIECE, NewFile, SessionKey, Timestamp,
    ToolContent,
};

use super::in_time;

/// The files that a call has made. All clones are one list.
#[derive(Debug, Clone, Default)]
pub(in crate::runtime) struct Made(Arc<Mutex<Vec<FileId>>>);

impl Made {
    fn ids(&self) -> MutexGuard<'_, Vec<FileId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes them: the call failed, and nobody knows of them. Those of a call that was dropped
    /// stay until their session goes.
    pub(in crate::runtime) async fn discard(&self, store: &DynStore, session: &SessionKey) {
        let ids = std::mem::take(&mut *self.ids());
        if ids.is_empty() {
            return;
        }
        if let Err(error) = in_time(store.file_remove(session, &ids)).await {
            tracing::warn!(%session, %error, "the files of a call that failed stay until their session goes");
        }
    }
}

/// A file that a tool's answer names: one of the session's, by a plugin that may see them.
pub(in crate::runtime) async fn named(reach: &Reach, session: &SessionKey, id: &str) -> Result<ToolContent, CallError> {
    let found = match (reach.grants.files, id.parse()) {
        (Access::Read | Access::Write, Ok(id)) => {
            in_time(reach.services.store.file_stat(session, &id)).await.map_err(CallError::Host)?
        }
        (Access::None, _) | (_, Err(_)) => None,
    };
    found.map(|file| ToolContent::File(file.into())).ok_or_else(|| missing(id))
}

/// What an answer that names a file which is not there gets.
pub(in crate::runtime) fn missing(id: &str) -> CallError {
    CallError::InvalidResult(format!("there is no file `{}`", cut(id, 64).escape_debug()))
}

fn unavailable(why: impl ToString) -> FileError {
    FileError::Unavailable(why.to_string())
}

impl State {
    /// For whom files are reached, if they may be.
    fn files_of(&self, access: Access) -> Result<&Caller, FileError> {
        match self.reach.grants.files {
            Access::None => return Err(unavailable("`files` is not granted")),
            Access::Read if access == Access::Write => {
                return Err(unavailable("`files` is granted to read; making one takes `files = \"write\"`"));
            }
            Access::Read | Access::Write => {}
        }
        self.caller.as_ref().ok_or_else(|| unavailable(super::NO_CALLER))
    }
}

fn file_id(id: &str) -> Result<FileId, FileError> {
    id.parse().map_err(|_| FileError::NotFound)
}

fn outcome(outcome: FileOutcome) -> Result<(), FileError> {
    match outcome {
        FileOutcome::Done => Ok(()),
        FileOutcome::NotFound => Err(FileError::NotFound),
        FileOutcome::TooLarge => Err(FileError::TooLarge),
        FileOutcome::SessionFull => {
            Err(unavailable("the files of this session take all that `[limits] session_files` allows"))
        }
        FileOutcome::Full => Err(unavailable("the files of all sessions take all that `[limits] files` allows")),
    }
}

impl From<FileRecord> for File {
    fn from(file: FileRecord) -> Self {
        let FileRef { id, name, mime_type, size } = file.into();
        Self { id, name, mime_type, size }
    }
}

impl Host for State {
    async fn stat(&mut self, id: String) -> Result<File, FileError> {
        let session = &self.files_of(Access::Read)?.session;
        let id = file_id(&id)?;
        let file = in_time(self.reach.services.store.file_stat(session, &id)).await.map_err(unavailable)?;
        file.map(File::from).ok_or(FileError::NotFound)
    }

    async fn read(&mut self, id: String, offset: u64, length: u32) -> Result<Vec<u8>, FileError> {
        let session = &self.files_of(Access::Read)?.session;
        let id = file_id(&id)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(MAX_FILE_PIECE);
        let piece = self.reach.services.store.file_read(session, &id, offset, length);
        in_time(piece).await.map_err(unavailable)?.ok_or(FileError::NotFound)
    }

    async fn create(&mut self, name: String, mime_type: String) -> Result<String, FileError> {
        let caller = self.files_of(Access::Write)?;
        let mut chance = [0; 16];
        getrandom::fill(&mut chance).map_err(|error| unavailable(format!("the system gives no chance: {error}")))?;
        let file = NewFile {
            id: FileId::new(u128::from_le_bytes(chance)),
            session: caller.session.clone(),
            plugin: self.reach.plugin.clone(),
            name: name.parse().map_err(unavailable)?,
            mime_type: mime_type.parse().map_err(unavailable)?,
            now: Timestamp::now(),
        };
        let (id, made) = (file.id, caller.files.clone());
        // Noted first, so that it is found where the call ends in between.
        made.ids().push(id);
        let created = in_time(self.reach.services.store.file_create(file)).await.map_err(unavailable).and_then(outcome);
        if created.is_err() {
            made.ids().pop();
        }
        created.map(|()| id.to_string())
    }

    async fn append(&mut self, id: String, data: Vec<u8>) -> Result<(), FileError> {
        let caller = self.files_of(Access::Write)?;
        let (id, session) = (file_id(&id)?, caller.session.clone());
        if !caller.files.ids().contains(&id) {
            let known = in_time(self.reach.services.store.file_stat(&session, &id)).await.map_err(unavailable)?;
            return Err(match known {
                Some(_) => unavailable("only the call that made a file adds to it"),
                None => FileError::NotFound,
            });
        }
        let append = FileAppend { session, id, data, limit: self.reach.limits.file.0 };
        in_time(self.reach.services.store.file_append(append)).await.map_err(unavailable).and_then(outcome)
    }
}
