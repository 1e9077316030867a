//! For tests: a channel's line over a store in memory, with the loopback channel as its plugin and a
//! model that says nothing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::line::{Line, LineParts};
use crate::agent::{Dispatcher, Parts};
use crate::config::{AgentConfig, AgentName, ChannelConfig, Config, LimitsConfig, ModelName};
use crate::provider::{EventStream, Jitter, Provider, ProviderError, Providers, Request};
use crate::runtime::bindings::channel::{Address, Conversation, Kind, Message, Sender};
use crate::runtime::{ChannelPlugin, PluginSpec, Registry, Runtime, Services, Source};
use crate::store::{DynStore, MemoryLimits, MemoryStore, Timestamp};

pub(super) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The time at which tests begin.
pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A model that thinks for ever.
struct Silent;

impl Provider for Silent {
    fn name(&self) -> &str {
        "silent"
    }

    fn max_retries(&self) -> u32 {
        0
    }

    fn open<'a>(
        &'a self,
        _: &'a str,
        _: &'a Request,
    ) -> BoxFuture<'a, std::result::Result<EventStream, ProviderError>> {
        std::future::pending().boxed()
    }
}

/// The loopback channel, loaded.
pub(super) async fn loopback() -> Result<ChannelPlugin> {
    let guest = exoclaw_bundle::find("loopback").ok_or("no loopback in the bundle")?;
    let runtime = Runtime::new(&LimitsConfig::default(), Services::detached())?;
    let plugin = runtime.load(PluginSpec::new("loop".parse()?, Source::Bundled(guest))).await?;
    Ok(plugin.channel().ok_or("no channel")?)
}

/// A channel named `loop`, whose table says `config`.
pub(super) async fn line(config: ChannelConfig, limits: LimitsConfig) -> Result<Arc<Line>> {
    let store: DynStore = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let epoch = store.take_over().await?;
    let models = vec![ModelName { provider: "silent".into(), model: "m".into() }];
    let mut whole = Config { limits, ..Config::default() };
    whole.agents.insert(AgentName::default_agent(), AgentConfig { models, ..AgentConfig::default() });
    let dispatcher = Dispatcher::new(Parts {
        config: &whole,
        store,
        epoch,
        courier: Arc::new(()),
        attachments: Arc::new(()),
        providers: &Providers::new([Arc::new(Silent) as Arc<dyn Provider>]),
        jitter: Arc::new(Jitter::seeded(1)),
        tools: &Registry::default(),
    })?;
    let plugin = loopback().await?;
    let parts = LineParts {
        name: "loop".parse()?,
        config,
        delivery: whole.delivery.clone(),
        dispatcher,
        plugin,
        state: Bytes::new(),
    };
    Ok(Line::new(parts, NOW))
}

/// A direct message of Ada's.
pub(super) fn message(id: &str, text: &str) -> Message {
    Message {
        event_id: format!("event-{id}"),
        id: id.to_owned(),
        kind: Kind::New,
        address: Address { account: None, peer: "chat".into(), guild: None, team: None, thread: None },
        sender: Sender { id: "ada".into(), name: Some("Ada".into()), bot: false },
        text: text.to_owned(),
        attachments: Vec::new(),
        reply_to: None,
        conversation: Conversation::Direct,
        mentions_agent: false,
        sent_at: None,
        handle: Vec::new(),
    }
}
