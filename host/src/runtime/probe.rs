//! Plugins asked beneath the host's checks, for what tests them.
//!
//! [`Tool`](super::Tool) and [`ChannelPlugin`](super::ChannelPlugin) never give a plugin what the
//! contract keeps from it, and ask what it is only once. A probe does both, under the plugin's own
//! grants and limits, always outside of time: both clocks stand, and chance follows from a seed.

use std::sync::Arc;

use wasmtime::Store;

use crate::store::{SessionKey, Timestamp, ToolContent};

use super::bindings::{channel, tool, types};
use super::capability::Made;
use super::channel::{ChannelCall, ChannelPlugin};
use super::error::CallError;
use super::invoke::{CallStats, Invocation, Purpose};
use super::plugin::{Plugin, Side};
use super::state::{Caller, Conditions, State};
use super::tool::{Tool, ToolSide, answer};

/// What came of a call, and what it took.
pub type Measured<R> = (Result<R, CallError>, CallStats);

/// What a tool plugin is called with, unchecked.
#[derive(Debug, Clone, Copy)]
pub struct RawCall<'a> {
    /// The session.
    pub session: &'a SessionKey,
    /// The time, which stands still during the call.
    pub now: Timestamp,
    /// Where chance begins.
    pub seed: u64,
    /// The tool's name, whether or not there is one of this name.
    pub name: &'a str,
    /// Its arguments, whether or not they are JSON.
    pub arguments: &'a str,
}

/// A tool plugin beneath the host's checks.
#[derive(Clone, Copy)]
pub struct ToolProbe<'a> {
    plugin: &'a Plugin,
    side: &'a ToolSide,
}

/// A channel plugin beneath the host's checks.
#[derive(Clone)]
pub struct ChannelProbe(ChannelPlugin);

impl Plugin {
    /// The plugin as a probe of tools; none of a channel.
    #[must_use]
    pub fn probe_tools(&self) -> Option<ToolProbe<'_>> {
        match &self.side {
            Side::Tool(side) => Some(ToolProbe { plugin: self, side }),
            Side::Channel(_) => None,
        }
    }

    /// The plugin as a probe of a channel; none of tools.
    #[must_use]
    pub fn probe_channel(self: &Arc<Self>) -> Option<ChannelProbe> {
        ChannelPlugin::of(self).map(ChannelProbe)
    }

    /// Every call of a probe.
    async fn probed<R>(
        &self,
        invocation: Invocation<'_>,
        work: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<Result<R, types::Error>>,
    ) -> Measured<R> {
        // Not work that the plugin was given: it may fail at every one of them and is tried again.
        let invocation = Invocation { purpose: Purpose::Load, ..invocation };
        self.invoker.measured(invocation, work, answer).await
    }
}

impl ToolProbe<'_> {
    /// What it says that it is.
    pub async fn describe(&self) -> Measured<tool::Description> {
        let work = async |store: &mut Store<State>| {
            let plugin = self.side.pre.instantiate_async(&mut *store).await?;
            plugin.exoclaw_plugin_tool().call_describe(store).await.map(Ok)
        };
        self.plugin.probed(Invocation::at_load("describe"), work).await
    }

    /// The tools that it defines under these settings, which may be no settings at all. `None`
    /// stands for its own.
    pub async fn definitions(&self, settings: Option<&str>) -> Measured<Vec<tool::Definition>> {
        let settings = settings.unwrap_or(&self.plugin.settings).to_owned();
        let work = async |store: &mut Store<State>| {
            let plugin = self.side.pre.instantiate_async(&mut *store).await?;
            plugin.exoclaw_plugin_tool().call_definitions(store, &settings).await
        };
        self.plugin.probed(Invocation::at_load("definitions"), work).await
    }

    /// Calls it with whatever is given. Its answer is not checked either.
    pub async fn call(&self, call: RawCall<'_>) -> Measured<Vec<tool::Content>> {
        let agent = call.session.agent();
        let context = tool::Context {
            agent: agent.clone(),
            session: call.session.as_str().to_owned(),
            call: "probe".to_owned(),
            settings: self.plugin.settings.clone(),
            now: call.now.0,
        };
        let (name, arguments) = (call.name.to_owned(), call.arguments.to_owned());
        let caller = Caller { agent, session: call.session.clone(), progress: None, files: Made::default() };
        let conditions = Conditions::Standing { now: call.now, seed: call.seed };
        let purpose = Purpose::Load;
        let invocation = Invocation { function: "call", call: "probe", purpose, conditions, caller: Some(caller) };
        let work = async |store: &mut Store<State>| {
            let plugin = self.side.pre.instantiate_async(&mut *store).await?;
            plugin.exoclaw_plugin_tool().call_call(store, &context, &name, &arguments).await
        };
        self.plugin.probed(invocation, work).await
    }

    /// What the host makes of a tool's answer.
    ///
    /// # Errors
    /// It is too large, or not what the contract and the tool's output schema say.
    pub fn checked(&self, tool: &Tool, contents: Vec<tool::Content>) -> Result<Vec<ToolContent>, CallError> {
        // A file that a probe names is found by nobody: its call is over, and nobody asked for it.
        tool.checked_answer(contents, Vec::new())
    }
}

impl ChannelProbe {
    /// What it says that it is.
    pub async fn describe(&self) -> Measured<channel::Description> {
        let work = async |store: &mut Store<State>| {
            let plugin = self.0.side.pre().instantiate_async(&mut *store).await?;
            plugin.exoclaw_plugin_channel().call_describe(store).await.map(Ok)
        };
        self.0.plugin.probed(Invocation::at_load("describe"), work).await
    }

    /// What it needs under these settings, which may be no settings at all. `None` stands for its
    /// own.
    pub async fn configure(&self, settings: Option<&str>) -> Measured<channel::Setup> {
        let settings = settings.unwrap_or(&self.0.plugin.settings).to_owned();
        let work = async |store: &mut Store<State>| {
            let plugin = self.0.side.pre().instantiate_async(&mut *store).await?;
            plugin.exoclaw_plugin_channel().call_configure(store, &settings).await
        };
        self.0.plugin.probed(Invocation::at_load("configure"), work).await
    }

    /// One event.
    pub async fn parse_incoming(
        &self,
        call: ChannelCall<'_>,
        state: &[u8],
        event: &channel::Event,
    ) -> Measured<channel::Incoming> {
        let (context, invocation) = self.0.told("parse-incoming", call);
        let work = async |store: &mut Store<State>| {
            let plugin = self.0.side.pre().instantiate_async(&mut *store).await?;
            plugin.exoclaw_plugin_channel().call_parse_incoming(store, &context, state, event).await
        };
        self.0.plugin.probed(invocation, work).await
    }

    /// The next step of a delivery; with an outcome, what becomes of its request.
    pub async fn delivery(
        &self,
        call: ChannelCall<'_>,
        state: &[u8],
        outgoing: &channel::Outgoing,
        progress: &[u8],
        outcome: Option<&channel::Outcome>,
    ) -> Measured<channel::Step> {
        let function = if outcome.is_some() { "parse-delivery" } else { "format-outgoing" };
        let (context, invocation) = self.0.told(function, call);
        let work = async |store: &mut Store<State>| {
            let plugin = self.0.side.pre().instantiate_async(&mut *store).await?;
            let channel = plugin.exoclaw_plugin_channel();
            match outcome {
                None => channel.call_format_outgoing(store, &context, state, outgoing, progress).await,
                Some(outcome) => channel.call_parse_delivery(store, &context, state, outgoing, progress, outcome).await,
            }
        };
        self.0.plugin.probed(invocation, work).await
    }

    /// How to get at an attachment.
    pub async fn fetch_attachment(
        &self,
        call: ChannelCall<'_>,
        state: &[u8],
        handle: &[u8],
        previous: Option<&channel::Response>,
    ) -> Measured<channel::Fetch> {
        let (context, invocation) = self.0.told("fetch-attachment", call);
        let work = async |store: &mut Store<State>| {
            let plugin = self.0.side.pre().instantiate_async(&mut *store).await?;
            let channel = plugin.exoclaw_plugin_channel();
            channel.call_fetch_attachment(store, &context, state, handle, previous).await
        };
        self.0.plugin.probed(invocation, work).await
    }
}
