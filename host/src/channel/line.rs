//! What all that works for one channel shares: its plugin and state as they are now, its settings,
//! its health.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::counts::Counts;
use crate::agent::Dispatcher;
use crate::config::{ChannelConfig, DeliveryConfig, PluginName};
use crate::runtime::{ChannelCall, ChannelPlugin};
use crate::store::{DynStore, Epoch, Timestamp};

/// One channel, as its driver, its outbox and its webhook see it.
pub(super) struct Line {
    pub(super) name: PluginName,
    pub(super) config: ChannelConfig,
    pub(super) delivery: DeliveryConfig,
    pub(super) dispatcher: Dispatcher,
    pub(super) store: DynStore,
    pub(super) epoch: Epoch,
    pub(super) counts: Counts,
    /// Another takes its place at a reload.
    plugin: watch::Sender<ChannelPlugin>,
    /// As it is stored, or, of a `lazy` one, soon will be.
    state: watch::Sender<Bytes>,
    health: Mutex<Reported>,
}

/// How a channel is, by its own word, or by the driver's where it has none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ChannelHealth {
    /// Not there yet.
    Connecting {
        /// In the channel's words.
        detail: String,
    },
    /// It hears and speaks.
    Ready,
    /// It works in part, or will again by itself.
    Degraded {
        /// In the channel's words.
        detail: String,
    },
    /// It needs its owner.
    Failed {
        /// In the channel's words.
        detail: String,
    },
    /// Its plugin fails again and again, and rests.
    Quarantined {
        /// When it is tried again.
        until: Timestamp,
        /// The last failure.
        detail: String,
    },
}

/// A channel's health and since when it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) health: ChannelHealth,
    pub(super) since: Timestamp,
}

/// What a [`Line`] is made of.
pub(super) struct LineParts {
    pub(super) name: PluginName,
    pub(super) config: ChannelConfig,
    pub(super) delivery: DeliveryConfig,
    pub(super) dispatcher: Dispatcher,
    pub(super) plugin: ChannelPlugin,
    pub(super) state: Bytes,
}

impl Line {
    pub(super) fn new(parts: LineParts, now: Timestamp) -> Arc<Self> {
        let LineParts { name, config, delivery, dispatcher, plugin, state } = parts;
        let starting = ChannelHealth::Connecting { detail: "it starts".to_owned() };
        Arc::new(Self {
            name,
            config,
            delivery,
            store: Arc::clone(dispatcher.store()),
            epoch: dispatcher.epoch(),
            dispatcher,
            counts: Counts::default(),
            plugin: watch::Sender::new(plugin),
            state: watch::Sender::new(state),
            health: Mutex::new(Reported { health: starting, since: now }),
        })
    }

    /// The plugin as it is now. Who holds it keeps that version.
    pub(super) fn plugin(&self) -> ChannelPlugin {
        self.plugin.borrow().clone()
    }

    pub(super) fn set_plugin(&self, plugin: ChannelPlugin) {
        self.plugin.send_replace(plugin);
    }

    /// The channel's state as it is now.
    pub(super) fn state(&self) -> Bytes {
        self.state.borrow().clone()
    }

    pub(super) fn set_state(&self, state: Bytes) {
        self.state.send_replace(state);
    }

    /// What a call of the plugin is told. `id` names the event or delivery in logs.
    pub(super) fn call<'a>(&'a self, id: &'a str, attempt: u32, now: Timestamp) -> ChannelCall<'a> {
        let webhook_url = self.config.webhook_url.as_deref();
        ChannelCall { id, webhook_url, now, random: chance(), attempt }
    }

    pub(super) fn health(&self) -> Reported {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how the channel is; since when, only where it changed.
    pub(super) fn report(&self, health: ChannelHealth, now: Timestamp) {
        let mut reported = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.health != health {
            *reported = Reported { health, since: now };
        }
    }
}

/// 64 random bits for a plugin, which has no other chance. Jitter and nonces are made of them, no
/// secrets, so a machine without a source of randomness falls back to the process's hash keys.
pub(super) fn chance() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    getrandom::u64().unwrap_or_else(|_| RandomState::new().build_hasher().finish())
}
