//! Origins: scheme, host and port, as a grant names them and as a request has them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::Authority;

/// The longest name of a host, in bytes (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;
/// The longest label of a name, in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// How a peer is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// HTTP in the clear.
    Http,
    /// Lines over TLS.
    Tls,
    /// Lines in the clear.
    Tcp,
}

impl Scheme {
    /// As addresses write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }

    /// The port where none is named; none where one must be.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Https => Some(443),
            Self::Http => Some(80),
            Self::Tls | Self::Tcp => None,
        }
    }

    /// Whether HTTP is spoken there.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Self::Https | Self::Http)
    }

    /// Whether TLS is.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

/// A host, as an address names it: equal hosts are written alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name in lower case: letters, digits, `-` and `_`, in labels.
    Name(String),
    /// An address, by itself.
    Address(IpAddr),
}

impl Host {
    /// A host as it stands in an address, brackets around IPv6 included. Only the dotted form of
    /// four decimal numbers is an IPv4 address, and what a resolver might take for another form of
    /// one (`127.1`, `0x7f000001`) is no host at all.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|address| Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let label = |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(valid);
        let last = text.rsplit('.').next()?;
        // As the URL standard tells names from addresses ("ends in a number").
        let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
            || last
                .to_ascii_lowercase()
                .strip_prefix("0x")
                .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        (text.len() <= MAX_HOST && !numeric && text.split('.').all(label))
            .then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// How.
    pub scheme: Scheme,
    /// To whom.
    pub host: Host,
    /// Where there.
    pub port: u16,
}

impl Origin {
    /// The origin of an absolute address. None: it has no host, a name or password, or another
    /// scheme than `http` and `https`.
    #[must_use]
    pub fn of(uri: &Uri) -> Option<Self> {
        let scheme = match uri.scheme_str()? {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        Self::at(scheme, uri.authority()?)
    }

    /// The origin of a scheme and what stands behind it in an address. None: it has a name or
    /// password, or no port where the scheme has none of its own.
    #[must_use]
    pub fn at(scheme: Scheme, authority: &Authority) -> Option<Self> {
        if authority.as_str().contains('@') {
            return None;
        }
        let host = Host::parse(authority.host())?;
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            None => scheme.port()?,
            Some(port) => parse_port(port)?,
        };
        Some(Self { scheme, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if Some(self.port) == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Digits alone: `u16::from_str` would take a sign.
fn parse_port(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok().filter(|port| *port != 0) } else { None }
}

/// The hosts that a pattern stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This one.
    Exact(Host),
    /// `*.discord.gg`: one or more labels before this name, and not the name itself.
    Below(String),
}

/// What a grant calls an origin: `api.example.com`, `http://localhost:8080`, `*.discord.gg`,
/// `tls://irc.example:6697`. `https` where no scheme is named, and the scheme's own port where none
/// is; lines have none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OriginPattern {
    /// How.
    pub scheme: Scheme,
    /// To whom.
    pub host: HostPattern,
    /// Where there.
    pub port: u16,
}

impl OriginPattern {
    /// Whether an origin is one of these.
    #[must_use]
    pub fn matches(&self, origin: &Origin) -> bool {
        self.scheme == origin.scheme
            && self.port == origin.port
            && match (&self.host, &origin.host) {
                (HostPattern::Exact(host), asked) => host == asked,
                (HostPattern::Below(parent), Host::Name(name)) => {
                    name.strip_suffix(parent.as_str()).is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
                }
                (HostPattern::Below(_), Host::Address(_)) => false,
            }
    }

    /// Whether every origin that `other` stands for is one of these.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.port == other.port
            && match (&self.host, &other.host) {
                (HostPattern::Exact(one), HostPattern::Exact(two)) => one == two,
                (HostPattern::Exact(_), HostPattern::Below(_)) => false,
                (HostPattern::Below(_), HostPattern::Exact(host)) => {
                    self.matches(&Origin { scheme: other.scheme, host: host.clone(), port: other.port })
                }
                (HostPattern::Below(parent), HostPattern::Below(child)) => {
                    child == parent || child.strip_suffix(parent.as_str()).is_some_and(|labels| labels.ends_with('.'))
                }
            }
    }
}

/// A text that names no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an origin such as \"api.example.com\", \"http://localhost:8080\", \"*.example.com\" or, for lines, \
     \"tls://irc.example.com:6697\" with its port, without a path"
)]
pub struct OriginError;

impl FromStr for OriginPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Https, text),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("tls", rest)) => (Scheme::Tls, rest),
            Some(("tcp", rest)) => (Scheme::Tcp, rest),
            Some(_) => return Err(OriginError),
        };
        // The colon before a port stands behind the bracket of an IPv6 address.
        let (host, port) = match rest.rfind(':').filter(|colon| rest.rfind(']').is_none_or(|end| end < *colon)) {
            Some(colon) => (&rest[..colon], parse_port(&rest[colon + 1..]).ok_or(OriginError)?),
            None => (rest, scheme.port().ok_or(OriginError)?),
        };
        let host = match host.strip_prefix("*.") {
            None => HostPattern::Exact(Host::parse(host).ok_or(OriginError)?),
            Some(parent) => match Host::parse(parent) {
                // `*.com` would be a grant of half the world by one character.
                Some(Host::Name(parent)) if parent.contains('.') => HostPattern::Below(parent),
                _ => return Err(OriginError),
            },
        };
        Ok(Self { scheme, host, port })
    }
}

/// As short as it can be written.
impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme != Scheme::Https {
            write!(f, "{}://", self.scheme.as_str())?;
        }
        match &self.host {
            HostPattern::Exact(host) => host.fmt(f)?,
            HostPattern::Below(parent) => write!(f, "*.{parent}")?,
        }
        if Some(self.port) == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, uri: &str) -> bool {
        let origin = uri.parse().ok().as_ref().and_then(Origin::of);
        origin.is_some_and(|origin| pattern.parse::<OriginPattern>().unwrap().matches(&origin))
    }

    #[test]
    fn a_pattern_matches_its_own_scheme_host_and_port_alone() {
        assert!(matches("api.example.com", "https://api.example.com/x?y"));
        assert!(matches("api.example.com", "https://API.Example.COM:443/"));
        assert!(matches("http://localhost:8080", "http://localhost:8080/"));
        assert!(matches("http://[::1]:8080", "http://[0:0::1]:8080/"));
        for other in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://example.com/",
            "https://api.example.com.evil.com/",
            "https://api.example.com@evil.com/",
            "https://evil.com/?https://api.example.com/",
            "https://xapi.example.com/",
            "ftp://api.example.com/",
            "https://api.example.com./",
        ] {
            assert!(!matches("api.example.com", other), "{other}");
        }
    }

    #[test]
    fn lines_are_an_origin_of_their_own_with_a_port() {
        let at = |scheme, authority: &str| Origin::at(scheme, &authority.parse().unwrap());
        let irc = at(Scheme::Tls, "IRC.example.com:6697").unwrap();
        assert_eq!(irc.to_string(), "tls://irc.example.com:6697");
        assert_eq!(at(Scheme::Tls, "irc.example.com"), None);
        for (pattern, matches) in [
            ("tls://irc.example.com:6697", true),
            ("tls://*.example.com:6697", true),
            ("tls://irc.example.com:7000", false),
            ("tcp://irc.example.com:6697", false),
            ("irc.example.com:6697", false),
        ] {
            assert_eq!(pattern.parse::<OriginPattern>().unwrap().matches(&irc), matches, "{pattern}");
        }
    }

    #[test]
    fn a_star_stands_for_one_or_more_labels() {
        assert!(matches("*.discord.gg", "https://gateway.discord.gg/"));
        assert!(matches("*.discord.gg", "https://a.b.discord.gg/"));
        assert!(!matches("*.discord.gg", "https://discord.gg/"));
        assert!(!matches("*.discord.gg", "https://evildiscord.gg/"));
        assert!(!matches("*.discord.gg", "https://.discord.gg/"));
    }

    #[test]
    fn what_a_resolver_might_take_for_an_address_is_no_name() {
        for host in
            ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "1.2.3.4.5", "a.0x1", "a..b", "", "a b", "[::1", "::1"]
        {
            assert_eq!(Host::parse(host), None, "{host}");
        }
        assert_eq!(Host::parse("127.0.0.1"), Some(Host::Address(Ipv4Addr::LOCALHOST.into())));
        assert_eq!(Host::parse("[::1]"), Some(Host::Address(Ipv6Addr::LOCALHOST.into())));
    }

    #[test]
    fn mistakes_are_no_patterns() {
        for text in [
            "",
            "https://",
            "*",
            "*.com",
            "*.*.com",
            "a.*.com",
            "ftp://x",
            "x/y",
            "x:0",
            "x:+1",
            "x:99999",
            "u@x",
            "tls://irc.example.com",
            "tcp://localhost",
            "wss://x",
        ] {
            assert!(text.parse::<OriginPattern>().is_err(), "{text}");
        }
    }

    fn pattern() -> impl Strategy<Value = OriginPattern> {
        let host = prop_oneof![
            "[a-c]\\.[a-c]{1,2}(\\.com)?".prop_filter_map("a host", |h| Host::parse(&h).map(HostPattern::Exact)),
            "[a-c]\\.[a-c]{1,2}(\\.com)?".prop_map(HostPattern::Below),
            any::<[u8; 4]>().prop_map(|a| HostPattern::Exact(Host::Address(a.into()))),
            any::<[u16; 8]>().prop_map(|a| HostPattern::Exact(Host::Address(a.into()))),
        ];
        let scheme = prop_oneof![Just(Scheme::Http), Just(Scheme::Https), Just(Scheme::Tls), Just(Scheme::Tcp)];
        (scheme, host, prop_oneof![Just(80), Just(443), 1..=u16::MAX]).prop_map(|(scheme, host, port)| OriginPattern {
            scheme,
            host,
            port,
        })
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(pattern in pattern()) {
            prop_assert_eq!(pattern.to_string().parse::<OriginPattern>(), Ok(pattern));
        }

        #[test]
        fn what_covers_a_pattern_matches_what_the_pattern_matches(
            one in pattern(), two in pattern(), labels in "([a-c]\\.){0,2}",
        ) {
            let host = match &two.host {
                HostPattern::Exact(host) => host.clone(),
                HostPattern::Below(parent) => Host::Name(format!("{labels}{parent}")),
            };
            let origin = Origin { scheme: two.scheme, host, port: two.port };
            if two.matches(&origin) && one.covers(&two) {
                prop_assert!(one.matches(&origin));
            }
            prop_assert!(one.covers(&one));
        }
    }
}
