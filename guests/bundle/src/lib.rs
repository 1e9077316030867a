//! The plugins that ship inside the binary: `path = "bundled:NAME"`.

/// A plugin, as the build made it.
#[derive(Clone, Copy)]
pub struct Guest {
    /// Its name after `bundled:`.
    pub name: &'static str,
    /// The component.
    pub bytes: &'static [u8],
    /// The SHA-256 of `bytes`.
    pub sha256: [u8; 32],
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bundled:{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// Every plugin that ships, by name.
pub static GUESTS: &[Guest] = include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// The plugin of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Guest> {
    GUESTS.iter().find(|guest| guest.name == name)
}
