//! Which gateway is meant, and what it is shown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::Uri;

use super::ClientError;
use crate::config::Loaded;
use crate::secrets::{self, Secret};

use super::super::CliError;

/// A gateway's address, and the token for it.
#[derive(Debug, Clone)]
pub struct Target {
    host: String,
    port: u16,
    path: String,
    /// As a person is told it.
    shown: String,
    token: Option<Secret>,
    variable: String,
}

impl Target {
    /// The gateway at `url` (`--url`), else the one that the config describes.
    ///
    /// # Errors
    /// The address is none, or the token's file may be read by others.
    pub fn find(url: Option<&str>, loaded: &Loaded) -> Result<Self, CliError> {
        let gateway = &loaded.config.gateway;
        let mut target = match url {
            Some(url) => Self::parse(url)?,
            None if gateway.port == 0 => {
                let what = "the config lets the system choose the gateway's port: say with --url which it chose";
                return Err(ClientError::Url(what.into()).into());
            }
            None => Self::at(reachable(gateway.host), gateway.port),
        };
        target.variable.clone_from(&gateway.token_env);
        target.token = secrets::load("gateway", &gateway.token_env, &loaded.home)?;
        Ok(target)
    }

    /// The gateway at an address, without a token.
    #[must_use]
    pub fn at(host: IpAddr, port: u16) -> Self {
        let shown = format!("ws://{}", std::net::SocketAddr::new(host, port));
        Self { host: host.to_string(), port, path: "/ws".into(), shown, token: None, variable: "EXOCLAW_TOKEN".into() }
    }

    /// The same, with a token.
    #[must_use]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// `ws://HOST[:PORT][/PATH]`; the path is `/ws` where there is none.
    fn parse(url: &str) -> Result<Self, ClientError> {
        let wrong = || {
            let url = crate::text::one_line(url, 100);
            ClientError::Url(format!("`{url}` is no gateway's address; expected one such as ws://127.0.0.1:7200"))
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        match uri.scheme_str() {
            Some("ws" | "http") => {}
            Some("wss" | "https") => {
                let what = "this client does not speak TLS; reach the gateway by an SSH tunnel and ws://";
                return Err(ClientError::Url(what.into()));
            }
            _ => return Err(wrong()),
        }
        let authority = uri.authority().ok_or_else(wrong)?;
        let bracketed = authority.host();
        let host = bracketed.trim_start_matches('[').trim_end_matches(']');
        // `Uri` takes any text for a port, and for a name and password.
        let port = match authority.as_str().strip_prefix(bracketed) {
            Some("") => 80,
            Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(wrong)?,
            None => return Err(wrong()),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        let path = if matches!(uri.path(), "" | "/") { "/ws" } else { uri.path() };
        let shown = format!("ws://{authority}{}", if path == "/ws" { "" } else { path });
        Ok(Self { host: host.into(), port, path: path.into(), shown, token: None, variable: "EXOCLAW_TOKEN".into() })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    pub(super) fn variable(&self) -> &str {
        &self.variable
    }

    /// For messages: without the usual path.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn url(&self) -> String {
        let Self { host, port, path, .. } = self;
        if host.contains(':') { format!("ws://[{host}]:{port}{path}") } else { format!("ws://{host}:{port}{path}") }
    }
}

/// Where a server that listens on an address is reached from its own machine.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::home::Home;

    fn loaded(host: &str, port: u16) -> Loaded {
        let mut config = Config::default();
        config.gateway.host = host.parse().expect("an address");
        config.gateway.port = port;
        config.gateway.token_env = String::new();
        Loaded { config, path: None, home: Home::default() }
    }

    #[test]
    fn the_config_tells_where_the_gateway_is() {
        let url = |host, port| Target::find(None, &loaded(host, port)).map(|target| target.url()).ok();
        assert_eq!(url("127.0.0.1", 7200).as_deref(), Some("ws://127.0.0.1:7200/ws"));
        assert_eq!(url("0.0.0.0", 1).as_deref(), Some("ws://127.0.0.1:1/ws"));
        assert_eq!(url("::", 1).as_deref(), Some("ws://[::1]:1/ws"));
        assert_eq!(url("10.0.0.7", 1).as_deref(), Some("ws://10.0.0.7:1/ws"));
        assert_eq!(url("127.0.0.1", 0), None);
    }

    #[test]
    fn an_address_on_the_command_line_comes_first() {
        let find = |url| Target::find(Some(url), &loaded("10.0.0.7", 1));
        let url = |given| find(given).map(|target| target.url()).ok();
        assert_eq!(url("ws://localhost:7200").as_deref(), Some("ws://localhost:7200/ws"));
        assert_eq!(url("http://[::1]:9/").as_deref(), Some("ws://[::1]:9/ws"));
        assert_eq!(url("ws://a/b").as_deref(), Some("ws://a:80/b"));
        assert_eq!(
            find("ws://localhost:7200").map(|target| target.shown().to_owned()).ok().as_deref(),
            Some("ws://localhost:7200")
        );
        for wrong in
            ["", "localhost", "localhost:7200", "wss://a", "ftp://a", "ws://", "ws://a:x", "ws://u:p@a", "ws://a:99999"]
        {
            assert!(matches!(find(wrong), Err(CliError::Client(ClientError::Url(_)))), "{wrong}");
        }
    }
}
