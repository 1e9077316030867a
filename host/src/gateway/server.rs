//! The gateway as a whole: from a config to a bound port, and from there to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{Access, RuleError};
use super::health::{StorageHealth, Unready};
use super::listener;
use super::reload::{ReloadError, ReloadReport};
use super::rpc::Methods;
use crate::agent::Dispatcher;
use crate::channel::ChannelDirectory;
use crate::config::GatewayConfig;
use crate::runtime::Readings;
use crate::secrets::Secret;
use crate::store::{Health, Timestamp};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// What the gateway serves.
pub struct GatewayState {
    /// Runs the turns.
    pub dispatcher: Dispatcher,
    /// Describes the plugins.
    pub plugins: Arc<dyn PluginDirectory>,
    /// When the program started.
    pub started_at: Timestamp,
    /// The program's version.
    pub version: &'static str,
    /// Present where answers are scripted: what that means, for people.
    pub demo: Option<String>,
    /// The store's address, as `status` shows it.
    pub storage: String,
    /// Describes the channels, and takes calls of their webhooks.
    pub channels: Arc<dyn ChannelDirectory>,
}

/// What clients are told of the plugins, as JSON objects with a `name`, and what they may ask for.
pub trait PluginDirectory: Send + Sync + 'static {
    /// All that are loaded, in short.
    fn list(&self) -> Vec<Value>;

    /// One, in full.
    fn inspect(&self, name: &str) -> Option<Value>;

    /// Loads one plugin anew, or with none named all that differ from the config file. It goes on
    /// where the future is dropped.
    fn reload(&self, name: Option<String>) -> BoxFuture<'static, Result<ReloadReport, ReloadError>>;

    /// All that is counted of them.
    fn readings(&self) -> Readings;
}

/// A gateway that has its port and serves nobody yet.
pub struct Gateway {
    listener: TcpListener,
    local: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections read.
pub(super) struct Shared {
    pub(super) config: GatewayConfig,
    pub(super) state: GatewayState,
    pub(super) access: Access,
    pub(super) methods: Methods,
    pub(super) readiness: Readiness,
    /// One permit for each connection that may still come.
    pub(super) room: Arc<Semaphore>,
}

impl Shared {
    /// What keeps the gateway from being ready.
    pub(super) fn unready(&self) -> Option<Unready> {
        if !self.readiness.is_ready() {
            return Some(Unready::GoingDown);
        }
        match StorageHealth::of(&self.health()) {
            StorageHealth::Well => None,
            health => Some(Unready::Storage(health)),
        }
    }

    /// How the store is.
    pub(super) fn health(&self) -> Health {
        self.state.dispatcher.store().health()
    }

    /// Open connections.
    pub(super) fn connections(&self) -> usize {
        self.config.max_connections.saturating_sub(self.room.available_permits())
    }
}

/// Whether the gateway takes new clients.
#[derive(Debug, Clone, Default)]
pub struct Readiness(CancellationToken);

impl Readiness {
    /// Takes no new clients from now on: `/readyz` and `/ws` answer 503, and connections that are
    /// there stay.
    pub fn drain(&self) {
        self.0.cancel();
    }

    /// Whether new clients are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.0.is_cancelled()
    }
}

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Anyone in reach could use the agent.
    #[error(
        "`[gateway] host` is {host}, which others can reach, and no token is set: set {token_env} to a long random text \
         (`openssl rand -hex 32` makes one), or listen on 127.0.0.1"
    )]
    TokenRequired {
        /// The address.
        host: std::net::IpAddr,
        /// The variable that would hold the token.
        token_env: String,
    },
    /// The port is taken.
    #[error(
        "{0} is in use, perhaps by another gateway: stop it, or choose another port with `--port` or `[gateway] port`"
    )]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with `[gateway] host` and `port`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// An entry of the config is no rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl Gateway {
    /// Takes the port. To be called within a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be had, or may not be without a token.
    pub fn bind(config: &GatewayConfig, token: Option<&Secret>, state: GatewayState) -> Result<Self, GatewayError> {
        let access = Access::new(config, token)?;
        if token.is_none() && !config.host.to_canonical().is_loopback() {
            return Err(GatewayError::TokenRequired { host: config.host, token_env: config.token_env.clone() });
        }
        let address = SocketAddr::new(config.host, config.port);
        let listener = listen(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => GatewayError::InUse(address),
            _ => GatewayError::Bind { address, source },
        })?;
        let local = listener.local_addr().map_err(|source| GatewayError::Bind { address, source })?;
        let shared = Shared {
            access,
            state,
            methods: Methods::new(),
            readiness: Readiness::default(),
            room: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
            config: config.clone(),
        };
        Ok(Self { listener, local, shared: Arc::new(shared) })
    }

    /// The address that clients connect to, with the port that the system chose for 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// By which the gateway is told to take no new clients.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.shared.readiness.clone()
    }

    /// Serves clients until `shutdown`, then tells them what has happened so far, closes their
    /// connections and returns, within seconds. Dropping the future ends them too.
    ///
    /// To let running turns finish first: [`Readiness::drain`], then [`Dispatcher::drain`], then
    /// cancel `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        let stop = shutdown.child_token();
        let _stop_when_dropped = stop.clone().drop_guard();
        let tasks = TaskTracker::new();
        listener::accept(self.listener, &self.shared, &tasks, &stop).await;
        self.shared.readiness.drain();
        tasks.close();
        // Every connection bounds its own end.
        tasks.wait().await;
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of the last run to time out. On Windows the
    // option would let another program take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
