//! What a model's own counts say about ours.
//!
//! A model's factor is learnt over all of its calls and stored. Conversations differ from it by what they are made of:
//! a tokenizer may be twice another's on Chinese and its equal on code. But what a conversation sends is mostly what it
//! sent before, so that its own last calls say best what the next will be; they are remembered for those that talk.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::Asked;
use super::cache::{Cache, Key};

/// Thousandths: sums are kept in them, so that decay loses nothing of small ones.
const MILLI: u64 = 1_000;

/// The tokens that a start value weighs, as if so many had been compared. A few words' worth: the first real call
/// outweighs it.
const PRIOR: u64 = 500;

/// Each call leaves 15 of 16 parts of what came before it: the last sixteen make up two thirds of a factor, so that
/// it follows its owner's habits, and the mixture of texts evens out.
const DECAY: u64 = 16;

/// The fewest tokens counted here that say anything.
const LEAST: u64 = 8;

/// A provider's tokens for one of ours are at least a quarter and at most four; what is beyond is no tokenizer's
/// doing.
const BOUNDS: (u64, u64) = (250, 4_000);

/// How far a call may stray from what was learnt, in thousandths; of what strays further, this much counts. Before
/// [`SETTLED`] calls it is more, so that any tokenizer is reached by then.
const EARLY_STRAY: u64 = 2_000;
const STRAY: u64 = 1_500;
const SETTLED: u64 = 8;

/// How much more the last call of a conversation says than those before it.
const LAST: u64 = 3;

/// The largest sum, so that none overflows: a million times what any context holds.
const SUM: u64 = 1 << 50;

/// The most models that are learnt of: names come from a config, and no config has so many.
const MOST: usize = 1_024;

/// What was learnt of a model: how its provider counts, by how we count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactorRecord {
    /// The provider's name in the config.
    pub provider: String,
    /// The model, as the provider names it.
    pub model: String,
    /// Tokens counted here, in thousandths; of earlier calls a decayed part.
    pub base: u64,
    /// The provider's count of the same, in thousandths, decayed alike.
    pub counted: u64,
    /// The calls that were compared.
    pub calls: u64,
}

/// A ratio of decayed sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Factor {
    base: u64,
    counted: u64,
    calls: u64,
}

impl Factor {
    /// Before any call: so many of the provider's tokens for a thousand of ours.
    pub(super) fn start(per_mille: u64) -> Self {
        Self { base: PRIOR * MILLI, counted: PRIOR * per_mille, calls: 0 }
    }

    /// The provider's tokens for a thousand of ours.
    pub(super) fn per_mille(self) -> u64 {
        ratio(self.base, self.counted).clamp(BOUNDS.0, BOUNDS.1)
    }

    /// Takes in a call: what was counted here, and by the provider. Says whether it meant anything.
    pub(super) fn learn(&mut self, base: u64, counted: u64) -> bool {
        if base < LEAST || counted == 0 {
            return false;
        }
        let known = self.per_mille();
        let stray = if self.calls < SETTLED { EARLY_STRAY } else { STRAY };
        let ratio = ratio(base, counted).clamp(known * 1_000 / stray, known * stray / 1_000);
        // None outweighs all before it together.
        let weight = base.min((self.base / MILLI).max(2 * PRIOR));
        self.base = (self.base - self.base / DECAY + weight * MILLI).min(SUM);
        self.counted = (self.counted - self.counted / DECAY + weight * ratio).min(SUM);
        self.calls = self.calls.saturating_add(1);
        true
    }
}

/// The factors of all models that were asked, and of the conversations that asked them last.
pub(super) struct Factors {
    known: Mutex<HashMap<(String, String), Factor>>,
    /// Thousandths.
    conversations: Cache,
}

impl Factors {
    pub(super) fn new(records: impl IntoIterator<Item = FactorRecord>) -> Self {
        let known = records.into_iter().map(|FactorRecord { provider, model, base, counted, calls }| {
            // What no call can have left is not taken over.
            let factor = Factor { base: base.clamp(1, SUM), counted: counted.min(SUM), calls };
            ((provider, model), factor)
        });
        Self { known: Mutex::new(known.take(MOST).collect()), conversations: Cache::new() }
    }

    /// The provider's tokens for `base` of ours, rounded up; before any call was compared, by `start`.
    pub(super) fn applied(&self, asked: Asked<'_>, start: u64, base: u64) -> u64 {
        let per_mille = self.conversations.get(self.conversation(asked));
        applied(per_mille.unwrap_or_else(|| self.of(asked, start).per_mille()), base)
    }

    /// What is known of a model; before any call, `start` of its tokens for a thousand of ours.
    pub(super) fn of(&self, asked: Asked<'_>, start: u64) -> Factor {
        let key = (asked.provider.to_owned(), asked.model.to_owned());
        self.known().get(&key).copied().unwrap_or_else(|| Factor::start(start))
    }

    /// Takes in a call, and gives what is now known of the model, to be stored.
    pub(super) fn learn(&self, asked: Asked<'_>, start: u64, base: u64, counted: u64) -> Option<FactorRecord> {
        let (provider, model) = (asked.provider.to_owned(), asked.model.to_owned());
        let key = (provider.clone(), model.clone());
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(&key) {
            return None;
        }
        let factor = known.entry(key).or_insert_with(|| Factor::start(start));
        let before = factor.per_mille();
        let learnt = factor.learn(base, counted).then_some(*factor);
        drop(known);
        let Factor { base: of_base, counted: of_counted, calls } = learnt?;
        let conversation = self.conversation(asked);
        let before = self.conversations.get(conversation).unwrap_or(before);
        let now = ratio(base, counted).clamp(before * 1_000 / EARLY_STRAY, before * EARLY_STRAY / 1_000);
        self.conversations.put(conversation, ((before + LAST * now) / (1 + LAST)).clamp(BOUNDS.0, BOUNDS.1));
        Some(FactorRecord { provider, model, base: of_base, counted: of_counted, calls })
    }

    fn conversation(&self, Asked { session, provider, model }: Asked<'_>) -> Key {
        self.conversations.key((session, provider, model), 0)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(String, String), Factor>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The provider's tokens for a thousand of ours.
fn ratio(base: u64, counted: u64) -> u64 {
    let ratio = u128::from(counted) * 1_000 / u128::from(base.max(1));
    u64::try_from(ratio).unwrap_or(u64::MAX)
}

fn applied(per_mille: u64, base: u64) -> u64 {
    let tokens = (u128::from(base) * u128::from(per_mille)).div_ceil(1_000);
    u64::try_from(tokens).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::SessionKey;

    fn asked<'a>(session: &'a SessionKey, model: &'a str) -> Asked<'a> {
        Asked { session, provider: "p", model }
    }

    fn session(name: &str) -> SessionKey {
        SessionKey::new("a", "c", "l", name).unwrap()
    }

    #[test]
    fn a_factor_begins_as_stated_and_becomes_what_the_provider_counts() {
        let mut factor = Factor::start(1_250);
        assert_eq!(factor.per_mille(), 1_250);
        for _ in 0..20 {
            assert!(factor.learn(300, 450));
        }
        assert!((1_470..=1_500).contains(&factor.per_mille()), "{factor:?}");
    }

    #[test]
    fn one_call_that_is_far_off_moves_little_and_nothing_says_nothing() {
        let mut factor = Factor::start(1_000);
        for _ in 0..20 {
            factor.learn(2_000, 2_400);
        }
        let before = factor.per_mille();
        assert!(!factor.learn(2_000, 0) && !factor.learn(0, 2_000));
        assert_eq!(factor.per_mille(), before);
        factor.learn(2_000, 200_000);
        assert!(factor.per_mille() < before * 105 / 100);
        let mut factor = Factor::start(1_000);
        factor.learn(1_000_000, u64::MAX);
        (0..20).for_each(|_| assert!(factor.learn(300, 330)));
        assert!((1_050..=1_210).contains(&factor.per_mille()), "{factor:?}");
    }

    #[test]
    fn what_was_stored_goes_on() {
        let factors = Factors::new([]);
        let session = session("one");
        let model = asked(&session, "m");
        let learn = |factors: &Factors| factors.learn(model, 1_000, 5_000, 6_000);
        let record = (0..5).filter_map(|_| learn(&factors)).last().unwrap();
        let again = Factors::new([record.clone()]);
        assert_eq!(again.of(model, 1), factors.of(model, 1));
        assert_eq!(learn(&again), learn(&factors));
        assert_eq!(again.of(asked(&session, "other"), 1_150), Factor::start(1_150));
        assert_eq!(record.calls, 5);
    }

    #[test]
    fn a_conversation_that_differs_keeps_to_itself() {
        let factors = Factors::new([]);
        let (chinese, english, new) = (session("zh"), session("en"), session("new"));
        for _ in 0..20 {
            factors.learn(asked(&chinese, "m"), 1_000, 2_000, 3_600);
            factors.learn(asked(&english, "m"), 1_000, 2_000, 2_000);
        }
        let of = |session| factors.applied(asked(session, "m"), 1_000, 1_000);
        assert!((1_790..=1_800).contains(&of(&chinese)), "{}", of(&chinese));
        assert!((1_000..=1_010).contains(&of(&english)), "{}", of(&english));
        assert!((1_200..=1_600).contains(&of(&new)), "{}", of(&new));
        // Nor does it know more of another model.
        assert_eq!(factors.applied(asked(&chinese, "other"), 1_150, 1_000), 1_150);
    }

    proptest! {
        #[test]
        fn no_counts_are_too_odd_to_be_learnt_from(
            calls in prop::collection::vec((prop_oneof![0..100_u64, any::<u64>()], any::<u64>()), 1..40),
            stored in any::<(u64, u64, u64)>(),
        ) {
            let record = FactorRecord {
                provider: "p".into(), model: "m".into(), base: stored.0, counted: stored.1, calls: stored.2,
            };
            let factors = Factors::new([record]);
            let (one, other) = (session("one"), session("other"));
            for (base, counted) in calls {
                factors.learn(asked(&one, "m"), 1_000, base, counted);
                for session in [&one, &other] {
                    let applied = factors.applied(asked(session, "m"), 1_000, 1_000);
                    prop_assert!((BOUNDS.0..=BOUNDS.1).contains(&applied));
                    factors.applied(asked(session, "m"), 1_000, counted);
                }
            }
        }
    }
}
