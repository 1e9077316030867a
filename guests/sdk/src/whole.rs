//! Integers as JSON Schema has them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A whole number that is not negative. To JSON Schema `2.0` is an `integer`, and models write it;
/// serde's own integers refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Whole<T>(pub T);

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_any(Number)?;
        T::try_from(number).map(Self).map_err(|_| D::Error::invalid_value(Unexpected::Unsigned(number), &Number))
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number within its bounds")
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        u64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        // Below 2^53 a double holds every whole number exactly (IEEE 754, binary64).
        if value.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&value) {
            Ok(value as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        for (json, number) in [("2", 2), ("2.0", 2), ("2e1", 20), ("-0.0", 0), ("0", 0), ("255", 255)] {
            assert_eq!(serde_json::from_str::<Whole<u8>>(json).unwrap(), Whole(number), "{json}");
        }
        for json in ["2.5", "-1", "-1.0", "256", "256.0", "1e300", "\"2\"", "null", "true"] {
            assert!(serde_json::from_str::<Whole<u8>>(json).is_err(), "{json}");
        }
    }
}
