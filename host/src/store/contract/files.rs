//! Files of sessions: what every engine is held to.

use super::{Tested, open, session};
use crate::config::PluginName;
use crate::store::*;

pub(in crate::store) fn new_file(id: u128, session: &SessionKey) -> NewFile {
    NewFile {
        id: FileId::new(id),
        session: session.clone(),
        plugin: PluginName::unnamed(),
        name: "notes.txt".parse().expect("a name"),
        mime_type: "text/plain".parse().expect("a type"),
        now: Timestamp(7),
    }
}

fn append(id: u128, session: &SessionKey, bytes: usize) -> FileAppend {
    FileAppend { session: session.clone(), id: FileId::new(id), data: vec![b'x'; bytes], limit: 10_000 }
}

/// A file is found in its session only, holds what was appended whole, and can be removed.
pub(in crate::store) async fn a_file_is_of_one_session(store: &dyn Store) -> Tested {
    let (mine, other) = (session("one"), session("two"));
    assert!(matches!(store.file_create(new_file(1, &mine)).await, Err(StoreError::NoSession(_))));
    open(store, &mine, 1).await?;
    open(store, &other, 2).await?;
    assert_eq!(store.file_create(new_file(1, &mine)).await?, FileOutcome::Done);
    assert_eq!(store.file_append(append(1, &mine, 9_000)).await?, FileOutcome::Done);
    assert_eq!(store.file_append(append(1, &mine, 1_001)).await?, FileOutcome::TooLarge);
    assert_eq!(store.file_append(append(1, &mine, 1_000)).await?, FileOutcome::Done);
    assert_eq!(store.file_append(append(1, &mine, 1)).await?, FileOutcome::TooLarge);
    let id = FileId::new(1);
    let file = store.file_stat(&mine, &id).await?.ok_or("a file")?;
    assert_eq!((file.size, file.name.as_str(), file.created_at), (10_000, "notes.txt", Timestamp(7)));
    assert_eq!(store.file_read(&mine, &id, 9_990, 100).await?.map(|piece| piece.len()), Some(10));
    assert_eq!(store.file_read(&mine, &id, u64::MAX, 100).await?, Some(Vec::new()));
    assert_eq!(store.file_append(append(1, &other, 1)).await?, FileOutcome::NotFound);
    assert_eq!(store.file_stat(&other, &id).await?, None);
    assert_eq!(store.file_read(&other, &id, 0, 1).await?, None);
    store.file_remove(&other, &[id]).await?;
    assert!(store.file_stat(&mine, &id).await?.is_some());
    store.file_remove(&mine, &[id, FileId::new(2)]).await?;
    assert_eq!(store.file_stat(&mine, &id).await?, None);
    Ok(())
}

/// Files are refused beyond the limits of their session and of all, and a removed one leaves room.
/// The store allows 3 files of 4 KiB in a session, and 4 of all.
pub(in crate::store) async fn files_stay_within_their_limits(store: &dyn Store) -> Tested {
    let bytes = 4096 - usize::try_from(FILE_OVERHEAD)?;
    let (one, two) = (session("one"), session("two"));
    open(store, &one, 1).await?;
    open(store, &two, 2).await?;
    for id in 0..3 {
        assert_eq!(store.file_create(new_file(id, &one)).await?, FileOutcome::Done);
        assert_eq!(store.file_append(append(id, &one, bytes)).await?, FileOutcome::Done);
    }
    assert_eq!(store.file_create(new_file(9, &one)).await?, FileOutcome::SessionFull);
    assert_eq!(store.file_append(append(0, &one, 1)).await?, FileOutcome::SessionFull);
    assert_eq!(store.file_create(new_file(3, &two)).await?, FileOutcome::Done);
    assert_eq!(store.file_append(append(3, &two, bytes)).await?, FileOutcome::Done);
    assert_eq!(store.file_append(append(3, &two, 1)).await?, FileOutcome::Full);
    assert_eq!(store.file_create(new_file(9, &two)).await?, FileOutcome::Full);
    store.file_remove(&one, &[FileId::new(0)]).await?;
    assert_eq!(store.file_append(append(3, &two, 4096)).await?, FileOutcome::Done);
    assert_eq!(store.file_append(append(1, &one, 1)).await?, FileOutcome::Full);
    Ok(())
}
