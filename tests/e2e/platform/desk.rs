//! What a test plans for a platform, and what the platform notes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use super::dice::Dice;
use super::server::Answer;
use crate::harness::{Gate, within};

/// How one request is treated badly.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// This is answered, and nothing is carried out.
    Refuse(Answer),
    /// The connection ends, and nothing is carried out.
    DropBefore,
    /// It is carried out, and the connection ends without an answer.
    DropAfter,
    /// It is carried out, and answered once the gate is open.
    AnswerLate(Gate),
    /// Nothing happens until the gate is open.
    ActLate(Gate),
}

/// A platform's desk.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    troubles: Mutex<VecDeque<(String, Trouble)>>,
    operations: Seen<String>,
    violations: Mutex<Vec<String>>,
    answered: Mutex<HashSet<u64>>,
    lags: Mutex<HashMap<String, Lag>>,
}

/// How long answers take, from somewhere in a range of milliseconds.
#[derive(Debug)]
struct Lag {
    range: Range<u64>,
    dice: Dice,
}

impl Desk {
    /// Plans a trouble for the next request of this kind that has none yet.
    pub(crate) fn plan(&self, operation: &str, trouble: Trouble) {
        self.troubles.lock().expect("no poison").push_back((operation.to_owned(), trouble));
    }

    /// Whether all that was planned has happened.
    pub(crate) fn is_calm(&self) -> bool {
        self.troubles.lock().expect("no poison").is_empty()
    }

    pub(super) fn trouble(&self, operation: &str) -> Option<Trouble> {
        let trouble = {
            let mut troubles = self.troubles.lock().expect("no poison");
            let index = troubles.iter().position(|(planned, _)| planned == operation);
            index.and_then(|index| troubles.remove(index)).map(|(_, trouble)| trouble)
        };
        self.operations.push(operation.to_owned());
        trouble
    }

    /// Lets answers to requests of this kind, once they are carried out, take so many milliseconds.
    pub(crate) fn lag(&self, operation: &str, range: Range<u64>, seed: u64) {
        let lag = Lag { range, dice: Dice::new(seed) };
        self.lags.lock().expect("no poison").insert(operation.to_owned(), lag);
    }

    pub(super) fn lag_of(&self, operation: &str) -> Option<Duration> {
        let mut lags = self.lags.lock().expect("no poison");
        lags.get_mut(operation).map(|lag| lag.dice.millis(lag.range.clone()))
    }

    /// What was asked of the platform, in order.
    pub(crate) fn operations(&self) -> &Seen<String> {
        &self.operations
    }

    /// Notes that the platform's rules were broken.
    pub(crate) fn violation(&self, rule: impl Into<String>) {
        self.violations.lock().expect("no poison").push(rule.into());
    }

    /// The rules that were broken so far, which the test has expected.
    pub(crate) fn forgive(&self) -> Vec<String> {
        std::mem::take(&mut *self.violations.lock().expect("no poison"))
    }

    pub(super) fn answered(&self, request: u64) {
        self.answered.lock().expect("no poison").insert(request);
    }

    /// Whether the answer to a request went out whole.
    pub(crate) fn was_answered(&self, request: u64) -> bool {
        self.answered.lock().expect("no poison").contains(&request)
    }

    /// Fails the test where rules were broken.
    pub(super) fn close(&self, platform: &str) {
        let violations = self.forgive();
        if violations.is_empty() {
            return;
        }
        let report = format!("{platform} would have refused:\n  {}", violations.join("\n  "));
        // Panicking twice would abort and hide the first reason.
        if std::thread::panicking() {
            eprintln!("{report}");
        } else {
            panic!("{report}");
        }
    }
}

/// A list that grows, and that a test waits on.
#[derive(Debug)]
pub(crate) struct Seen<T>(watch::Sender<Vec<T>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl<T: Clone + std::fmt::Debug> Seen<T> {
    pub(crate) fn push(&self, item: T) {
        self.0.send_modify(|items| items.push(item));
    }

    pub(crate) fn edit<R>(&self, edit: impl FnOnce(&mut Vec<T>) -> R) -> R {
        let mut result = None;
        self.0.send_modify(|items| result = Some(edit(items)));
        result.expect("just edited")
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&T) -> bool) -> usize {
        self.0.borrow().iter().filter(|item| wanted(item)).count()
    }

    /// Waits until `enough` of the whole, and returns it.
    pub(crate) async fn until(&self, what: &str, enough: impl FnMut(&Vec<T>) -> bool) -> Vec<T> {
        let mut items = self.0.subscribe();
        within(what, items.wait_for(enough)).await.expect("the sender lives").clone()
    }

    /// Waits for the first that is wanted.
    pub(crate) async fn find(&self, what: &str, wanted: impl Fn(&T) -> bool) -> T {
        let items = self.until(what, |items| items.iter().any(&wanted)).await;
        items.into_iter().find(wanted).expect("just found")
    }
}
