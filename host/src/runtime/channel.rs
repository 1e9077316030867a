//! Channels: pure functions over events and states, each call in a fresh instance outside of time.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::store::Timestamp;

use super::bindings::{ChannelPluginPre, channel};
use super::error::{CallError, LoadProblem};
use super::invoke::{Invocation, Invoker, Purpose};
use super::load::check_settings;
use super::plugin::{Plugin, Side};
use super::schema::Schema;
use super::state::{Conditions, State};
use super::tool::answer;

/// A channel, configured.
pub(super) struct ChannelSide {
    pre: ChannelPluginPre<State>,
    pub(super) settings_schema: Schema,
    platform: String,
    setup: channel::Setup,
}

impl ChannelSide {
    pub(super) async fn load(
        pre: InstancePre<State>,
        invoker: &Invoker,
        settings: &String,
    ) -> Result<Self, LoadProblem> {
        let pre = ChannelPluginPre::new(pre).map_err(|error| LoadProblem::Contract(format!("{error:#}")))?;
        let failed = |function| move |error| LoadProblem::Call { function, error };
        let description = invoker
            .run(
                Invocation::at_load("describe"),
                async |store| {
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.exoclaw_plugin_channel().call_describe(store).await
                },
                Ok,
            )
            .await
            .map_err(failed("describe"))?;
        let settings_schema = check_settings(&description.settings_schema, settings)?;
        let setup = invoker
            .run(
                Invocation::at_load("configure"),
                async |store| {
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.exoclaw_plugin_channel().call_configure(store, settings).await
                },
                answer,
            )
            .await
            .map_err(failed("configure"))?;
        Ok(Self { pre, settings_schema, platform: description.platform, setup })
    }
}

impl ChannelSide {
    pub(super) fn setup(&self) -> &channel::Setup {
        &self.setup
    }

    pub(super) fn platform(&self) -> &str {
        &self.platform
    }

    pub(super) fn pre(&self) -> &ChannelPluginPre<State> {
        &self.pre
    }
}

/// What a channel is told with every call, besides its settings.
#[derive(Debug, Clone, Copy)]
pub struct ChannelCall<'a> {
    /// The id of the event or delivery, for logs.
    pub id: &'a str,
    /// Where the platform reaches the channel's webhook.
    pub webhook_url: Option<&'a str>,
    /// The time, which stands still during the call.
    pub now: Timestamp,
    /// Fresh random bits: all chance that the call has.
    pub random: u64,
    /// 1, or more when the same call trapped or timed out before.
    pub attempt: u32,
}

/// A channel that was loaded. Cheap to clone; keeps the plugin loaded.
#[derive(Clone)]
pub struct ChannelPlugin {
    pub(super) plugin: Arc<Plugin>,
    pub(super) side: Arc<ChannelSide>,
}

impl ChannelPlugin {
    pub(super) fn of(plugin: &Arc<Plugin>) -> Option<Self> {
        match &plugin.side {
            Side::Channel(side) => Some(Self { plugin: plugin.clone(), side: side.clone() }),
            Side::Tool(_) => None,
        }
    }

    /// The plugin that it is.
    #[must_use]
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// The platform's name.
    #[must_use]
    pub fn platform(&self) -> &str {
        &self.side.platform
    }

    /// The most that it may be given in one call, in bytes.
    #[must_use]
    pub fn max_input(&self) -> usize {
        self.plugin.invoker.reach().limits.result.bytes()
    }

    /// What its settings need of the host.
    #[must_use]
    pub fn setup(&self) -> &channel::Setup {
        &self.side.setup
    }

    /// From the platform to the agent: one event.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn parse_incoming(
        &self,
        call: ChannelCall<'_>,
        state: &[u8],
        event: &channel::Event,
    ) -> Result<channel::Incoming, CallError> {
        let (context, invocation) = self.told("parse-incoming", call);
        let work = async |store: &mut Store<State>| {
            let plugin = self.side.pre.instantiate_async(&mut *store).await?;
            plugin.exoclaw_plugin_channel().call_parse_incoming(store, &context, state, event).await
        };
        self.plugin.invoker.run(invocation, work, answer).await
    }

    /// From the agent to the platform: the next step of a delivery.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn format_outgoing(
        &self,
        call: ChannelCall<'_>,
        state: &[u8],
        outgoing: &channel::Outgoing,
        progress: &[u8],
    ) -> Result<channel::Step, CallError> {
        let (context, invocation) = self.told("format-outgoing", call);
        let work = async |store: &mut Store<State>| {
            let plugin = self.side.pre.instantiate_async(&mut *store).await?;
            plugin.exoclaw_plugin_channel().call_format_outgoing(store, &context, state, outgoing, progress).await
        };
        self.plugin.invoker.run(invocation, work, answer).await
    }

    /// What became of a delivery's request.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn parse_delivery(
        &self,
        call: ChannelCall<'_>,
        state: &[u8],
        outgoing: &channel::Outgoing,
        progress: &[u8],
        outcome: &channel::Outcome,
    ) -> Result<channel::Step, CallError> {
        let (context, invocation) = self.told("parse-delivery", call);
        let work = async |store: &mut Store<State>| {
            let plugin = self.side.pre.instantiate_async(&mut *store).await?;
            let channel = plugin.exoclaw_plugin_channel();
            channel.call_parse_delivery(store, &context, state, outgoing, progress, outcome).await
        };
        self.plugin.invoker.run(invocation, work, answer).await
    }

    /// How to get at an attachment: `handle` names it, `previous` answers the last look-up.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn fetch_attachment(
        &self,
        call: ChannelCall<'_>,
        state: &[u8],
        handle: &[u8],
        previous: Option<&channel::Response>,
    ) -> Result<channel::Fetch, CallError> {
        let (context, invocation) = self.told("fetch-attachment", call);
        let work = async |store: &mut Store<State>| {
            let plugin = self.side.pre.instantiate_async(&mut *store).await?;
            plugin.exoclaw_plugin_channel().call_fetch_attachment(store, &context, state, handle, previous).await
        };
        self.plugin.invoker.run(invocation, work, answer).await
    }

    pub(super) fn told<'a>(&self, function: &'static str, call: ChannelCall<'a>) -> (channel::Context, Invocation<'a>) {
        let context = channel::Context {
            settings: self.plugin.settings.clone(),
            webhook_url: call.webhook_url.map(str::to_owned),
            now: call.now.0,
            random: call.random,
            attempt: call.attempt,
        };
        let conditions = Conditions::Standing { now: call.now, seed: call.random };
        (context, Invocation { function, call: call.id, purpose: Purpose::Work, conditions, caller: None })
    }
}

impl std::fmt::Debug for ChannelPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChannelPlugin({} for {})", self.plugin.name(), self.platform())
    }
}
