//! What every engine is held to for plugins' data and files: one set of tests, whatever is
//! underneath.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::PluginName;

type Outcome = std::result::Result<(), TestCaseError>;

/// What the entries of one plugin may count: room for a few.
const QUOTA: u64 = 400;

/// One use of a plugin's keys and values. Spaces are counted: two plugins with each scope, two of
/// those of sessions.
#[derive(Debug, Clone)]
pub(super) enum Use {
    Get(usize, KvKey),
    Set(usize, KvKey, KvValue, KvExpected),
    Delete(usize, KvKey),
    Keys(usize, String, Option<String>, usize),
}

fn spaces() -> Vec<KvSpace> {
    let scopes = [
        KvScope::Plugin,
        KvScope::Agent("one".into()),
        KvScope::Agent("two".into()),
        KvScope::Session(session("one")),
        KvScope::Session(session("two")),
    ];
    let of = |plugin: &str| plugin.parse().expect("a name");
    let spaces = ["left", "right"].into_iter().flat_map(|plugin| {
        let plugin = of(plugin);
        scopes.iter().map(move |scope| KvSpace { plugin: PluginName::clone(&plugin), scope: scope.clone() })
    });
    spaces.collect()
}

fn session(peer: &str) -> SessionKey {
    SessionKey::new("a", "b", "c", peer).expect("a key")
}

async fn open(store: &dyn Store, session: &SessionKey, turn: u64) -> Result<TurnId, StoreError> {
    let (turn, now) = (TurnId::new(Timestamp(turn), turn), Timestamp(turn));
    let message = Arc::new(Message::text(Role::User, "hello"));
    store.accept(Accept { session: session.clone(), turn, message, idempotency: None, epoch: Epoch(0), now }).await?;
    Ok(turn)
}

/// Few keys that begin like one another, so that uses meet.
fn key() -> impl Strategy<Value = String> {
    "[ab\u{e9}\u{1f980}/]{1,3}"
}

fn value() -> impl Strategy<Value = KvValue> {
    prop::collection::vec(0_u8..3, 0..90).prop_map(|bytes| bytes.try_into().expect("short"))
}

pub(super) fn uses() -> impl Strategy<Value = Vec<Use>> {
    let key = || key().prop_map(|key| key.parse::<KvKey>().expect("a key"));
    let space = || 0..spaces().len();
    let expected = prop_oneof![
        4 => Just(KvExpected::Anything),
        2 => Just(KvExpected::Nothing),
        1 => value().prop_map(KvExpected::Value),
    ];
    let one = prop_oneof![
        2 => (space(), key()).prop_map(|(space, key)| Use::Get(space, key)),
        6 => (space(), key(), value(), expected)
            .prop_map(|(space, key, value, expected)| Use::Set(space, key, value, expected)),
        2 => (space(), key()).prop_map(|(space, key)| Use::Delete(space, key)),
        2 => (space(), "[ab\u{e9}]{0,2}", prop::option::of("[ab\u{e9}]{0,2}"), 0_usize..5)
            .prop_map(|(space, prefix, after, limit)| Use::Keys(space, prefix, after, limit)),
    ];
    prop::collection::vec(one, 1..120)
}

/// Keys and values are maps within a quota, and no space sees another.
pub(super) async fn keys_and_values_are_maps_within_a_quota(store: &dyn Store, uses: Vec<Use>) -> Outcome {
    let failed = |error: StoreError| TestCaseError::fail(error.to_string());
    for (turn, peer) in ["one", "two"].into_iter().enumerate() {
        open(store, &session(peer), turn as u64).await.map_err(failed)?;
    }
    let spaces = spaces();
    let mut model: Vec<BTreeMap<String, KvValue>> = vec![BTreeMap::new(); spaces.len()];
    let plugin = |space: usize| space / (spaces.len() / 2);
    for one in uses {
        match one {
            Use::Get(space, key) => {
                let found = store.kv_get(&spaces[space], &key).await.map_err(failed)?;
                prop_assert_eq!(found.as_ref(), model[space].get(key.as_str()));
            }
            Use::Delete(space, key) => {
                store.kv_delete(&spaces[space], &key).await.map_err(failed)?;
                model[space].remove(key.as_str());
            }
            Use::Set(space, key, value, expected) => {
                let cost = |key: &str, value: &KvValue| (key.len() + value.as_bytes().len()) as u64 + KV_OVERHEAD;
                let of_plugin = model.iter().enumerate().filter(|(other, _)| plugin(*other) == plugin(space));
                let used: u64 = of_plugin.flat_map(|(_, map)| map).map(|(key, value)| cost(key, value)).sum();
                let found = model[space].get(key.as_str()).cloned();
                let old = found.as_ref().map_or(0, |found| cost(key.as_str(), found));
                let new = cost(key.as_str(), &value);
                let right = match (&expected, &found) {
                    (KvExpected::Nothing, Some(_)) | (KvExpected::Value(_), None) => KvOutcome::Differs,
                    (KvExpected::Value(expected), Some(found)) if expected != found => KvOutcome::Differs,
                    _ if used - old + new > QUOTA && new > old => KvOutcome::QuotaExceeded,
                    _ => KvOutcome::Set,
                };
                let (space_key, set_value) = (spaces[space].clone(), value.clone());
                let set = KvSet { space: space_key, key: key.clone(), value: set_value, expected, quota: QUOTA };
                prop_assert_eq!(store.kv_set(set).await.map_err(failed)?, right);
                if right == KvOutcome::Set {
                    model[space].insert(key.to_string(), value);
                }
            }
            Use::Keys(space, prefix, after, limit) => {
                let found = store.kv_keys(&spaces[space], &prefix, after.as_deref(), limit).await.map_err(failed)?;
                let behind = |key: &&String| after.as_deref().is_none_or(|after| key.as_bytes() > after.as_bytes());
                let right = model[space].keys().filter(|key| key.starts_with(&prefix)).filter(behind).take(limit);
                let found: Vec<_> = found.iter().map(KvKey::as_str).collect();
                prop_assert_eq!(found, right.map(String::as_str).collect::<Vec<_>>());
            }
        }
    }
    Ok(())
}

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

fn new_file(id: u128, session: &SessionKey) -> NewFile {
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
pub(super) async fn a_file_is_of_one_session(store: &dyn Store) -> Tested {
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
pub(super) async fn files_stay_within_their_limits(store: &dyn Store) -> Tested {
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

/// The data and the files of a session that goes go with it, and leave their room. `evict` makes
/// the session go.
pub(super) async fn what_is_of_a_session_goes_with_it(
    store: &dyn Store,
    evict: impl AsyncFnOnce(&SessionKey, TurnId),
) -> Tested {
    let one = session("one");
    let turn = open(store, &one, 1).await?;
    let space = |scope| KvSpace { plugin: PluginName::unnamed(), scope };
    let set = |scope, key: &str, quota| KvSet {
        space: space(scope),
        key: key.parse().expect("a key"),
        value: vec![0; 100].try_into().expect("a value"),
        expected: KvExpected::Anything,
        quota,
    };
    let two_entries = 2 * (1 + 100 + KV_OVERHEAD);
    assert_eq!(store.kv_set(set(KvScope::Plugin, "k", two_entries)).await?, KvOutcome::Set);
    assert_eq!(store.kv_set(set(KvScope::Session(one.clone()), "k", two_entries)).await?, KvOutcome::Set);
    assert_eq!(store.kv_set(set(KvScope::Plugin, "l", two_entries)).await?, KvOutcome::QuotaExceeded);
    assert_eq!(store.file_create(new_file(1, &one)).await?, FileOutcome::Done);
    evict(&one, turn).await;
    let key: KvKey = "k".parse()?;
    assert_eq!(store.kv_get(&space(KvScope::Session(one.clone())), &key).await?, None);
    assert!(store.kv_get(&space(KvScope::Plugin), &key).await?.is_some());
    assert_eq!(store.file_stat(&one, &FileId::new(1)).await?, None);
    assert_eq!(store.kv_set(set(KvScope::Plugin, "l", two_entries)).await?, KvOutcome::Set);
    let gone = store.kv_set(set(KvScope::Session(one.clone()), "k", u64::MAX)).await;
    assert!(matches!(gone, Err(StoreError::NoSession(_))), "nothing is kept for a session that is no more");
    Ok(())
}
