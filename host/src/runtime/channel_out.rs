//! What a channel's requests and connections are made with: its grants, its secrets, and a client
//! that is held to both.

use std::sync::Arc;

use hyper::http::{request, response};
use hyper::{HeaderMap, Method};

use super::channel::ChannelPlugin;
use super::egress::{self, headers};
use super::egress_secrets::{Encoded, Redactor, SecretRules, plain_answer};
#[cfg(test)]
use crate::config::GrantsConfig;
use crate::config::{HttpGrant, Origin, PluginName};
#[cfg(test)]
use crate::net::Client;
use crate::net::GuardedClient;

/// The most that the headers of a request or response may take, as HTTP/1.1 writes them.
pub(crate) const MAX_FIELDS: usize = egress::MAX_FIELDS;

/// One channel's way out. Cheap to clone; what is under way goes on when the plugin is replaced.
#[derive(Clone)]
pub(crate) struct ChannelOut {
    plugin: PluginName,
    grants: Vec<HttpGrant>,
    secrets: SecretRules,
    body: u64,
    file: u64,
    client: Option<Arc<GuardedClient>>,
}

impl ChannelPlugin {
    /// Its way out, as its grants are now.
    pub(crate) fn out(&self) -> ChannelOut {
        let reach = self.plugin.invoker.reach();
        ChannelOut {
            plugin: reach.plugin.clone(),
            grants: reach.grants.http.clone(),
            secrets: reach.secrets.clone(),
            body: reach.limits.body.0,
            file: reach.limits.file.0,
            client: reach.egress.client.clone(),
        }
    }
}

impl ChannelOut {
    /// A way out of these parts. `body` bounds a request's body and an answer's, and a file, in bytes.
    #[cfg(test)]
    pub(crate) fn new(
        plugin: PluginName,
        grants: &GrantsConfig,
        secrets: SecretRules,
        body: u64,
        client: &Client,
    ) -> Self {
        let client = Some(Arc::new(client.guarded(egress::policy(grants.http.clone()))));
        Self { plugin, grants: grants.http.clone(), secrets, body, file: body, client }
    }

    /// Whose it is.
    pub(crate) fn plugin(&self) -> &PluginName {
        &self.plugin
    }

    /// What its templates may name.
    pub(crate) fn secrets(&self) -> &SecretRules {
        &self.secrets
    }

    /// The most bytes of a request's body, but for files, and of an answer's.
    pub(crate) fn body_limit(&self) -> u64 {
        self.body
    }

    /// The most bytes of a file that it fetches.
    pub(crate) fn file_limit(&self) -> u64 {
        self.file
    }

    /// What sends; nothing where no origin is granted or the gateway lends no client.
    pub(crate) fn client(&self) -> Option<&Arc<GuardedClient>> {
        self.client.as_ref()
    }

    /// Whether a grant allows a request. A connection of lines is a GET of `/` here.
    pub(crate) fn allows(&self, method: &Method, origin: &Origin, path: &str) -> bool {
        self.grants.iter().any(|grant| grant.allows(method, origin, path))
    }
}

/// Takes out of a request what is the host's, and, with secrets to hide, asks for an answer that can
/// be looked through.
pub(crate) fn outgoing(head: &mut request::Parts, redactor: Option<&Redactor>) {
    headers::strip(&mut head.headers);
    if redactor.is_some() {
        plain_answer(&mut head.headers);
    }
}

/// Makes a response's head fit for a channel.
///
/// # Errors
/// There are secrets to hide, and its body is encoded.
pub(crate) fn incoming(head: &mut response::Parts, redactor: Option<&Redactor>) -> Result<(), Encoded> {
    headers::strip(&mut head.headers);
    redactor.map_or(Ok(()), |redactor| redactor.head(head))
}

/// What headers take in HTTP/1.1, in bytes.
pub(crate) fn size(headers: &HeaderMap) -> usize {
    headers::size(headers)
}
