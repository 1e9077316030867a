//! Keys, in the one type that neither prints nor serialises, and where they come from: the
//! environment, then a file of its owner's alone; for plugins also a program.

pub(crate) mod command;
pub(crate) mod credentials;

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use command::CommandError;
pub use credentials::{SecretError, load};

/// The shortest secret of a plugin, in bytes. A shorter one could be guessed by a plugin that has
/// its guesses echoed and sees which are hidden, and would be hidden where it stands by chance.
pub const MIN_PLUGIN_SECRET: usize = 8;

/// A secret text. Wiped from memory when dropped; shows itself to nobody who does not ask.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that puts it on a wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a stranger's text is this secret. How long that takes tells nothing of the
    /// secret, its length included: digests are compared.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        Sha256::digest(self.0.as_bytes()).as_slice().ct_eq(Sha256::digest(text).as_slice()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_alone_and_is_not_printed() {
        let secret = Secret::new("hunter2".into());
        assert!(secret.matches(b"hunter2"));
        for other in ["hunter", "hunter22", "Hunter2", ""] {
            assert!(!secret.matches(other.as_bytes()));
        }
        assert_eq!(format!("{secret:?}"), "[secret]");
    }
}
