//! Plugins' keys and values: what every engine is held to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Outcome, open, session};
use crate::config::PluginName;
use crate::store::*;

/// What the entries of one plugin may count: room for a few.
const QUOTA: u64 = 400;

/// One use of a plugin's keys and values. Spaces are counted: two plugins with each scope, two of
/// those of sessions.
#[derive(Debug, Clone)]
pub(in crate::store) enum Use {
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

/// Few keys that begin like one another, so that uses meet.
fn key() -> impl Strategy<Value = String> {
    "[ab\u{e9}\u{1f980}/]{1,3}"
}

fn value() -> impl Strategy<Value = KvValue> {
    prop::collection::vec(0_u8..3, 0..90).prop_map(|bytes| bytes.try_into().expect("short"))
}

pub(in crate::store) fn uses() -> impl Strategy<Value = Vec<Use>> {
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
pub(in crate::store) async fn keys_and_values_are_maps_within_a_quota(store: &dyn Store, uses: Vec<Use>) -> Outcome {
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
