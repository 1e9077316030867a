//! Identifiers and times that are stored.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The machine's clock, now. A clock set before 1970 reads as the epoch.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// This time and a duration later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero where it was not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Which owner of the store does something: later ones have larger numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of an event within its session. Increases, may skip, is never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// Position of a message within its session's history.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Position(pub u64);

/// Names one turn: 20 characters of `[a-z0-9]`, of which the first nine tell the time, so that
/// ids sort by age. The length is what platforms' idempotency keys leave room for (Discord's
/// `nonce` has 25).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId([u8; Self::LENGTH]);

/// A text that is no turn id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no turn id: 20 characters of a-z and 0-9")]
pub struct TurnIdError(String);

/// Crockford's base 32, lower case: no `i`, `l`, `o`, `u`.
pub(super) const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl TurnId {
    const LENGTH: usize = 20;
    const TIME_DIGITS: usize = 9;

    /// An id of 45 bits of `now` and 55 bits of chance.
    #[must_use]
    pub fn new(now: Timestamp, chance: u64) -> Self {
        let mut id = [0; Self::LENGTH];
        let digit = |bits: u64| ALPHABET[(bits & 31) as usize];
        for (index, byte) in id.iter_mut().enumerate() {
            *byte = if index < Self::TIME_DIGITS {
                digit(now.0 >> (5 * (Self::TIME_DIGITS - 1 - index)))
            } else {
                digit(chance >> (5 * (index - Self::TIME_DIGITS)))
            };
        }
        Self(id)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for TurnId {
    type Err = TurnIdError;

    fn from_str(text: &str) -> Result<Self, TurnIdError> {
        let error = || TurnIdError(text.chars().take(40).collect());
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| error())?;
        if bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            Ok(Self(bytes))
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for TurnId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TurnId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turn_ids_sort_by_time_and_read_back() -> Result<(), TurnIdError> {
        let early = TurnId::new(Timestamp(1_700_000_000_000), u64::MAX);
        let late = TurnId::new(Timestamp(1_700_000_000_001), 0);
        assert!(early < late);
        assert_eq!(early.as_str().len(), 20);
        assert_eq!(early.as_str().parse::<TurnId>()?, early);
        assert!("TURN".parse::<TurnId>().is_err());
        Ok(())
    }
}
