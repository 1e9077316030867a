//! The gateway's lives, and what each of them left in doubt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use exoclaw::agent::{Letter, LetterContent};
use exoclaw::store::{DeliveryFilter, DeliveryId, DeliveryState};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::harness::{Builder, FakeProvider, Gateway};
use crate::people::{Platform, number_in};
use crate::platform::config::Channel;
use crate::platform::dice::Dice;
use crate::platform::left_in;

/// A gateway with one channel, in a folder that outlives it.
pub(crate) struct Lives<P> {
    platform: Arc<P>,
    builder: Builder,
    home: Arc<TempDir>,
    dice: Dice,
    /// How much the platform showed at the end of each life.
    ends: Vec<usize>,
    doubts: Arc<Doubts>,
}

/// Requests that were under way when a life ended: nobody will hear what became of them.
#[derive(Debug, Default)]
pub(crate) struct Doubts(Mutex<BTreeMap<(DeliveryId, Bytes), Doubt>>);

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doubt {
    /// The message whose answer it was about.
    pub(crate) message: usize,
    /// The life in which it was made.
    pub(crate) life: usize,
}

impl Doubts {
    fn note(&self, request: (DeliveryId, Bytes), doubt: Doubt) {
        // One that the next life did not get to either is still the same.
        self.0.lock().expect("no poison").entry(request).or_insert(doubt);
    }

    pub(crate) fn all(&self) -> Vec<Doubt> {
        self.0.lock().expect("no poison").values().copied().collect()
    }

    /// The messages whose answers were in doubt at some time.
    pub(crate) fn messages(&self) -> BTreeSet<usize> {
        self.all().into_iter().map(|doubt| doubt.message).collect()
    }
}

impl<P: Platform> Lives<P> {
    pub(crate) fn new(
        platform: &Arc<P>,
        provider: &FakeProvider,
        (channel, tables): (&Channel, &str),
        dice: Dice,
    ) -> Self {
        let home = Arc::new(TempDir::new().expect("a temporary folder"));
        let builder = Gateway::builder()
            .provider(provider)
            .home(&home)
            .agent("context_tokens = 300")
            .tables("[limits.plugin]\nrate = 1000000\n")
            .tables(tables);
        let platform = Arc::clone(platform);
        Self { platform, builder: channel.on(builder), home, dice, ends: Vec::new(), doubts: Arc::default() }
    }

    /// How many of them were ended.
    pub(crate) fn kills(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn doubts(&self) -> &Arc<Doubts> {
        &self.doubts
    }

    /// In which life the platform showed what stands at this place.
    pub(crate) fn life_of(&self, shown: usize) -> usize {
        self.ends.partition_point(|end| *end <= shown)
    }

    /// One that is left alone.
    pub(crate) async fn peace(&self) -> Gateway {
        self.builder.clone().start().await
    }

    /// A life that ends by SIGKILL: mostly short, now and then before it has begun. One in three goes on until
    /// `caught_up`, since a turn that is cut off more often than three times is given up, and its user told so.
    pub(crate) async fn violence(&mut self, caught_up: impl Future<Output = ()>) {
        let long = self.ends.len() % 3 == 2;
        let gateway = if !long && self.dice.once_in(6) {
            let starting = self.builder.clone().launch();
            sleep(self.dice.millis(0..200)).await;
            starting
        } else {
            let gateway = self.builder.clone().start().await;
            if long {
                caught_up.await;
            }
            sleep(self.dice.millis(20..400)).await;
            gateway
        };
        self.died(gateway).await;
    }

    /// Kills it with SIGKILL. It must not have died of itself before.
    pub(crate) async fn died(&mut self, mut gateway: Gateway) {
        let logs = gateway.kill();
        let panics: Vec<_> = logs.iter().filter(|line| line.contains("panicked at")).collect();
        assert!(panics.is_empty(), "{panics:#?}");
        // What the dead one has sent belongs to its life, also where the platform reads it only now.
        self.platform.quiet().await;
        let life = self.ends.len();
        self.ends.push(self.platform.shown().len());
        for (request, message) in under_way(self.home.path()).await {
            self.doubts.note(request, Doubt { message, life });
        }
    }
}

/// Requests that the store knows to be under way, by their deliveries and how far those were; of a copy, so that the
/// next life finds what the last one left.
async fn under_way(home: &Path) -> Vec<((DeliveryId, Bytes), usize)> {
    let copy = TempDir::new().expect("a temporary folder");
    let (from, to) = (home.join(".exoclaw"), copy.path().join(".exoclaw"));
    if !from.join("exoclaw.db").exists() {
        return Vec::new();
    }
    std::fs::create_dir(&to).expect("a writable folder");
    for file in ["exoclaw.db", "exoclaw.db-wal"] {
        // There is no log where the last life has not written.
        let _ = std::fs::copy(from.join(file), to.join(file));
    }
    let store = left_in(copy.path());
    let filter = DeliveryFilter { states: vec![DeliveryState::Sending], ..DeliveryFilter::default() };
    let page = store.deliveries(&filter, None, 500).await.expect("the outbox");
    assert!(page.next.is_none(), "no more than a request a conversation");
    let request = |delivery: exoclaw::store::Delivery| {
        let letter = Letter::from_bytes(&delivery.content).expect("a letter");
        let LetterContent::Markdown { text } = letter.content else { panic!("an answer is a text") };
        let message = number_in(&text)?;
        Some(((delivery.id, delivery.progress.unwrap_or_default()), message))
    };
    page.items.into_iter().filter_map(request).collect()
}

/// Pauses, as people do between two messages.
pub(crate) async fn a_little(dice: &mut Dice) {
    let pause: Duration = if dice.once_in(10) { dice.millis(50..200) } else { dice.millis(0..20) };
    sleep(pause).await;
}
