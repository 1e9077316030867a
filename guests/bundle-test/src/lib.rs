//! Plugins that misbehave, for tests. None of them ships.

pub use exoclaw_bundle::Guest;

/// Every test plugin, by name.
pub static GUESTS: &[Guest] = include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// The test plugin of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Guest> {
    GUESTS.iter().find(|guest| guest.name == name)
}
