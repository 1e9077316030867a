//! The tokens of an encoding, found by their bytes.

/// When a pair is merged into this token: the lower, the earlier. Ranks order as the published ones do, but are
/// not the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u32);

impl Rank {
    /// Of no token: behind all others.
    pub(super) const NONE: Self = Self(u32::MAX);

    /// A number that orders by rank first and by `start` next.
    pub(super) fn at(self, start: u32) -> u64 {
        u64::from(self.0) << 32 | u64::from(start)
    }

    /// What [`Rank::at`] was made of.
    pub(super) fn of(packed: u64) -> (Self, u32) {
        (Self((packed >> 32) as u32), packed as u32)
    }
}

/// The bits of a slot that say where its token stands. The others are of its hash, so that most misses are told
/// without a look at the token.
const PLACE: u32 = (1 << 21) - 1;

/// A set of tokens. Their bytes are borrowed from the program itself; what is made of them is one table of four
/// bytes a slot, at least half of which stay free.
pub(super) struct Vocabulary {
    /// By rising rank, for each token a byte that says how long it is, and the token.
    tokens: &'static [u8],
    /// By the hash of a token, with open addressing: where its bytes begin, and bits of its hash above; 0 is free.
    slots: Box<[u32]>,
    /// The length of the longest, in bytes.
    longest: usize,
}

impl Vocabulary {
    /// Takes tokens by rising rank, each behind a byte that says how long it is, in at most 2 MiB.
    pub(super) fn new(tokens: &'static [u8]) -> Self {
        let places: Vec<_> = Self::places(tokens).collect();
        let mut slots = vec![0_u32; (places.len() * 2).next_power_of_two()].into_boxed_slice();
        let mask = slots.len() - 1;
        let mut longest = 0;
        for (place, token) in places {
            longest = longest.max(token.len());
            let hash = hash(token);
            let mut index = first(hash, mask);
            while slots.get(index).is_some_and(|slot| *slot != 0) {
                index = (index + 1) & mask;
            }
            if let Some(slot) = slots.get_mut(index) {
                *slot = tag(hash) | place;
            }
        }
        Self { tokens, slots, longest }
    }

    /// The tokens by rising rank, and where they stand.
    pub(super) fn places(tokens: &'static [u8]) -> impl Iterator<Item = (u32, &'static [u8])> {
        let mut place = 1;
        std::iter::from_fn(move || {
            let length = usize::from(*tokens.get(place - 1)?);
            let token = tokens.get(place..place + length)?;
            let found = (u32::try_from(place).ok().filter(|place| *place <= PLACE)?, token);
            place += length + 1;
            Some(found)
        })
    }

    /// The rank of the token of exactly these bytes.
    #[inline]
    pub(super) fn rank(&self, bytes: &[u8]) -> Option<Rank> {
        if bytes.len() > self.longest {
            return None;
        }
        let (hash, mask) = (hash(bytes), self.slots.len() - 1);
        let mut index = first(hash, mask);
        loop {
            let slot = *self.slots.get(index)?;
            if slot == 0 {
                return None;
            }
            if slot & !PLACE == tag(hash) {
                let place = (slot & PLACE) as usize;
                let length = usize::from(*self.tokens.get(place - 1)?);
                if length == bytes.len() && self.tokens.get(place..place + length) == Some(bytes) {
                    return Some(Rank(slot & PLACE));
                }
            }
            index = (index + 1) & mask;
        }
    }
}

/// Bits of a hash that [`first`] does not use.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 & !PLACE
}

/// Where the search for a hash begins.
fn first(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

/// Quick and well mixed. It need not be secret: what it is asked for never enters the table.
#[inline]
fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole = words.iter().fold(bytes.len() as u64, |hash, word| mixed(hash ^ u64::from_le_bytes(*word)));
    mixed(whole ^ rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
}

/// Both halves of a product, folded: the multipliers are odd and have no pattern.
#[inline]
fn mixed(word: u64) -> u64 {
    let product = u128::from(word ^ 0x2545_f491_4f6c_dd1d) * 0x9e37_79b9_7f4a_7c15;
    product as u64 ^ (product >> 64) as u64
}
