//! Webhook calls that a platform repeats until they are taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::desk::Seen;
use super::push::{Hook, Pushed};
use super::server::{Platform, Server};

/// How long after a failed call the next one comes, in this world without patience.
const AGAIN: Duration = Duration::from_millis(50);

/// Headers of a call: of its body, and of how often it was tried before.
type Headers = dyn Fn(&str, u32) -> Vec<(String, String)> + Send + Sync;

/// A platform that calls webhooks.
pub(crate) trait Calls: Platform {
    /// By whom.
    fn courier(&self) -> &Courier;
}

impl<P: Calls> Server<P> {
    /// Where it calls from now on; nowhere at first, and then calls wait.
    pub(crate) fn pushes_to(&self, hook: Hook) {
        self.platform().courier().goes_to(hook);
    }

    /// How each call was answered, in order; 0 where it was not.
    pub(crate) fn pushes(&self) -> &Seen<u16> {
        self.platform().courier().answers()
    }
}

/// Calls one webhook, one call after another.
#[derive(Debug)]
pub(crate) struct Courier {
    way: mpsc::UnboundedSender<String>,
    hook: watch::Sender<Option<Hook>>,
    answers: Arc<Seen<u16>>,
    _task: AbortOnDropHandle<()>,
}

impl Courier {
    pub(super) fn new(headers: impl Fn(&str, u32) -> Vec<(String, String)> + Send + Sync + 'static) -> Self {
        let (way, calls) = mpsc::unbounded_channel();
        let (hook, place) = watch::channel(None);
        let answers = Arc::new(Seen::default());
        let task = tokio::spawn(run(calls, place, Arc::clone(&answers), Box::new(headers)));
        Self { way, hook, answers, _task: AbortOnDropHandle::new(task) }
    }

    /// Where calls go from now on; nowhere at first, and then they wait.
    pub(super) fn goes_to(&self, hook: Hook) {
        self.hook.send_replace(Some(hook));
    }

    pub(super) fn place(&self) -> Option<Hook> {
        self.hook.borrow().clone()
    }

    pub(super) fn call(&self, body: String) {
        self.way.send(body).expect("the task lives");
    }

    /// The status of each call, 0 where there was no answer.
    pub(super) fn answers(&self) -> &Seen<u16> {
        &self.answers
    }
}

async fn run(
    mut calls: mpsc::UnboundedReceiver<String>,
    mut place: watch::Receiver<Option<Hook>>,
    answers: Arc<Seen<u16>>,
    headers: Box<Headers>,
) {
    while let Some(body) = calls.recv().await {
        for attempt in 0.. {
            let Ok(hook) = place.wait_for(Option::is_some).await.map(|hook| hook.clone().expect("just seen")) else {
                return;
            };
            let status = once(&hook, &headers(&body, attempt), &body).await.map_or(0, |answer| answer.status);
            answers.push(status);
            if (200..300).contains(&status) {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// One call.
pub(super) async fn once(hook: &Hook, headers: &[(String, String)], body: &str) -> Result<Pushed, String> {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    hook.post(&headers, body).await
}
