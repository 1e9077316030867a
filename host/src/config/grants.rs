//! `[plugins.grants]`: what a plugin may reach. Nothing, where nothing stands here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use hyper::{Method, Uri};

use super::origin::{Host, HostPattern, Origin, OriginPattern};

/// What the owner lets one plugin reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrantsConfig {
    /// Requests that it may send, and connections that a channel may have opened.
    pub http: Vec<HttpGrant>,
    /// Secrets that the host puts into its requests, by the name that the plugin calls them.
    pub secrets: BTreeMap<String, SecretGrant>,
    /// Keys and values of its own.
    pub store: bool,
    /// The session's files.
    pub files: Access,
    /// Showing progress.
    pub progress: bool,
    /// The agent's memory.
    pub memory: Access,
    /// Folders of this machine.
    pub dirs: Vec<DirGrant>,
}

/// How far a grant goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Access {
    /// Not at all.
    #[default]
    None,
    /// To look.
    Read,
    /// To look and to change.
    Write,
}

/// Requests that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// To whom.
    pub origin: OriginPattern,
    /// With which methods; all, where none is named.
    pub methods: Vec<Method>,
    /// To which paths and what is below them; all, where none is named. Each begins with `/` and
    /// ends with none, but for `/` itself.
    pub paths: Vec<String>,
    /// Also where the name leads to an address that is not on the public internet.
    pub private: bool,
}

impl HttpGrant {
    /// All of an origin.
    #[must_use]
    pub fn of(origin: OriginPattern) -> Self {
        Self { origin, methods: Vec::new(), paths: Vec::new(), private: false }
    }

    /// Whether a request may be sent under this grant.
    #[must_use]
    pub fn allows(&self, method: &Method, origin: &Origin, path: &str) -> bool {
        self.origin.matches(origin)
            && (self.methods.is_empty() || self.methods.contains(method))
            && (self.paths.is_empty() || is_plain(path) && self.paths.iter().any(|prefix| is_below(path, prefix)))
    }

    /// Whether this is a grant of this very address, which is then not filtered.
    #[must_use]
    pub fn names_address(&self) -> bool {
        matches!(self.origin.host, HostPattern::Exact(Host::Address(_)))
    }
}

/// Whether a server can only take a path for what it says: no dots and no separators that mean
/// something else once they are decoded, no empty segments.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let dots = lower.replace("%2e", ".");
    !lower.contains("%2f")
        && !lower.contains("%5c")
        && !lower.contains('\\')
        && !lower.contains("%25")
        && !lower.contains("%00")
        && !lower.contains("//")
        // `;` begins parameters of a segment, which some servers drop before they look at dots.
        && dots.split('/').all(|segment| !matches!(segment.split(';').next(), Some("." | "..")))
}

fn is_below(path: &str, prefix: &str) -> bool {
    prefix == "/" || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// As a line of the file has it.
impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.methods.is_empty() && self.paths.is_empty() && !self.private {
            return write!(f, "\"{}\"", self.origin);
        }
        write!(f, "{{ origin = \"{}\"", self.origin)?;
        let list = |items: Vec<&str>| items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ");
        if !self.methods.is_empty() {
            write!(f, ", methods = [{}]", list(self.methods.iter().map(Method::as_str).collect()))?;
        }
        if !self.paths.is_empty() {
            write!(f, ", paths = [{}]", list(self.paths.iter().map(String::as_str).collect()))?;
        }
        if self.private {
            f.write_str(", private = true")?;
        }
        f.write_str(" }")
    }
}

/// A secret that a plugin may use and never sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretGrant {
    /// Where it comes from.
    pub source: SecretSource,
    /// The origins that it may be sent to.
    pub hosts: Vec<OriginPattern>,
    /// Where in a tool's requests to those the host puts it; absent for a channel, whose templates
    /// say so themselves.
    pub place: Option<SecretPlace>,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// This environment variable; where it is not set, `~/.exoclaw/credentials/PLUGIN.SECRET.key`.
    Environment(String),
    /// `~/.exoclaw/credentials/NAME.key`.
    File(String),
    /// What this program prints on its first line: its path or name, and its arguments.
    Command(Vec<String>),
}

/// Where in a request a secret is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// As the value of this header.
    Header(hyper::header::HeaderName),
    /// As this parameter of the query.
    Query(String),
    /// `authorization: Bearer SECRET`.
    Bearer,
    /// `authorization: Basic`, as the password of this user.
    Basic(String),
}

/// A folder of this machine that a plugin sees as its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirGrant {
    /// The folder here.
    pub host: PathBuf,
    /// What the plugin calls it: an absolute path.
    pub guest: String,
    /// Whether it may change what is in it.
    pub writable: bool,
}

impl GrantsConfig {
    /// Whether some request may be sent.
    #[must_use]
    pub fn allows(&self, method: &Method, uri: &Uri) -> bool {
        Origin::of(uri).is_some_and(|origin| self.http.iter().any(|grant| grant.allows(method, &origin, uri.path())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> HttpGrant {
        HttpGrant {
            methods: vec![Method::GET],
            paths: vec!["/v1/items".into()],
            ..HttpGrant::of("api.example.com".parse().unwrap())
        }
    }

    fn allows(method: Method, uri: &str) -> bool {
        GrantsConfig { http: vec![grant()], ..GrantsConfig::default() }.allows(&method, &uri.parse().unwrap())
    }

    #[test]
    fn a_grant_of_paths_holds_for_what_is_below_them() {
        assert!(allows(Method::GET, "https://api.example.com/v1/items"));
        assert!(allows(Method::GET, "https://api.example.com/v1/items/7?x=/../"));
        assert!(!allows(Method::POST, "https://api.example.com/v1/items"));
        assert!(!allows(Method::GET, "https://api.example.com/v1/itemsets"));
        assert!(!allows(Method::GET, "https://api.example.com/"));
        assert!(!allows(Method::GET, "https://other.example.com/v1/items"));
    }

    #[test]
    fn a_path_that_a_server_could_read_otherwise_is_refused() {
        for path in ["..", "%2e%2e", ".%2E", "a/../..", "..;x", "x%2f..", "%252e%252e", "x//y", "%5c..", "."] {
            let uri = format!("https://api.example.com/v1/items/{path}/admin");
            assert!(!allows(Method::GET, &uri), "{path}");
        }
    }

    #[test]
    fn a_grant_is_shown_as_the_file_has_it() {
        let shown = r#"{ origin = "api.example.com", methods = ["GET"], paths = ["/v1/items"] }"#;
        assert_eq!(grant().to_string(), shown);
        assert_eq!(HttpGrant::of("http://[::1]:8080".parse().unwrap()).to_string(), r#""http://[::1]:8080""#);
    }
}
