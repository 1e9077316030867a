//! What is old, or more than is to be kept, goes: once an hour, in small pieces, between which the store has
//! time for those who wait for an answer.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config::{AgentName, Config, RetentionConfig};
use crate::store::{DynStore, Retention, StoreError, Timestamp};

/// How often the store is looked through; the first time at start.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Between two pieces of the work.
const PAUSE: Duration = Duration::from_millis(100);

/// The agents, and what is kept of each. Those that keep everything are among them: what has passed its window
/// goes either way.
pub(super) fn rules(config: &Config) -> Vec<(AgentName, RetentionConfig)> {
    config.agents.iter().map(|(name, agent)| (name.clone(), agent.retention)).collect()
}

/// Works until `stop`. What is under way then is a transaction of the store's, which happens or not.
pub(super) async fn run(rules: Vec<(AgentName, RetentionConfig)>, store: DynStore, stop: CancellationToken) {
    let retain = |retention| {
        let store = DynStore::clone(&store);
        Box::pin(async move { store.retain(retention).await }) as BoxFuture<'static, _>
    };
    stop.run_until_cancelled(every_hour(&rules, &retain, &Timestamp::now)).await;
}

type Retain<'a> = &'a (dyn Fn(Retention) -> BoxFuture<'static, Result<bool, StoreError>> + Send + Sync);
type Clock<'a> = &'a (dyn Fn() -> Timestamp + Send + Sync);

async fn every_hour(rules: &[(AgentName, RetentionConfig)], retain: Retain<'_>, clock: Clock<'_>) {
    let mut hours = interval(EVERY);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        if let Err(error) = once(rules, retain, clock()).await {
            // The rest is older still at the next round.
            warn!(%error, "what is too old or too much could not be removed; it is tried again in an hour");
        }
    }
}

/// Removes all that is too old or too much `now`.
async fn once(rules: &[(AgentName, RetentionConfig)], retain: Retain<'_>, now: Timestamp) -> Result<(), StoreError> {
    for (agent, kept) in rules {
        let retention = || Retention { agent: agent.clone(), max_age: kept.max_age, max_size: kept.max_size, now };
        let mut pieces = 1_u64;
        while retain(retention()).await? {
            pieces = pieces.saturating_add(1);
            sleep(PAUSE).await;
        }
        debug!(%agent, pieces, "what is too old or too much is gone");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::FutureExt;
    use futures_util::future::ready;

    use super::*;
    use crate::config::{AgentConfig, ByteSize};

    /// What was asked of a store that has `pieces` of work for each question, and fails at the `failing`th.
    #[derive(Default)]
    struct Asked(Mutex<Vec<Retention>>);

    impl Asked {
        fn take(&self) -> Vec<Retention> {
            std::mem::take(&mut self.0.lock().expect("no test panics with it"))
        }

        fn note(&self, retention: Retention) -> usize {
            let mut asked = self.0.lock().expect("no test panics with it");
            asked.push(retention);
            asked.len()
        }
    }

    fn agents() -> Vec<(AgentName, RetentionConfig)> {
        let mut config = Config::default();
        let retention = RetentionConfig { max_age: Some(EVERY), max_size: Some(ByteSize::mib(1)) };
        let name = "short".parse().expect("a name");
        config.agents.insert(name, AgentConfig { retention, ..AgentConfig::default() });
        rules(&config)
    }

    #[tokio::test(start_paused = true)]
    async fn every_agent_is_asked_for_until_nothing_is_left() {
        let asked = Arc::new(Asked::default());
        let store = Arc::clone(&asked);
        let retain = move |retention| ready(Ok(store.note(retention) < 3)).boxed();
        let done = once(&agents(), &retain, Timestamp(7)).await;
        assert!(done.is_ok());
        let asked = asked.take();
        let names: Vec<_> = asked.iter().map(|asked| asked.agent.as_str()).collect();
        assert_eq!(names, ["default", "default", "default", "short"]);
        assert_eq!((asked[0].max_age, asked[0].max_size, asked[0].now), (None, None, Timestamp(7)));
        assert_eq!((asked[3].max_age, asked[3].max_size), (Some(EVERY), Some(ByteSize::mib(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_fails_is_followed_by_the_next() {
        let asked = Arc::new(Asked::default());
        let store = Arc::clone(&asked);
        let retain = move |retention| {
            let answer = if store.note(retention) == 1 { Err(StoreError::Closed) } else { Ok(false) };
            ready(answer).boxed()
        };
        let rules = agents();
        let rounds = every_hour(&rules, &retain, &|| Timestamp(7));
        // The start's round, which fails at its first question, and two more.
        let _ = tokio::time::timeout(EVERY * 2 + PAUSE, rounds).await;
        assert_eq!(asked.take().len(), 1 + 2 * rules.len());
    }
}
