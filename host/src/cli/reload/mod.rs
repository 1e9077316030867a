//! Plugins that are replaced while the gateway runs: on a client's word, on SIGHUP, or when a file
//! changes.
//!
//! One task does it all, one request after the other ([`worker`]); whoever asks may leave, and what
//! was asked for is still done. Another looks at the files ([`files`]). A new version is loaded
//! beside the one that runs, and takes its place only when nothing is wrong with it.

mod files;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::warn;

use crate::config::{Loaded, PluginName};
use crate::gateway::{PluginReload, ReloadError, ReloadOutcome, ReloadReport};
use crate::runtime::{Registry, Runtime};
use crate::store::Timestamp;
use worker::Worker;

/// Requests that wait while one is served.
const WAITING: usize = 16;

/// What reloading needs.
pub(super) struct Parts {
    /// The plugins that run.
    pub(super) registry: Registry,
    /// Where they are loaded.
    pub(super) runtime: Runtime,
    /// The config as its file had it at start, before the command line changed it.
    pub(super) loaded: Loaded,
}

/// By which reloads are asked for. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reloads {
    requests: mpsc::Sender<Request>,
    records: Records,
}

/// What is to be done.
enum Request {
    /// Follow the config file.
    Everything(Option<oneshot::Sender<ReloadReport>>),
    /// Load this one anew, changed or not.
    One(PluginName, oneshot::Sender<Result<ReloadReport, ReloadError>>),
    /// Look at this one, whose file has changed.
    Changed(PluginName),
}

impl Reloads {
    /// Starts the tasks, which end when the set is dropped or shut down. Nothing of a reload that is
    /// cut short takes effect.
    pub(super) fn start(parts: Parts) -> (Self, JoinSet<()>) {
        let (requests, waiting) = mpsc::channel(WAITING);
        let records = Records::default();
        let watches = parts.loaded.config.gateway.watch_plugins;
        let (worker, watched) = Worker::new(parts, records.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(worker.run(waiting));
        if watches {
            tasks.spawn(files::watch(watched, requests.clone()));
        }
        (Self { requests, records }, tasks)
    }

    /// Has the config file followed, and waits for nothing.
    pub(super) fn follow_config(&self) {
        if let Err(error) = self.ask(Request::Everything(None)) {
            warn!(%error, "the config file was not read again");
        }
    }

    /// Reloads one plugin, or all. What was asked for is done whether or not the future is waited
    /// for.
    pub(super) fn reload(&self, name: Option<String>) -> BoxFuture<'static, Result<ReloadReport, ReloadError>> {
        let asked = match name {
            None => {
                let (done, answer) = oneshot::channel();
                self.ask(Request::Everything(Some(done))).map(|()| answer.map(|answer| answer.map(Ok)).boxed())
            }
            Some(name) => name.parse().map_err(|_| ReloadError::Unknown(name)).and_then(|name| {
                let (done, answer) = oneshot::channel();
                self.ask(Request::One(name, done)).map(|()| answer.boxed())
            }),
        };
        async move { asked?.await.unwrap_or(Err(ReloadError::Draining)) }.boxed()
    }

    fn ask(&self, request: Request) -> Result<(), ReloadError> {
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReloadError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReloadError::Draining,
        })
    }

    /// What became of a plugin's last reload; none where there was none.
    pub(super) fn last(&self, name: &PluginName) -> Option<LastReload> {
        self.records.lock().get(name).cloned()
    }
}

/// A plugin's last reload, as `plugin.list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LastReload {
    /// When it was done.
    at: Timestamp,
    outcome: ReloadOutcome,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The last reload of each plugin.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<BTreeMap<PluginName, LastReload>>>);

impl Records {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PluginName, LastReload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, name: &PluginName, reload: &PluginReload) {
        let mut records = self.lock();
        let was_refused = records.get(name).is_some_and(|last| last.outcome == ReloadOutcome::Refused);
        match reload.outcome {
            ReloadOutcome::Removed => drop(records.remove(name)),
            // Worth a word only where it ends a complaint.
            ReloadOutcome::Unchanged if !was_refused => {}
            outcome => {
                let last = LastReload { at: Timestamp::now(), outcome, reason: reload.reason.clone() };
                records.insert(name.clone(), last);
            }
        }
    }

    /// Forgets what there is no plugin of any more.
    fn retain(&self, is_known: impl Fn(&PluginName) -> bool) {
        self.lock().retain(|name, _| is_known(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reload(outcome: ReloadOutcome, reason: Option<&str>) -> PluginReload {
        let reason = reason.map(str::to_owned);
        PluginReload { name: "mine".into(), outcome, sha256: None, previous_sha256: None, reason }
    }

    #[test]
    fn what_did_not_change_is_a_word_only_after_a_refusal() {
        let (records, name) = (Records::default(), PluginName::unnamed());
        let last = |records: &Records| records.lock().get(&name).map(|last| (last.outcome, last.reason.clone()));
        records.keep(&name, &reload(ReloadOutcome::Unchanged, None));
        assert_eq!(last(&records), None);
        records.keep(&name, &reload(ReloadOutcome::Refused, Some("broken")));
        assert_eq!(last(&records), Some((ReloadOutcome::Refused, Some("broken".into()))));
        // The file is what runs again.
        records.keep(&name, &reload(ReloadOutcome::Unchanged, None));
        assert_eq!(last(&records), Some((ReloadOutcome::Unchanged, None)));
        records.keep(&name, &reload(ReloadOutcome::Reloaded, None));
        records.keep(&name, &reload(ReloadOutcome::Unchanged, None));
        assert_eq!(last(&records), Some((ReloadOutcome::Reloaded, None)));
        records.keep(&name, &reload(ReloadOutcome::Removed, None));
        assert_eq!(last(&records), None);
    }
}
