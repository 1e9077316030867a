//! The gateway's lives, and the people who write meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::harness::{Builder, FakeProvider, Gate, Gateway, Reply, Request, Wire};
use crate::platform::config::Channel;
use crate::platform::dice::Dice;

/// What is answered to a message.
pub(crate) fn answer_to(text: &str) -> String {
    format!("You said: {text}")
}

/// A model that takes its time.
pub(crate) async fn model(dice: Dice) -> FakeProvider {
    let dice = std::sync::Mutex::new(dice);
    FakeProvider::start(Wire::Anthropic, move |request: &Request| {
        let (gate, pause) = (Gate::new(), dice.lock().expect("no poison").millis(0..20));
        let opens = gate.clone();
        tokio::spawn(async move {
            sleep(pause).await;
            opens.open();
        });
        Reply::new().wait(&gate).say(answer_to(&request.question()))
    })
    .await
}

/// A gateway with this channel, in a folder that outlives it.
pub(crate) struct Lives {
    builder: Builder,
    dice: Dice,
    /// When it was killed, in order.
    pub(crate) kills: Vec<Instant>,
    /// Counts lives, for those who note what happened in which.
    pub(crate) life: Arc<AtomicU32>,
}

impl Lives {
    pub(crate) fn new(provider: &FakeProvider, channel: &Channel, tables: &str, dice: Dice) -> Self {
        let home = Arc::new(TempDir::new().expect("a temporary folder"));
        let builder = Gateway::builder()
            .provider(provider)
            .home(&home)
            .agent("context_tokens = 300")
            .tables("[limits.plugin]\nrate = 1000000\n")
            .tables(tables);
        Self { builder: channel.on(builder), dice, kills: Vec::new(), life: Arc::default() }
    }

    /// One that is left alone.
    pub(crate) async fn peace(&self) -> Gateway {
        self.builder.clone().start().await
    }

    /// A life that ends by SIGKILL: mostly short, now and then long enough for something to come to its end, and now
    /// and then before it has begun.
    pub(crate) async fn violence(&mut self) {
        let gateway = if self.dice.once_in(8) {
            let starting = self.builder.clone().launch();
            sleep(self.dice.millis(0..200)).await;
            starting
        } else {
            let gateway = self.builder.clone().start().await;
            let life = if self.dice.once_in(4) { self.dice.millis(300..1_500) } else { self.dice.millis(20..300) };
            sleep(life).await;
            gateway
        };
        self.died(gateway);
    }

    /// Kills it with SIGKILL. It must not have died of itself before.
    pub(crate) fn died(&mut self, mut gateway: Gateway) {
        let logs = gateway.kill();
        self.kills.push(Instant::now());
        self.life.fetch_add(1, Ordering::SeqCst);
        let panics: Vec<_> = logs.iter().filter(|line| line.contains("panicked at")).collect();
        assert!(panics.is_empty(), "{panics:#?}");
    }

    /// In which life something happened.
    pub(crate) fn life_at(&self, at: Instant) -> usize {
        self.kills.partition_point(|kill| *kill < at)
    }
}

/// A pause between two messages.
pub(crate) fn pause(dice: &mut Dice) -> Duration {
    if dice.once_in(10) { dice.millis(50..200) } else { dice.millis(0..20) }
}
