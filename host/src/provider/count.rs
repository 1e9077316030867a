//! Counts as services write them, which is not always as they should.
//!
//! What a service says of its counts never costs the user the answer: a count that is none (negative, a text,
//! a fraction, more than any model could take) is as good as left out, and what is left out is estimated.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;

/// More than any call could consume: the largest context windows hold ten million tokens. One absurd count
/// would else use up every budget for good.
const MAX_TOKENS: u64 = u32::MAX as u64;

/// A number of tokens that grows while an answer is written. Nothing, until the service has said something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count(Option<u64>);

impl Count {
    /// What was said; 0 where nothing was.
    pub(super) fn get(self) -> u64 {
        self.0.unwrap_or(0)
    }

    /// What was said, if anything was.
    pub(super) fn said(self) -> Option<u64> {
        self.0
    }

    /// Takes in what is said later. Counts are cumulative, so that a 0 takes nothing back: some services fill in
    /// zeros for what they counted before.
    pub(super) fn update(&mut self, news: Self) {
        if news.get() > 0 || self.0.is_none() {
            *self = news;
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As text: a number beyond all types must not end the answer.
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let (whole, fraction) = json.get().split_once('.').unwrap_or((json.get(), ""));
        let integral = fraction.bytes().all(|digit| digit == b'0');
        Ok(Self(whole.parse().ok().filter(|count| integral && *count <= MAX_TOKENS)))
    }
}

/// A part of a message that may be missing, null, or of another shape than it should have.
pub(super) struct Lenient<T>(pub(super) Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(json.get()).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(json: &str) -> Option<u64> {
        serde_json::from_str::<Count>(json).expect("never an error").said()
    }

    #[test]
    fn a_count_is_a_whole_number_that_a_call_could_consume() {
        for (json, expected) in [("0", 0), ("12", 12), ("12.0", 12), ("4294967295", MAX_TOKENS)] {
            assert_eq!(count(json), Some(expected), "{json}");
        }
        let nonsense = ["null", "-1", "-0.5", "0.5", "1e3", "1e999", "\"7\"", "[]", "{}", "true", "4294967296"];
        for json in nonsense.into_iter().chain(["18446744073709551616", "99999999999999999999999999.0"]) {
            assert_eq!(count(json), None, "{json}");
        }
    }

    #[test]
    fn a_later_count_replaces_an_earlier_one_unless_it_says_nothing() {
        let of = |said: &[Option<u64>]| {
            let mut count = Count::default();
            said.iter().for_each(|news| count.update(Count(*news)));
            count.said()
        };
        assert_eq!(of(&[Some(3), Some(9), None, Some(0)]), Some(9));
        assert_eq!(of(&[None, Some(0)]), Some(0));
        assert_eq!(of(&[Some(9), Some(3)]), Some(3), "the service's last word");
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn what_has_another_shape_is_left_out() {
        let lenient = |json: &str| serde_json::from_str::<Lenient<Vec<u8>>>(json).expect("never an error").0;
        assert_eq!(lenient("[1]"), Some(vec![1]));
        for json in ["null", "\"x\"", "{}", "[300]", "7"] {
            assert_eq!(lenient(json), None, "{json}");
        }
    }
}
