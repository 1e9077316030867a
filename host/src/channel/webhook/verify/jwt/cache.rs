//! A platform's keys, kept for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hyper::Uri;
use tokio::time::Instant;

use super::super::Refusal;
use super::key::{Algorithm, Key, Keys};
use super::{JwksError, JwksSource, MAX_JWKS};

/// After so long, keys are fetched again, and used meanwhile.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// After so long, a key that the platform may have withdrawn is not used any more.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Keys are fetched no more often, whatever strangers call their keys.
const PAUSE: Duration = Duration::from_secs(60);

/// How long a fetch may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The keys of one address.
pub(super) struct KeyCache {
    source: Arc<dyn JwksSource>,
    url: Uri,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    keys: Option<(Keys, Instant)>,
    /// When they were last asked for.
    tried: Option<Instant>,
    /// Why that came to nothing.
    failed: Option<JwksError>,
    /// Everyone who needs keys meanwhile waits for the same fetch, and drives it.
    fetch: Option<Fetch>,
}

type Fetch = Shared<BoxFuture<'static, ()>>;

/// What is to be done for a key.
enum Plan {
    Done(Result<Key, Refusal>),
    Wait(Fetch),
}

impl KeyCache {
    pub(super) fn new(source: Arc<dyn JwksSource>, url: Uri) -> Self {
        Self { source, url, state: Arc::default() }
    }

    /// A key by its name, as far as it is for this algorithm.
    pub(super) async fn find(&self, name: &str, algorithm: Algorithm) -> Result<Key, Refusal> {
        match self.plan(name, algorithm) {
            Plan::Done(done) => done,
            Plan::Wait(fetch) => {
                fetch.await;
                lock(&self.state).found(name, algorithm, Instant::now())
            }
        }
    }

    fn plan(&self, name: &str, algorithm: Algorithm) -> Plan {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let found = state.found(name, algorithm, now);
        let fresh = state.keys.as_ref().is_some_and(|(_, since)| now.duration_since(*since) < FRESH);
        if fresh && found.is_ok() {
            return Plan::Done(found);
        }
        if let Some(fetch) = &state.fetch {
            return Plan::Wait(fetch.clone());
        }
        if state.tried.is_some_and(|tried| now.duration_since(tried) < PAUSE) {
            return Plan::Done(found);
        }
        state.tried = Some(now);
        let fetch = fetch(Arc::clone(&self.source), self.url.clone(), Arc::downgrade(&self.state)).boxed().shared();
        state.fetch = Some(fetch.clone());
        Plan::Wait(fetch)
    }
}

impl State {
    /// The key, or why there is none: since the platform has none of that name, or since it was not
    /// there to be asked.
    fn found(&self, name: &str, algorithm: Algorithm, now: Instant) -> Result<Key, Refusal> {
        let keys = self.keys.as_ref().filter(|(_, since)| now.duration_since(*since) < LIFETIME);
        if let Some(key) = keys.and_then(|(keys, _)| keys.find(name, algorithm)) {
            return Ok(key.clone());
        }
        match (&self.failed, keys) {
            (Some(error), _) => Err(Refusal::Unavailable(error.to_string())),
            (None, Some(_)) => Err(Refusal::UnknownKey),
            (None, None) => Err(Refusal::Unavailable("they were not fetched yet".to_owned())),
        }
    }
}

/// The state holds the fetch while it runs, so the fetch does not hold the state.
async fn fetch(source: Arc<dyn JwksSource>, url: Uri, state: Weak<Mutex<State>>) {
    let fetched = tokio::time::timeout(DEADLINE, source.fetch(&url)).await;
    let keys = match fetched {
        Ok(Ok(json)) if json.len() > MAX_JWKS => Err(JwksError("what came is too large".to_owned())),
        Ok(Ok(json)) => Keys::parse(&json).map_err(|error| JwksError(format!("what came is no set of keys: {error}"))),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(JwksError(format!("no answer within {DEADLINE:?}"))),
    };
    let Some(state) = state.upgrade() else { return };
    let mut state = lock(&state);
    state.fetch = None;
    match keys {
        Ok(keys) => {
            state.keys = Some((keys, Instant::now()));
            state.failed = None;
        }
        Err(error) => {
            tracing::warn!(%url, %error, "a platform's keys could not be fetched");
            state.failed = Some(error);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyCache").field("url", &self.url).finish_non_exhaustive()
    }
}
