//! Rate limits that plugins learnt: under a held key nothing leaves.
//!
//! They are kept in memory alone. After a restart the platform says them again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::runtime::bindings::channel::Hold;
use crate::store::Timestamp;

/// The longest that a key is held, whatever the platform said: then it is asked again.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The most keys that are held at once. Beyond it, the one that ends first goes.
const MOST: usize = 4_096;

/// The longest key, in bytes; a longer one is not held.
const LONGEST_KEY: usize = 512;

/// By account and key: until when it is held.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<HashMap<(Option<String>, String), Timestamp>>);

impl Holds {
    /// Holds keys of an account. Of two holds on a key, the longer counts.
    pub(super) fn learn(&self, account: Option<&str>, holds: &[Hold], now: Timestamp) {
        if holds.is_empty() {
            return;
        }
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, until| *until > now);
        for Hold { key, for_ms } in holds.iter().filter(|hold| hold.for_ms > 0 && hold.key.len() <= LONGEST_KEY) {
            let until = now.plus(LONGEST.min(Duration::from_millis(u64::from(*for_ms))));
            let entry = (account.map(str::to_owned), key.clone());
            if held.len() >= MOST && !held.contains_key(&entry) {
                let first = held.iter().min_by_key(|(_, until)| **until).map(|(key, _)| key.clone());
                first.map(|first| held.remove(&first));
            }
            let known = held.entry(entry).or_insert(until);
            *known = until.max(*known);
        }
    }

    /// Until when a request waits that counts against these keys; nothing where it may leave.
    pub(super) fn until(&self, account: Option<&str>, keys: &[String], now: Timestamp) -> Option<Timestamp> {
        if keys.is_empty() {
            return None;
        }
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = |key: &String| held.get(&(account.map(str::to_owned), key.clone())).copied();
        keys.iter().filter_map(until).max().filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(key: &str, for_ms: u32) -> Hold {
        Hold { key: key.into(), for_ms }
    }

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn a_key_is_held_for_its_account_alone_and_for_the_longest_that_was_said() {
        let holds = Holds::default();
        holds.learn(Some("a"), &[hold("chat", 500), hold("all", 100)], Timestamp(1_000));
        holds.learn(Some("a"), &[hold("chat", 10)], Timestamp(1_001));
        assert_eq!(holds.until(Some("a"), &keys(&["all", "chat"]), Timestamp(1_050)), Some(Timestamp(1_500)));
        assert_eq!(holds.until(Some("a"), &keys(&["all"]), Timestamp(1_100)), None, "it is over");
        assert_eq!(holds.until(Some("b"), &keys(&["chat"]), Timestamp(1_050)), None);
        assert_eq!(holds.until(None, &keys(&["chat"]), Timestamp(1_050)), None);
        assert_eq!(holds.until(Some("a"), &[], Timestamp(1_050)), None);
    }

    #[test]
    fn no_platform_holds_a_key_for_ever_or_fills_the_memory() {
        let holds = Holds::default();
        holds.learn(None, &[hold("x", u32::MAX), hold(&"y".repeat(513), 9)], Timestamp(0));
        assert_eq!(holds.until(None, &keys(&["x"]), Timestamp(0)), Some(Timestamp(3_600_000)));
        for number in 0..5_000 {
            holds.learn(None, &[hold(&number.to_string(), 1_000)], Timestamp(0));
        }
        assert_eq!(holds.0.lock().expect("not poisoned").len(), MOST);
        assert!(holds.until(None, &keys(&["x"]), Timestamp(1)).is_some(), "the longest stay");
    }
}
