//! The name of a session: which agent talks with whom, where.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is encoded inside a part, so that `:` only ever separates parts.
const PART: &AsciiSet = &CONTROLS.add(b'%').add(b':');

/// The longest session key, in bytes of its encoded form.
pub const MAX_KEY_BYTES: usize = 1024;

/// `{agent}:{channel}:{account}:{peer}`, with `%`, `:` and control characters inside a part
/// percent-encoded. Cheap to clone; equal keys have equal text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(Arc<str>);

/// Why a text is no session key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not four parts.
    #[error("a session key has four parts, `agent:channel:account:peer`; this one has {0}")]
    Parts(usize),
    /// An empty part.
    #[error("the {0} of a session key is empty")]
    Empty(&'static str),
    /// Too long.
    #[error("a session key has at most {MAX_KEY_BYTES} bytes; this one has {0}")]
    Long(usize),
    /// A part that does not re-encode to itself.
    #[error("`{0}` is not percent-encoded as a session key is (`%25` for `%`, `%3A` for `:`)")]
    Encoding(String),
}

const NAMES: [&str; 4] = ["agent", "channel", "account", "peer"];

impl SessionKey {
    /// Joins four parts, encoding what would be ambiguous.
    ///
    /// # Errors
    /// A part is empty, or the whole is longer than [`MAX_KEY_BYTES`].
    pub fn new(agent: &str, channel: &str, account: &str, peer: &str) -> Result<Self, KeyError> {
        let mut key = String::with_capacity(agent.len() + channel.len() + account.len() + peer.len() + 3);
        for (index, part) in [agent, channel, account, peer].into_iter().enumerate() {
            if part.is_empty() {
                return Err(KeyError::Empty(NAMES[index]));
            }
            if index > 0 {
                key.push(':');
            }
            key.extend(utf8_percent_encode(part, PART));
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(KeyError::Long(key.len()));
        }
        Ok(Self(key.into()))
    }

    /// The session of an agent with this machine's own user, whom no channel stands between.
    pub(crate) fn main(agent: &'static str) -> Self {
        Self(format!("{}:local:local:main", utf8_percent_encode(agent, PART)).into())
    }

    /// The encoded form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The agent's name, decoded.
    #[must_use]
    pub fn agent(&self) -> String {
        self.part(0)
    }

    /// The channel's name, decoded.
    #[must_use]
    pub fn channel(&self) -> String {
        self.part(1)
    }

    /// The account on the channel, decoded.
    #[must_use]
    pub fn account(&self) -> String {
        self.part(2)
    }

    /// The other side of the conversation, decoded.
    #[must_use]
    pub fn peer(&self) -> String {
        self.part(3)
    }

    fn part(&self, index: usize) -> String {
        let part = self.0.split(':').nth(index).unwrap_or_default();
        percent_decode_str(part).decode_utf8_lossy().into_owned()
    }
}

impl FromStr for SessionKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyError::Long(text.len()));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let [agent, channel, account, peer] = parts[..] else {
            return Err(KeyError::Parts(parts.len()));
        };
        let decode = |part: &str| {
            percent_decode_str(part)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| KeyError::Encoding(part.to_owned()))
        };
        let key = Self::new(&decode(agent)?, &decode(channel)?, &decode(account)?, &decode(peer)?)?;
        // One session must not have two names.
        if key.as_str() != text {
            return Err(KeyError::Encoding(text.to_owned()));
        }
        Ok(key)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SessionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SessionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_that_hold_the_separator_do_not_collide() -> Result<(), KeyError> {
        let one = SessionKey::new("a", "b:c", "d", "e")?;
        let other = SessionKey::new("a", "b", "c:d", "e")?;
        assert_ne!(one, other);
        assert_eq!(one.as_str(), "a:b%3Ac:d:e");
        assert_eq!(one.channel(), "b:c");
        Ok(())
    }

    #[test]
    fn a_second_spelling_of_a_key_is_refused() {
        assert_eq!("a:b:c:%64".parse::<SessionKey>(), Err(KeyError::Encoding("a:b:c:%64".into())));
        assert_eq!("a:b:c:%3a".parse::<SessionKey>(), Err(KeyError::Encoding("a:b:c:%3a".into())));
        assert_eq!("a:b:c".parse::<SessionKey>(), Err(KeyError::Parts(3)));
        assert_eq!("a:b::d".parse::<SessionKey>(), Err(KeyError::Empty("account")));
    }

    proptest! {
        #[test]
        fn a_key_reads_back_as_what_made_it(parts in prop::array::uniform4("\\PC{1,20}|[:%\\x00-\\x1f]{1,8}")) {
            let [agent, channel, account, peer] = &parts;
            let key = SessionKey::new(agent, channel, account, peer)?;
            let read: SessionKey = key.as_str().parse()?;
            prop_assert_eq!(&read, &key);
            prop_assert_eq!([read.agent(), read.channel(), read.account(), read.peer()], parts);
        }
    }
}
