//! Files of sessions, as rows: what is known of a file, and its content in pieces, so that a range is read
//! without the rest. What files count is kept by triggers of the schema, so that it is right when a session
//! takes its files with it.

use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::cells::{corrupt, integer, number, parse};
use super::error::SqlResult;
use super::sessions::existing;
use crate::store::{
    FILE_OVERHEAD, FileAppend, FileId, FileOutcome, FileRecord, MAX_FILE_PIECE, NewFile, SessionFiles, SessionKey,
    StoreError, Timestamp,
};

/// Bytes of the largest piece.
const PIECE: usize = 256 << 10;

/// Bytes of the smallest piece but a file's last: up to here what is added is joined to it. It is a bound on
/// what an addition writes anew, and on the pieces of a file that grows by single bytes.
const SMALL: usize = 32 << 10;

/// What all files may count.
#[derive(Debug, Clone, Copy)]
struct Limits {
    files: u64,
    session_files: u64,
}

/// A file that is there.
pub(super) struct File {
    pub(super) id: i64,
    pub(super) session: i64,
    pub(super) size: u64,
}

impl File {
    pub(super) fn find(connection: &Connection, session: &SessionKey, id: &str) -> SqlResult<Option<Self>> {
        let mut statement = connection.prepare_cached(
            "SELECT files.id, files.session, files.size FROM sessions JOIN files ON files.session = sessions.id
             WHERE sessions.key = ?1 AND files.file = ?2",
        )?;
        let found = statement.query_row([session.as_str(), id], |row| {
            Ok(Self { id: row.get(0)?, session: row.get(1)?, size: number(row.get(2)?) })
        });
        Ok(found.optional()?)
    }

    /// Adds to its end, whatever the limits.
    pub(super) fn extend(&self, connection: &Connection, mut data: &[u8]) -> SqlResult<()> {
        let mut last = connection.prepare_cached(
            "SELECT id, start, length(data) FROM file_pieces WHERE file = ?1 ORDER BY start DESC LIMIT 1",
        )?;
        let last = last
            .query_row([self.id], |row| Ok((row.get::<_, i64>(0)?, number(row.get(1)?), number(row.get(2)?))))
            .optional()?;
        let mut end = self.size;
        if let Some((piece, start, length)) = last {
            if start + length != self.size {
                return Err(corrupt("a file", format!("its pieces end at {} of {} bytes", start + length, self.size)));
            }
            let length = usize::try_from(length).unwrap_or(PIECE);
            if length < SMALL && !data.is_empty() {
                let (now, rest) = data.split_at(data.len().min(PIECE - length));
                join(connection, piece, now)?;
                end += now.len() as u64;
                data = rest;
            }
        }
        let mut insert =
            connection.prepare_cached("INSERT INTO file_pieces (file, start, data) VALUES (?1, ?2, ?3)")?;
        for piece in data.chunks(PIECE) {
            insert.execute(params![self.id, integer(end), piece])?;
            end += piece.len() as u64;
        }
        let mut grow = connection.prepare_cached("UPDATE files SET size = ?2, cost = ?3 WHERE id = ?1")?;
        grow.execute(params![self.id, integer(end), integer(end + FILE_OVERHEAD)])?;
        Ok(())
    }
}

/// A file, and its pieces from the one that holds the first byte on: one statement, so that all of it is of one
/// moment. A file without such pieces has one row.
const READ: &str = "SELECT files.size, piece.start, piece.data
    FROM sessions JOIN files ON files.session = sessions.id LEFT JOIN file_pieces AS piece
      ON piece.file = files.id AND piece.start < ?4
      AND piece.start >= (SELECT max(start) FROM file_pieces WHERE file = files.id AND start <= ?3)
    WHERE sessions.key = ?1 AND files.file = ?2
    ORDER BY piece.start";

/// Up to `length` bytes from `offset` on.
fn read(
    connection: &Connection,
    session: &SessionKey,
    id: FileId,
    offset: u64,
    length: usize,
) -> SqlResult<Option<Vec<u8>>> {
    let to = offset.saturating_add(length.min(MAX_FILE_PIECE) as u64);
    let mut statement = connection.prepare_cached(READ)?;
    let mut pieces = statement.query(params![session.as_str(), id.as_str(), integer(offset), integer(to)])?;
    let (mut size, mut at, mut bytes) = (None, offset, Vec::new());
    while let Some(piece) = pieces.next()? {
        let whole = number(piece.get(0)?);
        size = Some(whole);
        let Some(start) = piece.get::<_, Option<i64>>(1)?.map(number) else { break };
        let data = piece.get_ref(2)?.as_blob().map_err(|error| corrupt("a piece of a file", error))?;
        let within = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(data.len());
        let part = &data[within(at)..within(to.max(at))];
        bytes.extend_from_slice(part);
        at += part.len() as u64;
    }
    let Some(size) = size else { return Ok(None) };
    if at < to.min(size) {
        return Err(corrupt("a file", format!("it lacks its bytes from {at} on")));
    }
    Ok(Some(bytes))
}

/// Adds to a piece.
fn join(connection: &Connection, piece: i64, more: &[u8]) -> SqlResult<()> {
    let mut read = connection.prepare_cached("SELECT data FROM file_pieces WHERE id = ?1")?;
    let mut data: Vec<u8> = read.query_row([piece], |row| row.get(0))?;
    data.extend_from_slice(more);
    connection.prepare_cached("UPDATE file_pieces SET data = ?2 WHERE id = ?1")?.execute(params![piece, data])?;
    Ok(())
}

/// Whether so many bytes more fit.
fn room(connection: &Connection, session: i64, bytes: u64, limits: Limits) -> SqlResult<FileOutcome> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM file_use WHERE session = ?1")?;
    let mut would_use = |row: i64| -> SqlResult<u64> {
        let used = statement.query_row([row], |row| row.get(0)).optional()?;
        Ok(used.map_or(0, number).saturating_add(bytes))
    };
    Ok(if would_use(session)? > limits.session_files {
        FileOutcome::SessionFull
    } else if would_use(ALL)? > limits.files {
        FileOutcome::Full
    } else {
        FileOutcome::Done
    })
}

/// The row of `file_use` with what all files count. No session has it.
const ALL: i64 = 0;

fn create(connection: &Connection, file: &NewFile, limits: Limits) -> SqlResult<FileOutcome> {
    let session = existing(connection, &file.session)?;
    let outcome = room(connection, session, FILE_OVERHEAD, limits)?;
    if outcome == FileOutcome::Done {
        let mut insert = connection.prepare_cached(
            "INSERT INTO files (session, file, name, mime_type, plugin, cost, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        insert.execute(params![
            session,
            file.id.as_str(),
            file.name.as_str(),
            file.mime_type.as_str(),
            file.plugin.as_str(),
            integer(FILE_OVERHEAD),
            integer(file.now.0),
        ])?;
    }
    Ok(outcome)
}

fn append(connection: &Connection, append: &FileAppend, limits: Limits) -> SqlResult<FileOutcome> {
    let Some(file) = File::find(connection, &append.session, append.id.as_str())? else {
        return Ok(FileOutcome::NotFound);
    };
    let added = append.data.len() as u64;
    if file.size.saturating_add(added) > append.limit {
        return Ok(FileOutcome::TooLarge);
    }
    let outcome = room(connection, file.session, added, limits)?;
    if outcome == FileOutcome::Done {
        file.extend(connection, &append.data)?;
    }
    Ok(outcome)
}

fn stat(connection: &Connection, session: &SessionKey, id: FileId) -> SqlResult<Option<FileRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT files.name, files.mime_type, files.plugin, files.size, files.created_at
         FROM sessions JOIN files ON files.session = sessions.id WHERE sessions.key = ?1 AND files.file = ?2",
    )?;
    let mut found = statement.query([session.as_str(), id.as_str()])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let text = |column: usize| row.get::<_, String>(column);
    Ok(Some(FileRecord {
        id,
        name: parse("a file's name", &text(0)?)?,
        mime_type: parse("a file's media type", &text(1)?)?,
        plugin: parse("the name of a file's plugin", &text(2)?)?,
        size: number(row.get(3)?),
        created_at: Timestamp(number(row.get(4)?)),
    }))
}

fn remove(connection: &Connection, session: &SessionKey, ids: &[FileId]) -> SqlResult<()> {
    let mut statement = connection
        .prepare_cached("DELETE FROM files WHERE session = (SELECT id FROM sessions WHERE key = ?1) AND file = ?2")?;
    for id in ids {
        statement.execute([session.as_str(), id.as_str()])?;
    }
    Ok(())
}

impl SqliteStore {
    fn file_limits(&self) -> Limits {
        Limits { files: self.options.files.0, session_files: self.options.session_files.0 }
    }
}

impl SessionFiles for SqliteStore {
    fn file_create(&self, file: NewFile) -> BoxFuture<'_, Result<FileOutcome, StoreError>> {
        let limits = self.file_limits();
        self.db.write(move |connection| create(connection, &file, limits)).boxed()
    }

    fn file_append(&self, addition: FileAppend) -> BoxFuture<'_, Result<FileOutcome, StoreError>> {
        let limits = self.file_limits();
        self.db.write(move |connection| append(connection, &addition, limits)).boxed()
    }

    fn file_stat<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
    ) -> BoxFuture<'a, Result<Option<FileRecord>, StoreError>> {
        let (session, id) = (session.clone(), *id);
        self.db.read(move |connection| stat(connection, &session, id)).boxed()
    }

    fn file_read<'a>(
        &'a self,
        session: &'a SessionKey,
        id: &'a FileId,
        offset: u64,
        length: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        let (session, id) = (session.clone(), *id);
        self.db.read(move |connection| read(connection, &session, id, offset, length)).boxed()
    }

    fn file_remove<'a>(&'a self, session: &'a SessionKey, ids: &'a [FileId]) -> BoxFuture<'a, Result<(), StoreError>> {
        let (session, ids) = (session.clone(), ids.to_vec());
        self.db.write(move |connection| remove(connection, &session, &ids)).boxed()
    }
}
