//! The gateway itself: `auth`, `ping`, `status`, `rpc.discover`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::answer::{Answer, Effect, Proof};
use super::super::error::RpcError;
use super::super::table::{Method, Methods};
use super::super::{PROTOCOL, discover};
use super::NoParams;
use crate::agent::Load;
use crate::channel::{ChannelHealth, ChannelStatus};
use crate::gateway::Shared;
use crate::gateway::health::StorageHealth;
use crate::store::{ErrorCode, Health, Timestamp};

pub(super) fn methods() -> [Method; 4] {
    [
        Method::new(
            Methods::AUTH,
            "Shows the token. The first request of a connection that did not show it in its handshake.",
            &[ErrorCode::Unauthorised],
            auth,
        ),
        Method::new("ping", "Answers at once, with the gateway's clock.", &[], ping),
        Method::new("status", "What the gateway is and what it is doing.", &[], status),
        Method::new(
            "rpc.discover",
            "This document: every method with the schemas of its parameters and result.",
            &[],
            describe,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Auth {
    /// The gateway's token. May be left out where the connection is authorised already.
    token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Welcome {
    /// The version of this protocol.
    protocol: u32,
    /// The version of the gateway.
    version: &'static str,
}

async fn auth(shared: Arc<Shared>, params: Auth) -> Result<Answer<Welcome>, RpcError> {
    let welcome = Welcome { protocol: PROTOCOL, version: shared.state.version };
    match params.token {
        None => Ok(Answer::with(welcome, Effect::Authorise(Proof::None))),
        Some(token) => match shared.access.check_token(&token) {
            Ok(()) => Ok(Answer::with(welcome, Effect::Authorise(Proof::Token))),
            Err(denied) => Err(RpcError::unauthorised(denied.to_string())),
        },
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Pong {
    /// Milliseconds since the Unix epoch.
    time: Timestamp,
}

async fn ping(_: Arc<Shared>, _: NoParams) -> Result<Answer<Pong>, RpcError> {
    Ok(Answer::of(Pong { time: Timestamp::now() }))
}

#[derive(Debug, Serialize, JsonSchema)]
struct Status {
    /// The version of the gateway.
    version: &'static str,
    /// The version of this protocol.
    protocol: u32,
    /// What `/readyz` says: false while the gateway is going down, and while nothing can be stored.
    ready: bool,
    /// When it started, in milliseconds since the Unix epoch.
    started_at: Timestamp,
    /// For how many seconds it has run.
    uptime_s: u64,
    /// Present where answers are scripted: what that means.
    demo: Option<String>,
    /// Where everything is kept.
    storage: Storage,
    /// Open connections, this one among them.
    connections: usize,
    /// Sessions that are at work or watched.
    active_sessions: usize,
    /// Turns under way.
    turns: Load,
    /// Agents.
    agents: usize,
    /// Loaded plugins.
    plugins: usize,
    /// Those of them that failed so often that they are not called for now.
    quarantined: Vec<String>,
    /// Channels, by name.
    channels: Vec<Channel>,
}

/// A channel; `channel.list` says more.
#[derive(Debug, Serialize, JsonSchema)]
struct Channel {
    /// Its name in the config.
    name: String,
    /// The platform.
    platform: String,
    /// How it is.
    #[serde(flatten)]
    health: ChannelHealth,
    /// Since when it is so.
    since: Timestamp,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Storage {
    /// The store's address: `sqlite:PATH`, or `memory`.
    url: String,
    /// Whether it stores what it is asked to, and what keeps it from that.
    health: StorageHealth,
    /// What is wrong and what helps, for people; null where it is well.
    reason: Option<String>,
}

impl Storage {
    fn of(shared: &Shared) -> Self {
        let health = shared.health();
        let reason = match &health {
            Health::Well => None,
            Health::Sick(sickness) => Some(sickness.to_string()),
        };
        Self { url: shared.state.storage.clone(), health: StorageHealth::of(&health), reason }
    }
}

async fn status(shared: Arc<Shared>, _: NoParams) -> Result<Answer<Status>, RpcError> {
    let state = &shared.state;
    let plugins = state.plugins.readings().plugins;
    let quarantined = plugins.into_iter().filter(|plugin| plugin.quarantine.is_some());
    Ok(Answer::of(Status {
        version: state.version,
        protocol: PROTOCOL,
        ready: shared.unready().is_none(),
        started_at: state.started_at,
        uptime_s: Timestamp::now().since(state.started_at).as_secs(),
        demo: state.demo.clone(),
        storage: Storage::of(&shared),
        connections: shared.connections(),
        active_sessions: state.dispatcher.hub().topics(),
        turns: state.dispatcher.load(),
        agents: state.dispatcher.agents().len(),
        plugins: state.plugins.list().len(),
        quarantined: quarantined.map(|plugin| plugin.name).collect(),
        channels: channels(&shared),
    }))
}

fn channels(shared: &Shared) -> Vec<Channel> {
    let channel = |status: ChannelStatus| {
        let ChannelStatus { name, platform, health, since, .. } = status;
        Channel { name, platform, health, since }
    };
    let mut channels: Vec<_> = shared.state.channels.channels().into_iter().map(channel).collect();
    channels.sort_by(|one, other| one.name.cmp(&other.name));
    channels
}

async fn describe(shared: Arc<Shared>, _: NoParams) -> Result<Answer<Value>, RpcError> {
    Ok(Answer::of(discover::document(&shared.methods, shared.state.version)))
}
