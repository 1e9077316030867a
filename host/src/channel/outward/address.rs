//! Where a channel wants to go: an address, and whether its setup named it.

use hyper::Uri;

use super::{MAX_TARGET, SetupError, Unsent};
use crate::config::{Origin, OriginPattern, Scheme};
use crate::runtime::bindings::channel::Piece;
use crate::runtime::egress_secrets::{Joined, SecretRules};

/// What is spoken at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::channel) enum Protocol {
    /// `https:`, `http:`.
    Http,
    /// `wss:`, `ws:`.
    WebSocket,
    /// `tls:`, `tcp:`.
    Lines,
}

/// An address, with its secrets in it.
#[derive(Debug, Clone)]
pub(in crate::channel) struct Address {
    pub(in crate::channel) protocol: Protocol,
    pub(in crate::channel) origin: Origin,
    joined: Joined,
}

impl Address {
    pub(super) fn join(secrets: &SecretRules, url: &[Piece]) -> Result<Self, Unsent> {
        let (joined, origin) = secrets.join_address(url)?;
        let protocol = match origin.scheme {
            Scheme::Tls | Scheme::Tcp => Protocol::Lines,
            Scheme::Https | Scheme::Http if joined.expose().starts_with("ws") => Protocol::WebSocket,
            Scheme::Https | Scheme::Http => Protocol::Http,
        };
        Ok(Self { protocol, origin, joined })
    }

    /// For the one place that puts it on a wire.
    pub(super) fn uri(&self) -> Result<Uri, Unsent> {
        let uri: Uri = self.joined.expose().parse().map_err(|_| Unsent::Address)?;
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        match self.protocol {
            Protocol::Lines if !matches!(target, "" | "/") => Err(Unsent::PathOfLines),
            _ if target.len() > MAX_TARGET => Err(Unsent::AddressTooLong),
            // As `http` gives it for `wss://host?query`, which no request line may have.
            _ if target.starts_with('?') => {
                let target = format!("/{target}").parse().map_err(|_| Unsent::Address)?;
                let mut parts = uri.into_parts();
                parts.path_and_query = Some(target);
                Uri::from_parts(parts).map_err(|_| Unsent::Address)
            }
            _ => Ok(uri),
        }
    }

    /// What may be shown of it.
    pub(super) fn shown(&self) -> String {
        let origin = self.origin.to_string();
        match self.protocol {
            // `https` and `http` are what `wss` and `ws` are to the grants.
            Protocol::WebSocket => origin.replacen("http", "ws", 1),
            Protocol::Http | Protocol::Lines => origin,
        }
    }
}

/// One of `setup.origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetupOrigin {
    protocol: Protocol,
    pattern: OriginPattern,
}

impl SetupOrigin {
    pub(super) fn parse(text: &str) -> Result<Self, SetupError> {
        let error = || SetupError { origin: crate::text::one_line(text, 200) };
        let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
        let (protocol, scheme) = match scheme {
            "https" | "http" => (Protocol::Http, scheme),
            "wss" => (Protocol::WebSocket, "https"),
            "ws" => (Protocol::WebSocket, "http"),
            "tls" | "tcp" => (Protocol::Lines, scheme),
            _ => return Err(error()),
        };
        let pattern = format!("{scheme}://{rest}").parse().map_err(|_| error())?;
        Ok(Self { protocol, pattern })
    }

    pub(super) fn covers(&self, address: &Address) -> bool {
        self.protocol == address.protocol && self.pattern.matches(&address.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::join(&SecretRules::default(), &[Piece::Text(text.into())]).unwrap()
    }

    #[test]
    fn a_setup_names_what_is_spoken_with_where() {
        let covers = |origin: &str, url: &str| SetupOrigin::parse(origin).unwrap().covers(&address(url));
        assert!(covers("https://api.example.com", "https://api.example.com/x"));
        assert!(covers("wss://*.example.com", "wss://a.example.com/?v=10"));
        assert!(covers("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/"));
        assert!(covers("tls://irc.example.com:6697", "tls://irc.example.com:6697"));
        assert!(!covers("https://api.example.com", "wss://api.example.com/"));
        assert!(!covers("wss://api.example.com", "https://api.example.com/"));
        assert!(!covers("tls://irc.example.com:6697", "tcp://irc.example.com:6697"));
        for bad in ["api.example.com", "ftp://a.example.com", "https://a.example.com/x", "tls://irc.example.com"] {
            assert!(SetupOrigin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_have_no_path_and_an_address_shows_no_more_than_its_origin() {
        assert!(matches!(address("tls://irc.example.com:6697/x").uri(), Err(Unsent::PathOfLines)));
        assert!(address("tls://irc.example.com:6697/").uri().is_ok());
        assert_eq!(address("wss://gw.example.com/secret?x").shown(), "wss://gw.example.com");
        let long = format!("https://a.example.com/{}", "x".repeat(MAX_TARGET));
        assert!(matches!(address(&long).uri(), Err(Unsent::AddressTooLong)));
    }
}
