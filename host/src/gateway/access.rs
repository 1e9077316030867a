//! Who may connect: checks on a request's head alone.
//!
//! `Host` and `Origin` are checked on every address, loopback too: a page in the owner's browser
//! can open a WebSocket to any address, by a name of its own choosing, and only these two headers
//! tell it apart. What they let pass still needs the token where one is configured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::StatusCode;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::GatewayConfig;
use crate::secrets::Secret;

/// The rules, read from the config once.
#[derive(Debug)]
pub(super) struct Access {
    hosts: Vec<Host>,
    origins: Vec<Origin>,
    token: Option<Token>,
    token_env: String,
}

/// The token that clients must show, as a digest: comparing digests tells nothing of the token's
/// length, and the text is in one place less.
struct Token([u8; 32]);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[token]")
    }
}

/// What a client that passed the checks may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everything.
    Authorised,
    /// Nothing but `auth`.
    MustAuthenticate,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("a request needs exactly one `Host` header that names this gateway")]
    HostMissing,
    #[error("this gateway does not answer to the host `{0}`; its owner can add it to `[gateway] allowed_hosts`")]
    Host(String),
    #[error("pages of `{0}` may not connect; the owner can add the origin to `[gateway] allowed_origins`")]
    Origin(String),
    #[error("`Authorization` must be `Bearer TOKEN`, once")]
    Authorization,
    #[error("the token is wrong")]
    Token,
    #[error("this takes the gateway's token: show it as `Authorization: Bearer TOKEN`")]
    TokenMissing,
    #[error("a token was shown, but the gateway has none configured: connect without one, or set {0} for the gateway")]
    NoToken(String),
    #[error("the request came through a proxy, which needs a token: set {0} for the gateway and show it")]
    Proxied(String),
}

impl Denied {
    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::HostMissing => StatusCode::BAD_REQUEST,
            Self::Host(_) | Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::Authorization | Self::Token | Self::TokenMissing | Self::NoToken(_) | Self::Proxied(_) => {
                StatusCode::UNAUTHORIZED
            }
        }
    }
}

/// An entry of the config that cannot be a rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuleError {
    /// In `allowed_hosts`.
    #[error("`{0}` in `[gateway] allowed_hosts` is no host: write `chat.example` or `chat.example:8443`")]
    Host(String),
    /// In `allowed_origins`.
    #[error("`{0}` in `[gateway] allowed_origins` is no origin: write `https://chat.example`, without a path")]
    Origin(String),
    /// The token.
    #[error("the gateway's token is empty: set {0} to a long random text, or unset it")]
    EmptyToken(String),
}

impl Access {
    pub(super) fn new(config: &GatewayConfig, token: Option<&Secret>) -> Result<Self, RuleError> {
        let host = |text: &String| Host::parse(text).ok_or_else(|| RuleError::Host(text.clone()));
        let origin = |text: &String| {
            Origin::parse(text.strip_suffix('/').unwrap_or(text)).ok_or_else(|| RuleError::Origin(text.clone()))
        };
        let token = match token.map(Secret::expose) {
            Some(text) if text.trim().is_empty() => return Err(RuleError::EmptyToken(config.token_env.clone())),
            Some(text) => Some(Token(Sha256::digest(text).into())),
            None => None,
        };
        Ok(Self {
            hosts: config.allowed_hosts.iter().map(host).collect::<Result<_, _>>()?,
            origins: config.allowed_origins.iter().map(origin).collect::<Result<_, _>>()?,
            token,
            token_env: config.token_env.clone(),
        })
    }

    /// Whether `Host` names this gateway or, for a channel's webhook, the host at which its platform
    /// calls it. Who calls is told by what the channel declared, and `Origin` says nothing there.
    pub(super) fn check_webhook_host(
        &self,
        request: &Parts,
        local: SocketAddr,
        webhook_url: Option<&str>,
    ) -> Result<(), Denied> {
        let public = webhook_url.and_then(|url| url.parse::<Uri>().ok()).and_then(|url| url.into_parts().authority);
        let public = public.and_then(|authority| Host::parse(authority.as_str()));
        // A proxy may call with another port than the platform does.
        let is_public = |text: &str| {
            public.as_ref().is_some_and(|public| Host::parse(text).is_some_and(|host| host.name == public.name))
        };
        let known = |text: &str| if is_public(text) { Ok(()) } else { self.known_host(text, local).map(drop) };
        let host = only(&request.headers, HOST).and_then(|host| host.to_str().ok()).ok_or(Denied::HostMissing)?;
        known(host)?;
        request.uri.authority().map_or(Ok(()), |authority| known(authority.as_str()))
    }

    /// Whether `Host` names this gateway, and `Origin`, where there is one, is its own or an
    /// allowed one. `local` is the address at which the connection arrived.
    pub(super) fn check_site(&self, request: &Parts, local: SocketAddr) -> Result<(), Denied> {
        let host = only(&request.headers, HOST).ok_or(Denied::HostMissing)?;
        let host = self.known_host(host.to_str().map_err(|_| Denied::HostMissing)?, local)?;
        // A request-target in absolute form overrides `Host` (RFC 9112, section 3.2.2).
        if let Some(authority) = request.uri.authority() {
            self.known_host(authority.as_str(), local)?;
        }
        if !request.headers.contains_key(ORIGIN) {
            return Ok(());
        }
        let text = only(&request.headers, ORIGIN).and_then(|value| value.to_str().ok()).unwrap_or("(unreadable)");
        match Origin::parse(text) {
            Some(origin) if origin.is_of(&host) || self.origins.contains(&origin) => Ok(()),
            _ => Err(Denied::Origin(excerpt(text))),
        }
    }

    /// What the client may do, by the token that it shows with the request or does not.
    pub(super) fn standing(&self, headers: &HeaderMap, peer: SocketAddr) -> Result<Standing, Denied> {
        if headers.contains_key(AUTHORIZATION) {
            let shown = only(headers, AUTHORIZATION).and_then(bearer).ok_or(Denied::Authorization)?;
            return self.check_token(shown).map(|()| Standing::Authorised);
        }
        if self.token.is_some() {
            return Ok(Standing::MustAuthenticate);
        }
        if is_forwarded(headers) || !peer.ip().to_canonical().is_loopback() {
            return Err(Denied::Proxied(self.token_env.clone()));
        }
        Ok(Standing::Authorised)
    }

    /// Whether the client may read what only the owner may, where it can only show the token with
    /// the request itself.
    pub(super) fn authorise(&self, headers: &HeaderMap, peer: SocketAddr) -> Result<(), Denied> {
        match self.standing(headers, peer)? {
            Standing::Authorised => Ok(()),
            Standing::MustAuthenticate => Err(Denied::TokenMissing),
        }
    }

    /// Compares in constant time. Without a configured token, every token is wrong.
    pub(super) fn check_token(&self, shown: &str) -> Result<(), Denied> {
        let token = self.token.as_ref().ok_or_else(|| Denied::NoToken(self.token_env.clone()))?;
        let shown: [u8; 32] = Sha256::digest(shown).into();
        if bool::from(token.0.ct_eq(&shown)) { Ok(()) } else { Err(Denied::Token) }
    }

    fn known_host(&self, text: &str, local: SocketAddr) -> Result<Host, Denied> {
        let host = Host::parse(text).ok_or_else(|| Denied::Host(excerpt(text)))?;
        let own_port = host.port.is_none_or(|port| port == local.port());
        let configured = |rule: &Host| rule.name == host.name && (rule.port.is_none() || rule.port == host.port);
        if (own_port && host.is_own(local.ip().to_canonical())) || self.hosts.iter().any(configured) {
            Ok(host)
        } else {
            Err(Denied::Host(excerpt(text)))
        }
    }
}

/// A host and a port, as `Host` gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    /// Lower case, without brackets and without the root's dot.
    name: String,
    port: Option<u16>,
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let authority: Authority = text.parse().ok()?;
        let name = authority.host();
        let port_text = text.strip_prefix(name)?;
        let port = match port_text.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            // Also refuses user names, which stand before the host.
            None if port_text.is_empty() => None,
            None => return None,
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        (!name.is_empty()).then_some(Self { name, port })
    }

    /// Whether this is the gateway itself. An address cannot be rebound, as a name can.
    fn is_own(&self, local: IpAddr) -> bool {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        match self.name.parse::<IpAddr>() {
            Ok(address) => address.to_canonical() == local || loopback.contains(&address),
            Err(_) => self.name == "localhost",
        }
    }
}

/// An origin as RFC 6454 serialises it. `null` is none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: Host,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, host) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let mut host = Host::parse(host)?;
        host.port = host.port.or(default_port(&scheme));
        Some(Self { scheme, host })
    }

    /// Whether a page of this origin was served under `host`.
    fn is_of(&self, host: &Host) -> bool {
        match default_port(&self.scheme) {
            Some(default) => self.host.name == host.name && self.host.port == Some(host.port.unwrap_or(default)),
            None => false,
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// A header that must not be repeated.
fn only(headers: &HeaderMap, name: hyper::header::HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a proxy says that it passed the request on.
fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        matches!(name.as_str(), "forwarded" | "via" | "x-real-ip") || name.as_str().starts_with("x-forwarded-")
    })
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
