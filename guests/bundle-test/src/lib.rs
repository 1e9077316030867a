//! Plugins that misbehave, for tests. None of them ships.

pub use exoclaw_bundle::Guest;

/// Every test plugin, by name.
pub static GUESTS: &[Guest] = include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// Components for one attack each, by the name of its file in `guests/hostile/attacks`.
pub static ATTACKS: &[Guest] = include!(concat!(env!("OUT_DIR"), "/attacks.rs"));

/// The test plugin, or the attack, of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Guest> {
    GUESTS.iter().chain(ATTACKS).find(|guest| guest.name == name)
}
