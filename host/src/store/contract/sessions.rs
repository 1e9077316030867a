//! What belongs to a session: what every engine is held to.

use super::files::new_file;
use super::{Tested, open, session};
use crate::config::PluginName;
use crate::store::*;

/// The data and the files of a session that goes go with it, and leave their room. `evict` makes
/// the session go.
pub(in crate::store) async fn what_is_of_a_session_goes_with_it(
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
