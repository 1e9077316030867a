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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Result, count, limited, open, plan, session, store};
    use super::*;
    use crate::config::ByteSize;
    use crate::store::{Epoch, Store, contract};

    fn new_file(peer: &str, id: u128) -> NewFile {
        NewFile {
            id: FileId::new(id),
            session: session(peer),
            plugin: "notes".parse().expect("a name"),
            name: "notes.txt".parse().expect("a name"),
            mime_type: "text/plain".parse().expect("a type"),
            now: Timestamp(7),
        }
    }

    fn addition(peer: &str, id: u128, data: Vec<u8>) -> FileAppend {
        FileAppend { session: session(peer), id: FileId::new(id), data, limit: u64::MAX }
    }

    #[tokio::test]
    async fn a_file_is_of_one_session() -> Result {
        contract::a_file_is_of_one_session(&store()?.1).await
    }

    #[tokio::test]
    async fn files_stay_within_their_limits() -> Result {
        contract::files_stay_within_their_limits(&limited(ByteSize::kib(16), ByteSize::kib(12))?.1).await
    }

    /// Whether the counters are what the files count, and the files what their pieces hold.
    async fn assert_exact(store: &SqliteStore) -> Result {
        let all = "SELECT (SELECT bytes FROM file_use WHERE session = 0) - (SELECT coalesce(sum(cost), 0) FROM files)";
        assert_eq!(count(store, all).await?, 0);
        let each = "SELECT count(*) FROM file_use WHERE session > 0
            AND bytes != (SELECT sum(cost) FROM files WHERE files.session = file_use.session)";
        assert_eq!(count(store, each).await?, 0);
        let pieces = "SELECT count(*) FROM files
            WHERE size != (SELECT coalesce(sum(length(data)), 0) FROM file_pieces WHERE file = files.id)";
        assert_eq!(count(store, pieces).await?, 0);
        Ok(())
    }

    #[tokio::test]
    async fn the_counters_stay_exact_when_sessions_and_files_go() -> Result {
        let (_folder, store) = store()?;
        for (number, peer) in ["ann", "ben", "eve"].into_iter().enumerate() {
            open(&store, peer, number as u64).await?;
            for id in 0..4 {
                assert_eq!(store.file_create(new_file(peer, id)).await?, FileOutcome::Done);
                let data = vec![7; 100_000 * (number + 1)];
                assert_eq!(store.file_append(addition(peer, id, data)).await?, FileOutcome::Done);
            }
        }
        assert_exact(&store).await?;
        store.file_remove(&session("ben"), &[FileId::new(0), FileId::new(3), FileId::new(9)]).await?;
        assert!(store.delete(&session("ann"), Epoch(1)).await?);
        assert_exact(&store).await?;
        assert_eq!(count(&store, "SELECT count(*) FROM files").await?, 6);
        assert!(store.delete(&session("ben"), Epoch(1)).await?);
        assert!(store.delete(&session("eve"), Epoch(1)).await?);
        assert_eq!(count(&store, "SELECT count(*) + (SELECT count(*) FROM file_pieces) FROM files").await?, 0);
        assert_eq!(count(&store, "SELECT bytes FROM file_use").await?, 0);
        Ok(())
    }

    #[tokio::test]
    async fn a_read_takes_the_pieces_of_its_range_only() -> Result {
        let (_folder, store) = store()?;
        let plan = plan(&store, READ).await?;
        assert!(plan.contains("file_pieces_1 (file=? AND start>? AND start<?)"), "{plan}");
        assert!(!plan.contains("SCAN"), "{plan}");
        Ok(())
    }

    async fn reads_back(lengths: &[usize], ranges: &[(u64, usize)]) -> Result {
        let (_folder, store) = store()?;
        open(&store, "ann", 1).await?;
        store.file_create(new_file("ann", 1)).await?;
        let mut whole = Vec::new();
        for (index, length) in lengths.iter().enumerate() {
            let data: Vec<u8> = (0..*length).map(|byte| (byte.wrapping_mul(31) + index) as u8).collect();
            whole.extend(&data);
            assert_eq!(store.file_append(addition("ann", 1, data)).await?, FileOutcome::Done);
        }
        for (offset, length) in ranges {
            let start = whole.len().min(*offset as usize);
            let expected = &whole[start..whole.len().min(start + length)];
            let read = store.file_read(&session("ann"), &FileId::new(1), *offset, *length).await?;
            assert!(read.as_deref() == Some(expected), "{length} bytes from {offset} on of {lengths:?}");
        }
        assert_exact(&store).await?;
        let bound = 2 + whole.len() / SMALL;
        assert!(count(&store, "SELECT count(*) FROM file_pieces").await? <= i64::try_from(bound)?);
        let largest = count(&store, "SELECT coalesce(max(length(data)), 0) FROM file_pieces").await?;
        assert!(largest <= i64::try_from(PIECE)?);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_read_is_what_was_appended(
            lengths in prop::collection::vec(prop_oneof![0_usize..2 * SMALL, 0_usize..3 * PIECE], 0..8),
            ranges in prop::collection::vec((0_u64..8 * PIECE as u64, 0_usize..4 * PIECE), 1..8),
        ) {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            tokio.block_on(reads_back(&lengths, &ranges)).map_err(|error| TestCaseError::fail(error.to_string()))?;
        }
    }

    #[tokio::test]
    async fn a_file_that_grows_by_single_bytes_has_few_pieces() -> Result {
        reads_back(&[1; 300], &[(0, 300), (299, 5), (150, 0)]).await
    }
}
