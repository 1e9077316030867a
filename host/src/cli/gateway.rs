//! `exoclaw gateway`: puts the parts together, runs them, and takes them down in order.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::plugins::{self, Directory, Plugins};
use super::reload::{self, Reloads};
use super::storage::Storage;
use super::{CliError, GatewayArgs, output, retention};
use crate::agent::{Attachments, Courier, Dispatcher, Parts};
use crate::channel::{AttachmentDesk, Channels, Post};
use crate::config::{Config, Loaded, StorageUrl};
use crate::gateway::{Gateway, GatewayState};
use crate::home::Home;
use crate::net::Client;
use crate::provider::scripted::{PACE, ScriptedModel};
use crate::provider::{Jitter, Providers};
use crate::runtime::{Registry, Services};
use crate::secrets;
use crate::store::Timestamp;

/// What the demo says of itself, at start and in `status`.
const DEMO: &str = "a scripted model answers; it calls the tools when asked for the time, an echo or arithmetic";

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// It could not start.
pub async fn run(args: GatewayArgs, mut loaded: Loaded) -> Result<(), CliError> {
    // First, so that a signal during a long start is not lost.
    let mut signals = Signals::new()?;
    let started_at = Timestamp::now();
    let as_read = loaded.clone();
    args.apply(&mut loaded.config);
    let Loaded { mut config, home, .. } = loaded;
    let demo = if args.demo { Some(script(&mut config).await?) } else { None };

    let token = secrets::load("gateway", &config.gateway.token_env, &home)?;
    let client = Client::new(&config.net).map_err(CliError::failed)?;
    let providers = providers(&config, &client, &home)?;
    let Storage { store, url } = Storage::open_aside(&config, &home).await?;
    info!(store = url, "the store is open");
    let services = Services { store: Arc::clone(&store), client: Some(client.clone()) };
    let Plugins { runtime, tools } = plugins::load(&config, services, &home).await?;
    let plugins = Registry::new(tools);
    let epoch = store.take_over().await.map_err(CliError::failed)?;
    let post = Arc::new(Post::default());
    let desk = Arc::new(AttachmentDesk::default());
    let dispatcher = Dispatcher::new(Parts {
        config: &config,
        store: Arc::clone(&store),
        epoch,
        courier: Arc::clone(&post) as Arc<dyn Courier>,
        attachments: Arc::clone(&desk) as Arc<dyn Attachments>,
        providers: &providers,
        jitter: Arc::new(Jitter::from_system()),
        tools: &plugins,
    })
    .map_err(|error| CliError::Usage(error.to_string()))?;
    let channels = Channels::prepare(&config, &plugins, &dispatcher, Arc::clone(&post), desk)
        .await
        .map_err(|error| CliError::Usage(error.to_string()))?;
    plugins.attach(Arc::new(channels.clone()));
    let (reloads, mut reloading) =
        Reloads::start(reload::Parts { registry: plugins.clone(), runtime, loaded: as_read });
    let state = GatewayState {
        dispatcher: dispatcher.clone(),
        plugins: Arc::new(Directory::new(plugins, reloads.clone())),
        started_at,
        version: env!("CARGO_PKG_VERSION"),
        demo: demo.is_some().then(|| DEMO.to_owned()),
        storage: url,
        channels: Arc::new(channels.clone()),
        post,
    };
    let gateway = Gateway::bind(&config.gateway, token.as_ref(), state).map_err(CliError::failed)?;
    // Once the address is ours, and before anyone is heard. Turns that go on may have drafts to go on with.
    channels.open();
    dispatcher.recover().await.map_err(CliError::failed)?;
    channels.drive();
    announce(&gateway, &dispatcher, demo.is_some())?;

    let readiness = gateway.readiness();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(gateway.serve(shutdown.clone()));
    let retaining = tokio::spawn(retention::run(retention::rules(&config), store, shutdown.clone()));
    let looking_after = tokio::spawn({
        let (dispatcher, stop) = (dispatcher.clone(), shutdown.clone());
        async move { dispatcher.look_after(stop).await }
    });
    let models: Vec<String> =
        config.agents.values().flat_map(|agent| &agent.models).map(|name| name.model.clone()).collect();
    let meter = dispatcher.meter().clone();
    let warming = tokio::spawn(async move {
        let counts = tokio::task::spawn_blocking(move || meter.warm_up(models.iter().map(String::as_str)));
        if let Err(error) = counts.await {
            warn!(%error, "the first call of a model may wait for tables");
        }
        // The first call to a provider need not wait for the trust store.
        if let Err(error) = client.load_trust().await {
            warn!(%error, "calls to providers over TLS will fail");
        }
    });

    while signals.next().await == Signal::Reload {
        info!("reading the config file again");
        reloads.follow_config();
    }
    info!(within = ?config.gateway.drain_timeout, "going down: running turns may finish; a second signal ends them");
    // New turns and reloads are refused from the first poll on, and only then is it said to be so.
    let draining = async {
        let refused = async { readiness.drain() };
        tokio::join!(biased; dispatcher.drain(config.gateway.drain_timeout), reloading.shutdown(), refused);
    };
    tokio::select! {
        () = draining => {}
        () = signals.stop() => dispatcher.drain(std::time::Duration::ZERO).await,
    }
    // Their answers are stored: what can leave now does, and what cannot leaves after the next start.
    channels.shut_down().await;
    shutdown.cancel();
    warming.abort();
    serving.await.map_err(CliError::failed)?;
    retaining.await.map_err(CliError::failed)?;
    looking_after.await.map_err(CliError::failed)?;
    drop(demo);
    info!("down");
    Ok(())
}

/// Starts the scripted model and has every agent ask it. Nothing is kept, unless the config names a place for it.
async fn script(config: &mut Config) -> Result<ScriptedModel, CliError> {
    let model = ScriptedModel::start(PACE).await?;
    // What a scripted model says does not belong among what its owner keeps.
    if config.storage.url == StorageUrl::Home {
        config.storage.url = StorageUrl::Memory;
    }
    let name = ScriptedModel::model_name();
    config.providers.insert(name.provider.clone(), model.provider_config());
    for agent in config.agents.values_mut() {
        agent.models = vec![name.clone()];
    }
    Ok(model)
}

/// The providers with their keys. A key that is missing is told when it is needed; one that
/// cannot be read is told now.
fn providers(config: &Config, client: &Client, home: &Home) -> Result<Providers, CliError> {
    let mut keys = HashMap::new();
    for (name, provider) in config.providers.iter().filter(|(_, provider)| !provider.api_key_env.is_empty()) {
        keys.insert(name.as_str(), secrets::load(name, &provider.api_key_env, home)?);
    }
    Providers::from_config(config, client, |name, _| keys.get(name).cloned().flatten())
        .map_err(|error| CliError::Usage(error.to_string()))
}

/// Says where the gateway is and whether it can answer: on standard output, where people and
/// scripts look, and in the log.
fn announce(gateway: &Gateway, dispatcher: &Dispatcher, demo: bool) -> Result<(), CliError> {
    let address = gateway.local_addr();
    let version = env!("CARGO_PKG_VERSION");
    let mut lines = format!("exoclaw {version} listens on ws://{address}/ws\n");
    if demo {
        lines.push_str(&format!("this is a demo: {DEMO}\n"));
        lines.push_str("try: exoclaw chat \"What time is it in Tokyo, and what is 12.5 * (3 + 4)?\"\n");
    }
    for problem in dispatcher.agents().into_iter().filter_map(|agent| agent.problem) {
        lines.push_str(&format!("{problem}\n"));
    }
    output::print(lines.as_bytes())?;
    info!(%address, version, "listening");
    Ok(())
}

/// What the owner tells the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// SIGTERM, SIGINT (Ctrl-C).
    Stop,
    /// SIGHUP.
    #[cfg_attr(not(unix), allow(dead_code, reason = "there is no such signal"))]
    Reload,
}

/// How the owner tells it.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, hangup: hangup? })
    }

    #[cfg(unix)]
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> Signal {
        // Without a console there is nothing that could tell us to stop.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Stop
    }
}
