//! What a component imports, held against what it was granted, before anything is linked.

use wasmtime::Engine;
use wasmtime::component::Component;

use super::inert;

/// How the host meets an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provision {
    /// It is linked and reaches nothing.
    Inert,
    /// The log.
    Log,
}

impl Provision {
    /// Whether it changes anything that outlives the call.
    pub(super) fn writes(self) -> bool {
        match self {
            Self::Inert | Self::Log => false,
        }
    }
}

/// An import that is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) provision: Provision,
}

/// What the contract calls a capability, with what it would take to grant it.
const CAPABILITIES: &[(&str, &str)] = &[
    ("exoclaw:plugin/store", "storage of its own"),
    ("exoclaw:plugin/memory", "the agent's memory"),
    ("exoclaw:plugin/files", "the session's files"),
    ("exoclaw:plugin/progress", "showing progress"),
    ("wasi:http/outgoing-handler", "outgoing HTTP"),
    ("wasi:http/types", "outgoing HTTP"),
];

/// Every import with how it is met, or everything about those that are not.
pub(super) fn check(engine: &Engine, component: &Component) -> Result<Vec<Import>, String> {
    let component_type = component.component_type();
    let mut met = Vec::new();
    let mut refused = Vec::new();
    for (name, _) in component_type.imports(engine) {
        match provision(name) {
            Some(provision) => met.push(Import { name: name.to_owned(), provision }),
            None => refused.push(format!("`{name}` ({})", reason(name))),
        }
    }
    if refused.is_empty() { Ok(met) } else { Err(refused.join(", ")) }
}

/// The names of what a component exports.
pub(super) fn exports(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// Whether `name` is this interface of ours, in a version that this host speaks.
pub(super) fn is_ours(name: &str, interface: &str) -> bool {
    Name::parse(name).is_some_and(|name| name.interface == interface && name.is_in_track(0, 1))
}

fn provision(name: &str) -> Option<Provision> {
    if is_ours(name, "exoclaw:plugin/logging") {
        return Some(Provision::Log);
    }
    // Only types: nothing to provide.
    if is_ours(name, "exoclaw:plugin/types") {
        return Some(Provision::Inert);
    }
    let name = Name::parse(name)?;
    let package = name.interface.split('/').next()?;
    inert::PACKAGES
        .iter()
        .any(|(inert, major, minor)| package == *inert && name.is_in_track(*major, *minor))
        .then_some(Provision::Inert)
}

fn reason(name: &str) -> String {
    let Some(parsed) = Name::parse(name) else {
        return "no interface of a versioned package".into();
    };
    if let Some((_, capability)) = CAPABILITIES.iter().find(|(interface, _)| parsed.interface == *interface) {
        return format!("{capability}; this version of exoclaw cannot grant it");
    }
    let package = parsed.interface.split('/').next().unwrap_or_default();
    match inert::PACKAGES.iter().find(|(inert, ..)| package == *inert) {
        Some((_, major, minor)) => format!("of {package}, this host speaks version {major}.{minor} only"),
        None => "unknown to this host".into(),
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

    #[test]
    fn versions_of_one_track_are_met_and_others_are_not() {
        assert_eq!(provision("exoclaw:plugin/logging@0.1.0"), Some(Provision::Log));
        assert_eq!(provision("exoclaw:plugin/logging@0.1.9"), Some(Provision::Log));
        assert_eq!(provision("exoclaw:plugin/logging@0.2.0"), None);
        assert_eq!(provision("wasi:cli/environment@0.2.6"), Some(Provision::Inert));
        assert_eq!(provision("wasi:cli/environment@0.3.0"), None);
        assert_eq!(provision("wasi:cli/environment@0.2.0-rc-1"), None);
        assert_eq!(provision("wasi:clients/x@0.2.0"), None);
        assert_eq!(provision("wasi:http/types@0.2.4"), None);
        assert_eq!(provision("exoclaw:plugin/store@0.1.0"), None);
        assert_eq!(provision("log"), None);
    }

    #[test]
    fn each_refusal_has_its_reason() {
        assert_eq!(reason("exoclaw:plugin/store@0.1.0"), "storage of its own; this version of exoclaw cannot grant it");
        assert_eq!(reason("wasi:cli/stdin@0.3.0"), "of wasi:cli, this host speaks version 0.2 only");
        assert_eq!(reason("acme:tool/thing@1.0.0"), "unknown to this host");
        assert_eq!(reason("log"), "no interface of a versioned package");
    }
}
