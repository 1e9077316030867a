//! For tests: a channel's way out to servers on loopback, without a channel.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::Outward;
use crate::config::{GrantsConfig, HttpGrant, NetConfig, PluginName, SecretGrant, SecretSource};
use crate::net::{Client, Resolve};
use crate::runtime::Secrets;
use crate::runtime::bindings::channel::{Body, Outbound, Piece};
use crate::runtime::channel_out::ChannelOut;
use crate::runtime::egress_secrets::SecretRules;
use crate::secrets::Secret;

/// The value of the secret `token`.
pub(in crate::channel) const TOKEN: &str = "123:abc-DEF_45";

/// The most bytes of a body, for these tests.
pub(in crate::channel) const LIMIT: u64 = 64 << 10;

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/net/fixtures/ca.pem");

/// Every name ending in `.test` is this machine.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            match name.ends_with(".test") {
                true => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
                false => Err(io::Error::other("no such name")),
            }
        })
    }
}

/// A way out to these origins, as a setup names them; the secret `token` may go to all of them.
pub(in crate::channel) fn outward(origins: &[&str]) -> Arc<Outward> {
    let grant = |origin: &&str| {
        let origin = origin.replacen("wss://", "https://", 1).replacen("ws://", "http://", 1);
        HttpGrant { private: true, ..HttpGrant::of(origin.parse().unwrap()) }
    };
    outward_with(origins, origins.iter().map(grant).collect())
}

pub(in crate::channel) fn outward_with(origins: &[&str], http: Vec<HttpGrant>) -> Arc<Outward> {
    build(origins, http, true)
}

/// The same, without a secret to look for.
pub(in crate::channel) fn outward_without_secrets(origin: &str) -> Arc<Outward> {
    let granted = origin.replacen("ws://", "http://", 1);
    build(&[origin], vec![HttpGrant::of(granted.parse().unwrap())], false)
}

fn build(origins: &[&str], http: Vec<HttpGrant>, secret: bool) -> Arc<Outward> {
    let mut grants = GrantsConfig::default();
    let hosts = http.iter().map(|grant| grant.origin.clone()).collect();
    let source = SecretSource::File("token".into());
    if secret {
        grants.secrets.insert("token".into(), SecretGrant { source, hosts, place: None });
    }
    grants.http = http;
    let mut secrets = Secrets::default();
    secrets.0.insert("token".into(), Secret::new(TOKEN.into()));
    let rules = SecretRules::new(&grants, &secrets);
    let out = ChannelOut::new(PluginName::unnamed(), &grants, rules, LIMIT, &client());
    let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
    Outward::new(out, &origins).unwrap()
}

/// A client that believes the tests' authority, and knows the names that end in `.test`.
pub(in crate::channel) fn client() -> Client {
    Client::new(&NetConfig { ca_file: Some(PathBuf::from(CA)) }).unwrap().with_resolver(Arc::new(Loopback))
}

/// A template: `{token}` is the secret.
pub(in crate::channel) fn template(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (index, part) in text.split("{token}").enumerate() {
        if index > 0 {
            pieces.push(Piece::Secret("token".into()));
        }
        if !part.is_empty() {
            pieces.push(Piece::Text(part.into()));
        }
    }
    pieces
}

pub(in crate::channel) fn outbound(method: &str, url: &str, body: Body) -> Outbound {
    Outbound { method: method.into(), url: template(url), headers: Vec::new(), body, timeout_ms: 10_000 }
}

pub(in crate::channel) fn get(url: &str) -> Outbound {
    outbound("GET", url, Body::Text(Vec::new()))
}

/// TLS for `service.test`, by an authority that the way out believes.
pub(in crate::channel) fn tls() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("../../net/fixtures/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../net/fixtures/server.key")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
