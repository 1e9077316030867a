//! What plugins keep for themselves: keys and values, in scopes, within a quota.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{SessionKey, StoreError};
use crate::config::PluginName;

/// The longest key, in bytes. The shortest has one.
pub const MAX_KV_KEY: usize = 512;

/// The longest value, in bytes.
pub const MAX_KV_VALUE: usize = 1 << 20;

/// What an entry counts besides its key and its value, in bytes, so that a million empty ones are
/// not free.
pub const KV_OVERHEAD: u64 = 64;

/// The most keys of one page.
pub const MAX_KV_PAGE: usize = 1_000;

/// The keys and values of plugins, as the store keeps them. A part of [`super::Store`].
pub trait PluginData: Send + Sync + 'static {
    /// A key's value.
    fn kv_get<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<Option<KvValue>, StoreError>>;

    /// Sets a key. The condition, the quota and the change are one transaction; it is durable once
    /// it returned.
    ///
    /// Data of a session goes with the session: deleted by its owner, or evicted by an engine that
    /// does so.
    ///
    /// # Errors
    /// [`StoreError::NoSession`], where the space is a session's and there is no such session.
    fn kv_set(&self, set: KvSet) -> BoxFuture<'_, Result<KvOutcome, StoreError>>;

    /// Removes a key, where there is one.
    fn kv_delete<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The keys that begin with `prefix` and come behind `after`, in the order of their bytes, at
    /// most `limit` and at most [`MAX_KV_PAGE`].
    fn kv_keys<'a>(
        &'a self,
        space: &'a KvSpace,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<KvKey>, StoreError>>;
}

/// Whose data of which plugin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KvSpace {
    /// The plugin, by its name in the config.
    pub plugin: PluginName,
    /// What of it.
    pub scope: KvScope,
}

/// Whose data it is. Scopes share no keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KvScope {
    /// The plugin's, for whomever it works.
    Plugin,
    /// The same, for this agent.
    Agent(String),
    /// The same, for this session, with which it goes.
    Session(SessionKey),
}

/// A key: 1 to [`MAX_KV_KEY`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KvKey(Box<str>);

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key has 1 to {MAX_KV_KEY} bytes; this one has {0}")]
pub struct KvKeyError(usize);

impl KvKey {
    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KvKey {
    type Err = KvKeyError;

    fn from_str(text: &str) -> Result<Self, KvKeyError> {
        match text.len() {
            1..=MAX_KV_KEY => Ok(Self(text.into())),
            bytes => Err(KvKeyError(bytes)),
        }
    }
}

impl fmt::Display for KvKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key is ordered as its text is.
impl Borrow<str> for KvKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A value: at most [`MAX_KV_VALUE`] bytes. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvValue(Bytes);

/// Bytes that are no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value has at most {MAX_KV_VALUE} bytes; this one has {0}")]
pub struct KvValueError(usize);

impl KvValue {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for KvValue {
    type Error = KvValueError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, KvValueError> {
        if bytes.len() > MAX_KV_VALUE { Err(KvValueError(bytes.len())) } else { Ok(Self(bytes.into())) }
    }
}

/// What an entry counts against its plugin's quota, in bytes.
#[must_use]
pub fn kv_cost(key: &KvKey, value: &KvValue) -> u64 {
    (key.0.len() + value.0.len()) as u64 + KV_OVERHEAD
}

/// A key to be set.
#[derive(Debug, Clone)]
pub struct KvSet {
    /// Where.
    pub space: KvSpace,
    /// Which.
    pub key: KvKey,
    /// What it is to hold.
    pub value: KvValue,
    /// What it must hold now.
    pub expected: KvExpected,
    /// What all entries of the plugin, over all its scopes, may count together ([`kv_cost`]). Under
    /// a quota that was lowered beneath what is there, an entry may still shrink.
    pub quota: u64,
}

/// On what a change depends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvExpected {
    /// On nothing.
    Anything,
    /// That there is no such key.
    Nothing,
    /// That the key holds this.
    Value(KvValue),
}

impl KvExpected {
    /// Whether what is there is what was expected.
    #[must_use]
    pub fn holds(&self, found: Option<&KvValue>) -> bool {
        match (self, found) {
            (Self::Anything, _) | (Self::Nothing, None) => true,
            (Self::Value(expected), Some(found)) => expected == found,
            (Self::Nothing, Some(_)) | (Self::Value(_), None) => false,
        }
    }
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvOutcome {
    /// It is made.
    Set,
    /// The key holds something else; nothing changed.
    Differs,
    /// The quota does not allow it; nothing changed.
    QuotaExceeded,
}
