//! One secret, looked for byte by byte.

use zeroize::Zeroizing;

use crate::secrets::Secret;

/// A secret and how to go on after a byte that is not its next one (Knuth, Morris and Pratt, "Fast
/// Pattern Matching in Strings", 1977).
pub(super) struct Needle {
    bytes: Zeroizing<Vec<u8>>,
    /// At `n`: how many of the secret's first bytes end its first `n` ones, short of all of them.
    falls: Vec<usize>,
}

impl Needle {
    /// None for the empty text, which is everywhere.
    pub(super) fn new(secret: &Secret) -> Option<Self> {
        let bytes = secret.expose().as_bytes();
        if bytes.is_empty() {
            return None;
        }
        let mut needle = Self { bytes: Zeroizing::new(bytes.to_vec()), falls: vec![0; bytes.len() + 1] };
        let mut depth = 0;
        for (index, byte) in bytes.iter().enumerate().skip(1) {
            depth = needle.step(depth, *byte);
            needle.falls[index + 1] = depth;
        }
        Some(needle)
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many of the secret's first bytes have just been seen, after `byte` was; at most
    /// [`Self::len`]. Over a stream it takes two comparisons a byte.
    #[inline]
    pub(super) fn step(&self, mut depth: usize, byte: u8) -> usize {
        while self.bytes.get(depth) != Some(&byte) {
            if depth == 0 {
                return 0;
            }
            depth = self.falls[depth];
        }
        depth + 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_occurrence_is_found_also_overlapping_ones(secret in "[ab]{1,6}", text in "[ab]{0,60}") {
            let needle = Needle::new(&Secret::new(secret.clone())).unwrap();
            let mut depth = 0;
            for (index, byte) in text.bytes().enumerate() {
                depth = needle.step(depth, byte);
                prop_assert_eq!(depth == needle.len(), text[..=index].ends_with(&secret));
            }
        }
    }
}
