//! Plugins that take each other's place.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use exoclaw::runtime::bindings::channel::{Action, Health, NextState};
use exoclaw::runtime::{
    Change, ChannelCall, ChannelPlugin, Consent, Objection, PluginError, Proposal, Registry, StatelessTrial, SwapGuard,
    Toolbox, TrapClass, trial,
};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, poll};
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;

/// A guest under another name.
async fn named(name: &str, guest: &str) -> Arc<Plugin> {
    let limits = PluginLimits { rate: 1_000_000, ..PluginLimits::default() };
    load(PluginSpec { name: name.parse().unwrap(), limits, ..spec(guest) }).await
}

async fn registry(plugins: &[(&str, &str)]) -> Registry {
    let mut loaded = Vec::new();
    for (name, guest) in plugins {
        loaded.push(named(name, guest).await);
    }
    Registry::new(Toolbox::new(loaded).unwrap())
}

fn remove(name: &str) -> Change {
    Change::Remove(name.parse().unwrap())
}

async fn answer(registry: &Registry) -> String {
    let tool = registry.snapshot().get("answer").unwrap().clone();
    text(&tool, json!({})).await.unwrap()
}

fn names(registry: &Registry) -> Vec<String> {
    registry.snapshot().plugins().iter().map(|plugin| plugin.name().to_string()).collect()
}

#[tokio::test]
async fn new_calls_go_to_the_new_plugin_and_running_ones_end_on_the_old() {
    let registry = registry(&[("mine", "hostile"), ("echo", "echo")]).await;
    let old = Arc::downgrade(&registry.snapshot().plugins()[0]);
    assert_eq!(answer(&registry).await, "42");
    {
        let sleep = registry.snapshot().get("sleep").unwrap().clone();
        let mut running = pin!(text(&sleep, json!({ "n": 50 })));
        assert!(poll!(&mut running).is_pending(), "it sleeps");

        registry.replace(named("mine", "successor").await).await.unwrap();
        assert_eq!(answer(&registry).await, "43");
        assert!(registry.snapshot().get("sleep").is_none());
        assert_eq!(names(&registry), ["mine", "echo"], "it stands where the old one stood");
        assert_eq!(running.await.unwrap(), "slept");
    }
    assert!(old.upgrade().is_none(), "with its last call the old plugin is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_plugins_are_swapped() {
    let registry = registry(&[("mine", "hostile")]).await;
    let calling: Vec<_> = (0..4)
        .map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..200 {
                    answers.push(answer(&registry).await);
                }
                answers
            })
        })
        .collect();
    let versions = [named("mine", "successor").await, named("mine", "hostile").await];
    for round in 0..200 {
        registry.replace(versions[round % 2].clone()).await.unwrap();
        tokio::task::yield_now().await;
    }
    for calls in calling {
        let answers = calls.await.unwrap();
        assert!(answers.iter().all(|answer| answer == "42" || answer == "43"), "{answers:?}");
    }
    assert_eq!(answer(&registry).await, "42");
    drop(registry);
    assert!(versions.iter().all(|version| Arc::strong_count(version) == 1), "nothing else holds them");
}

#[tokio::test]
async fn a_name_that_another_plugin_has_changes_nothing() {
    let registry = registry(&[("mine", "successor"), ("other", "echo")]).await;
    let hostile = named("third", "hostile").await;
    let refused = registry.replace(hostile.clone()).await.unwrap_err().to_string();
    for part in ["plugin `third`", "`answer`", "plugin `mine`"] {
        assert!(refused.contains(part), "the newcomer is at fault: {refused}");
    }
    // Also where it would stand before the one that it collides with.
    let refused = registry.replace(named("mine", "echo").await).await.unwrap_err().to_string();
    assert!(refused.contains("plugin `mine`") && refused.contains("plugin `other`"), "{refused}");
    assert_eq!((names(&registry), answer(&registry).await), (vec!["mine".into(), "other".into()], "43".into()));

    // Together with what makes room for it, it may come.
    registry.apply(&[remove("mine"), Change::Put(hostile)]).await.unwrap();
    assert_eq!((names(&registry), answer(&registry).await), (vec!["other".into(), "third".into()], "42".into()));
}

/// Objects to every change, or counts those that happen.
struct Guard {
    objects: bool,
    changes: Arc<AtomicUsize>,
}

impl SwapGuard for Guard {
    fn consider<'a>(&'a self, proposal: &'a Proposal) -> BoxFuture<'a, Result<Consent, Objection>> {
        async move {
            assert!(!Arc::ptr_eq(&proposal.now.plugins()[0], &proposal.next.plugins()[0]));
            if self.objects {
                return Err(Objection("not now".into()));
            }
            let changes = self.changes.clone();
            Ok(Consent::with(move || {
                changes.fetch_add(1, Ordering::Relaxed);
            }))
        }
        .boxed()
    }
}

#[tokio::test]
async fn who_depends_on_a_plugin_may_object_and_then_nothing_happens() {
    let registry = registry(&[("mine", "hostile")]).await;
    let changes = Arc::new(AtomicUsize::new(0));
    registry.attach(Arc::new(Guard { objects: false, changes: changes.clone() }));
    registry.replace(named("mine", "hostile").await).await.unwrap();
    assert_eq!(changes.load(Ordering::Relaxed), 1);

    registry.attach(Arc::new(Guard { objects: true, changes: changes.clone() }));
    let refused = registry.replace(named("mine", "successor").await).await.unwrap_err();
    assert_eq!(refused.to_string(), "not now");
    assert_eq!((answer(&registry).await.as_str(), changes.load(Ordering::Relaxed)), ("42", 1));
}

/// Agrees when it is let.
struct Slow(Arc<Semaphore>);

impl SwapGuard for Slow {
    fn consider<'a>(&'a self, _: &'a Proposal) -> BoxFuture<'a, Result<Consent, Objection>> {
        async {
            self.0
                .acquire()
                .await
                .map(|permit| permit.forget())
                .map_or(Err(Objection("gone".into())), |()| Ok(Consent::plain()))
        }
        .boxed()
    }
}

#[tokio::test]
async fn changes_happen_one_after_the_other_and_one_that_is_given_up_not_at_all() {
    let registry = registry(&[("mine", "successor")]).await;
    let permits = Arc::new(Semaphore::new(0));
    registry.attach(Arc::new(Slow(permits.clone())));
    let (hostile, echo, clock) =
        (named("mine", "hostile").await, named("echo", "echo").await, named("clock", "clock").await);
    {
        let mut given_up = pin!(registry.replace(clock));
        assert!(poll!(&mut given_up).is_pending());
    }
    let (mut first, mut second) = (pin!(registry.replace(hostile)), pin!(registry.replace(echo)));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    assert_eq!((names(&registry).len(), answer(&registry).await.as_str()), (1, "43"), "calls go on meanwhile");

    permits.add_permits(1);
    assert!(poll!(&mut second).is_pending(), "it is not its turn");
    first.await.unwrap();
    assert_eq!((names(&registry).len(), answer(&registry).await.as_str()), (1, "42"));
    permits.add_permits(1);
    second.await.unwrap();
    assert_eq!(names(&registry), ["mine", "echo"]);
}

#[tokio::test(start_paused = true)]
async fn who_never_agrees_holds_up_no_later_change() {
    let registry = registry(&[("mine", "hostile")]).await;
    let permits = Arc::new(Semaphore::new(0));
    registry.attach(Arc::new(Slow(permits.clone())));
    let successor = named("mine", "successor").await;
    let refused = registry.replace(successor.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("did not agree"), "{refused}");
    permits.add_permits(1);
    registry.replace(successor).await.unwrap();
    assert!(registry.snapshot().get("sleep").is_none());
}

const CALL: ChannelCall<'static> = ChannelCall { id: "reload", webhook_url: None, now: NOW, random: 7, attempt: 1 };

async fn stubborn() -> ChannelPlugin {
    let limits = PluginLimits { time: Duration::from_millis(300), ..PluginLimits::default() };
    load(PluginSpec { limits, ..spec("stubborn") }).await.channel().unwrap()
}

#[tokio::test]
async fn a_channel_is_tried_on_a_copy_of_the_old_ones_state() {
    let state = b"stubborn:7".to_vec();
    let started = trial(&stubborn().await, CALL, &state).await.unwrap();
    assert_eq!(started.state, NextState::Durable(b"stubborn:7+".to_vec()));
    assert_eq!(started.actions, [Action::Report(Health::Ready)]);
    assert_eq!(state, b"stubborn:7");

    let refused = trial(&stubborn().await, CALL, b"41").await.unwrap_err();
    assert_eq!(refused.error, CallError::Plugin(PluginError::InvalidInput("the state is of another version".into())));
    assert!(refused.to_string().contains("channel `stubborn`"), "{refused}");
    let trapped = trial(&stubborn().await, CALL, b"trap").await.unwrap_err();
    assert_eq!(trapped.error, CallError::Trap(TrapClass::Unreachable));
    let looped = trial(&stubborn().await, CALL, b"spin").await.unwrap_err();
    assert_eq!(looped.error, CallError::Timeout(Duration::from_millis(300)));
}

#[tokio::test]
async fn a_channel_whose_new_version_does_not_start_stays_the_old() {
    let registry = registry(&[("talk", "loopback"), ("mine", "hostile")]).await;
    registry.attach(Arc::new(StatelessTrial));
    let refused = registry.replace(named("talk", "stubborn").await).await.unwrap_err().to_string();
    assert!(refused.contains("the state is of another version"), "{refused}");
    assert_eq!(registry.snapshot().plugins()[0].channel().unwrap().platform(), "loopback");

    // Its own next version is one that starts, and tools are not tried.
    let same = named("talk", "loopback").await;
    registry.apply(&[Change::Put(same.clone()), Change::Put(named("mine", "successor").await)]).await.unwrap();
    assert!(Arc::ptr_eq(&registry.snapshot().plugins()[0], &same));
    assert_eq!(answer(&registry).await, "43");
}
