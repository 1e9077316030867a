//! What one plugin reaches: its grants, and what the gateway lends it to use them.

use std::collections::BTreeMap;

use super::dirs::Dirs;
use crate::config::{GrantsConfig, PluginLimits, PluginName};
use crate::net::Client;
use crate::secrets::Secret;
use crate::store::{DynStore, MemoryLimits, MemoryStore};

use super::egress::Egress;
use super::egress_secrets::SecretRules;

/// What the gateway lends its plugins, within their grants.
#[derive(Clone)]
pub struct Services {
    /// Where they keep what they keep.
    pub store: DynStore,
    /// The way out; without one, no request leaves.
    pub client: Option<Client>,
}

impl Services {
    /// A store in memory, and no way out.
    #[must_use]
    pub fn detached() -> Self {
        Self { store: std::sync::Arc::new(MemoryStore::new(MemoryLimits::default())), client: None }
    }
}

/// The secrets of a plugin's grants, by the name that the plugin has for them.
#[derive(Debug, Clone, Default)]
pub struct Secrets(pub BTreeMap<String, Secret>);

/// Everything that the calls of one plugin may reach.
pub(super) struct Reach {
    pub(super) plugin: PluginName,
    pub(super) grants: GrantsConfig,
    /// Which of its secrets go where.
    pub(super) secrets: SecretRules,
    pub(super) limits: PluginLimits,
    pub(super) services: Services,
    /// Whether anything that it is linked to must know on whose behalf it is called.
    pub(super) asks_who: bool,
    pub(super) dirs: Dirs,
    /// Its requests go out by this.
    pub(super) egress: Egress,
}
