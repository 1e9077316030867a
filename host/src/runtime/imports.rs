//! What a component imports, held against what it was granted, before anything is linked.

use std::fmt;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::config::{Access, GrantsConfig};

use super::inert;

/// How the host meets an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Provision {
    /// It is linked and reaches nothing.
    Inert,
    /// The log.
    Log,
    /// Outgoing HTTP, as far as the grants go.
    Http,
    /// Keys and values of its own.
    Store,
    /// The session's files.
    Files(Access),
    /// The agent's memory.
    Memory(Access),
    /// Showing progress.
    Progress,
    /// Folders of this machine, of which it may change some or none.
    Dirs(Access),
}

impl Provision {
    /// Whether it changes anything that outlives the call. A request may, whatever its method.
    pub(super) fn writes(self) -> bool {
        match self {
            Self::Inert | Self::Log | Self::Progress => false,
            Self::Http | Self::Store => true,
            Self::Files(access) | Self::Memory(access) | Self::Dirs(access) => access == Access::Write,
        }
    }

    /// Whether what it does depends on whose call it is: with HTTP, whether it is anybody's at all.
    pub(super) fn asks_who(self) -> bool {
        matches!(self, Self::Http | Self::Store | Self::Files(_) | Self::Memory(_) | Self::Progress)
    }

    /// Whether the same call with the same arguments may find another world.
    pub(super) fn varies(self) -> bool {
        !matches!(self, Self::Inert | Self::Log | Self::Progress)
    }

    /// In plain words, what a plugin can do with it.
    pub(super) fn means(self) -> &'static str {
        match self {
            Self::Inert => "nothing: standard libraries ask for it, and it is empty here",
            Self::Log => "write lines to the gateway's log",
            Self::Http => "send HTTP requests to the hosts that the grant names",
            Self::Store => "keep keys and values of its own, within a quota",
            Self::Files(Access::Write) => "read the session's files and make new ones",
            Self::Files(_) => "read the session's files",
            Self::Memory(Access::Write) => "search the agent's memory and change it",
            Self::Memory(_) => "search the agent's memory",
            Self::Progress => "show the user how far a call is",
            Self::Dirs(Access::Write) => "read and change files in the folders that the grant names",
            Self::Dirs(_) => "read files in the folders that the grant names",
        }
    }
}

/// An import that is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) provision: Provision,
}

/// What a component is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// What was granted; a component that imports more is refused.
    Granted,
    /// Every capability that it imports, so that it can be asked what it is; without a grant, each
    /// refuses every use. For looking at a component, never for running it.
    Refusing,
}

/// A capability that can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// `http`.
    Http,
    /// `store`.
    Store,
    /// `files`.
    Files,
    /// `memory`.
    Memory,
    /// `progress`.
    Progress,
}

impl Capability {
    const ALL: [(&'static str, Self); 6] = [
        ("exoclaw:plugin/store", Self::Store),
        ("exoclaw:plugin/memory", Self::Memory),
        ("exoclaw:plugin/files", Self::Files),
        ("exoclaw:plugin/progress", Self::Progress),
        ("wasi:http/outgoing-handler", Self::Http),
        ("wasi:http/types", Self::Http),
    ];

    /// What it is, in a few words.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Http => "outgoing HTTP",
            Self::Store => "storage of its own",
            Self::Files => "the session's files",
            Self::Memory => "the agent's memory",
            Self::Progress => "showing progress",
        }
    }

    /// The line under `[plugins.grants]` that grants it. `hosts` are those that it would reach,
    /// where that is known.
    #[must_use]
    pub fn line(self, hosts: &[String]) -> String {
        match self {
            Self::Http if hosts.is_empty() => r#"http = ["HOST"]"#.to_owned(),
            Self::Http => format!("http = {hosts:?}"),
            Self::Store => "store = true".to_owned(),
            Self::Files => r#"files = "read"      # or "write""#.to_owned(),
            Self::Memory => r#"memory = "read"     # or "write""#.to_owned(),
            Self::Progress => "progress = true".to_owned(),
        }
    }

    /// How it is met under these grants; not at all, where they have none of it.
    fn granted(self, grants: &GrantsConfig) -> Option<Provision> {
        let access = |access: Access| (access != Access::None).then_some(access);
        match self {
            Self::Http => (!grants.http.is_empty()).then_some(Provision::Http),
            Self::Store => grants.store.then_some(Provision::Store),
            Self::Files => access(grants.files).map(Provision::Files),
            Self::Memory => access(grants.memory).map(Provision::Memory),
            Self::Progress => grants.progress.then_some(Provision::Progress),
        }
    }

    /// As it is linked to be looked at.
    fn refusing(self) -> Provision {
        match self {
            Self::Http => Provision::Http,
            Self::Store => Provision::Store,
            Self::Files => Provision::Files(Access::None),
            Self::Memory => Provision::Memory(Access::None),
            Self::Progress => Provision::Progress,
        }
    }
}

/// Everything that a component imports and was not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ungranted {
    /// Each import, with why it is not met.
    pub imports: Vec<(String, String)>,
    /// What would have to be granted, each capability once.
    pub capabilities: Vec<Capability>,
}

impl fmt::Display for Ungranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let imports = self.imports.iter().map(|(name, why)| format!("`{name}` ({why})"));
        f.write_str(&imports.collect::<Vec<_>>().join(", "))?;
        if !self.capabilities.is_empty() {
            f.write_str("; to grant it, write under its [[plugins]]:\n\n    [plugins.grants]\n")?;
            for capability in &self.capabilities {
                writeln!(f, "    {}", capability.line(&[]))?;
            }
        }
        Ok(())
    }
}

/// Every import with how it is met, or everything about those that are not.
pub(super) fn check(
    engine: &Engine,
    component: &Component,
    grants: &GrantsConfig,
    linkage: Linkage,
) -> Result<Vec<Import>, Ungranted> {
    let component_type = component.component_type();
    let mut met = Vec::new();
    let mut refused = Ungranted { imports: Vec::new(), capabilities: Vec::new() };
    for (name, _) in component_type.imports(engine) {
        match provision(name, grants, linkage) {
            Ok(provision) => met.push(Import { name: name.to_owned(), provision }),
            Err(lack) => {
                refused.imports.push((name.to_owned(), lack.to_string()));
                if let Lack::Grant(capability) = lack
                    && !refused.capabilities.contains(&capability)
                {
                    refused.capabilities.push(capability);
                }
            }
        }
    }
    if refused.imports.is_empty() { Ok(met) } else { Err(refused) }
}

/// What of these imports would be refused under these grants.
pub(super) fn lacking(imports: &[Import], grants: &GrantsConfig) -> Vec<Capability> {
    let mut lacking = Vec::new();
    for import in imports {
        if let Err(Lack::Grant(capability)) = provision(&import.name, grants, Linkage::Granted)
            && !lacking.contains(&capability)
        {
            lacking.push(capability);
        }
    }
    lacking
}

/// The names of what a component exports.
pub(super) fn exports(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// Whether `name` is this interface of ours, in a version that this host speaks.
pub(super) fn is_ours(name: &str, interface: &str) -> bool {
    Name::parse(name).is_some_and(|name| name.interface == interface && name.is_in_track(0, 1))
}

/// Why an import is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    Grant(Capability),
    Version { package: &'static str, major: u64, minor: u64 },
    Unversioned,
    Unknown,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(capability) => f.write_str(capability.what()),
            Self::Version { package, major, minor } => {
                write!(f, "of {package}, this host speaks version {major}.{minor} only")
            }
            Self::Unversioned => f.write_str("no interface of a versioned package"),
            Self::Unknown => f.write_str("unknown to this host"),
        }
    }
}

fn provision(name: &str, grants: &GrantsConfig, linkage: Linkage) -> Result<Provision, Lack> {
    let name = Name::parse(name).ok_or(Lack::Unversioned)?;
    let package = name.interface.split('/').next().unwrap_or_default();
    let (major, minor) = match package {
        "exoclaw:plugin" => (0, 1),
        "wasi:http" => (0, 2),
        _ => match inert::PACKAGES.iter().find(|(inert, ..)| package == *inert) {
            Some((_, major, minor)) => (*major, *minor),
            None => return Err(Lack::Unknown),
        },
    };
    if let Some((_, capability)) = Capability::ALL.iter().find(|(interface, _)| name.interface == *interface) {
        if !name.is_in_track(major, minor) {
            let package = if package == "wasi:http" { "wasi:http" } else { "exoclaw:plugin" };
            return Err(Lack::Version { package, major, minor });
        }
        return match (capability.granted(grants), linkage) {
            (Some(provision), _) => Ok(provision),
            (None, Linkage::Refusing) => Ok(capability.refusing()),
            (None, Linkage::Granted) => Err(Lack::Grant(*capability)),
        };
    }
    match name.interface {
        "exoclaw:plugin/logging" if name.is_in_track(0, 1) => return Ok(Provision::Log),
        // Only types: nothing to provide.
        "exoclaw:plugin/types" if name.is_in_track(0, 1) => return Ok(Provision::Inert),
        _ => {}
    }
    match inert::PACKAGES.iter().find(|(inert, ..)| package == *inert) {
        Some((package, major, minor)) if !name.is_in_track(*major, *minor) => {
            Err(Lack::Version { package, major: *major, minor: *minor })
        }
        Some(("wasi:filesystem", ..)) if !grants.dirs.is_empty() => {
            let writable = grants.dirs.iter().any(|dir| dir.writable);
            Ok(Provision::Dirs(if writable { Access::Write } else { Access::Read }))
        }
        Some(_) => Ok(Provision::Inert),
        None => Err(Lack::Unknown),
    }
}

/// `namespace:package/interface@major.minor.patch`.
struct Name<'a> {
    interface: &'a str,
    major: u64,
    minor: u64,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (interface, version) = name.split_once('@')?;
        // A prerelease is a track of its own, as for Wasmtime's linker.
        if version.contains('-') || !interface.contains('/') {
            return None;
        }
        let mut parts = version.split(['.', '+']);
        let mut number = || parts.next()?.parse().ok();
        Some(Self { interface, major: number()?, minor: number()? })
    }

    /// Semantic versions are compatible within a major version, and before 1.0 within a minor one.
    fn is_in_track(&self, major: u64, minor: u64) -> bool {
        self.major == major && (major > 0 || self.minor == minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HttpGrant;

    fn bare(name: &str) -> Result<Provision, Lack> {
        provision(name, &GrantsConfig::default(), Linkage::Granted)
    }

    #[test]
    fn versions_of_one_track_are_met_and_others_are_not() {
        let wrong = |package, major, minor| Err(Lack::Version { package, major, minor });
        assert_eq!(bare("exoclaw:plugin/logging@0.1.0"), Ok(Provision::Log));
        assert_eq!(bare("exoclaw:plugin/logging@0.1.9"), Ok(Provision::Log));
        assert_eq!(bare("exoclaw:plugin/logging@0.2.0"), Err(Lack::Unknown));
        assert_eq!(bare("exoclaw:plugin/store@0.2.0"), wrong("exoclaw:plugin", 0, 1));
        assert_eq!(bare("wasi:cli/environment@0.2.6"), Ok(Provision::Inert));
        assert_eq!(bare("wasi:cli/environment@0.3.0"), wrong("wasi:cli", 0, 2));
        assert_eq!(bare("wasi:cli/environment@0.2.0-rc-1"), Err(Lack::Unversioned));
        assert_eq!(bare("wasi:clients/x@0.2.0"), Err(Lack::Unknown));
        assert_eq!(bare("wasi:http/types@0.3.0"), wrong("wasi:http", 0, 2));
        assert_eq!(bare("acme:tool/thing@1.0.0"), Err(Lack::Unknown));
        assert_eq!(bare("log"), Err(Lack::Unversioned));
    }

    #[test]
    fn a_capability_is_met_by_its_grant_and_by_nothing_else() {
        let all = GrantsConfig {
            http: vec![HttpGrant::of("api.example.com".parse().unwrap())],
            store: true,
            files: Access::Read,
            progress: true,
            memory: Access::Write,
            ..GrantsConfig::default()
        };
        for (interface, capability) in Capability::ALL {
            let name = format!("{interface}@{}", if interface.starts_with("wasi") { "0.2.4" } else { "0.1.0" });
            assert_eq!(bare(&name), Err(Lack::Grant(capability)), "{name}");
            assert_eq!(provision(&name, &all, Linkage::Granted), Ok(capability.granted(&all).unwrap()), "{name}");
            let looked_at = provision(&name, &GrantsConfig::default(), Linkage::Refusing);
            assert_eq!(looked_at, Ok(capability.refusing()), "{name}");
        }
        assert_eq!(provision("wasi:http/incoming-handler@0.2.0", &all, Linkage::Granted), Err(Lack::Unknown));
    }

    #[test]
    fn one_error_names_every_import_and_the_lines_that_would_grant_them() {
        let refused = Ungranted {
            imports: vec![("exoclaw:plugin/store@0.1.0".into(), "storage of its own".into()), ("x".into(), "y".into())],
            capabilities: vec![Capability::Store, Capability::Http],
        };
        let text = refused.to_string();
        assert!(text.contains("`exoclaw:plugin/store@0.1.0` (storage of its own), `x` (y); to grant it"), "{text}");
        assert!(text.ends_with("    [plugins.grants]\n    store = true\n    http = [\"HOST\"]\n"), "{text}");
    }
}
