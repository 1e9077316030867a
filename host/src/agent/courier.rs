//! How an answer finds its way to a platform: what a turn tells whoever carries it there.

use serde::{Deserialize, Serialize};

use crate::store::{Destination, SessionKey, TurnId};

/// Carries answers to where their turns' messages came from. It is told of turns that have a
/// [`Destination`], must not wait, and finds all that it missed in the store's outbox.
pub trait Courier: Send + Sync + 'static {
    /// A turn begins to run, perhaps again after a restart. Its events can be watched
    /// ([`crate::bus::Hub::attach`]) until it ends.
    fn begun(&self, passage: &Passage);

    /// A turn's end is stored, and its answer with it, in the outbox.
    fn ended(&self, passage: &Passage);

    /// Something that is no turn's answer was put into the outbox of a channel.
    fn opened(&self, channel: &str);
}

/// Where nothing carries answers, they stay in the outbox.
impl Courier for () {
    fn begun(&self, _: &Passage) {}

    fn ended(&self, _: &Passage) {}

    fn opened(&self, _: &str) {}
}

/// A turn on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Its session.
    pub session: SessionKey,
    /// Which.
    pub turn: TurnId,
    /// Where its answer goes.
    pub destination: Destination,
}

/// What a delivery says: the `content` of [`crate::store::NewDelivery`], as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Where it goes: the address of its [`Destination`], as the channel's driver wrote it.
    #[serde(with = "base64")]
    pub address: bytes::Bytes,
    /// What it says.
    pub content: LetterContent,
}

/// What a delivery says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LetterContent {
    /// CommonMark: an answer, whole or, in a draft, so far.
    Markdown {
        /// The text. Empty where there is nothing to say after all: then nothing is sent.
        text: String,
    },
    /// A file of the session.
    File {
        /// Which.
        file: crate::store::FileRef,
    },
    /// An emoji on a message.
    Reaction {
        /// The platform's id of the message.
        message: String,
        /// The emoji.
        emoji: String,
    },
}

impl Letter {
    /// As the store keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> bytes::Bytes {
        // A tree of texts always has a JSON form.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// From what the store keeps.
    ///
    /// # Errors
    /// It is none: another version wrote it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

mod base64 {
    use bytes::Bytes;
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        BASE64.decode(text.as_bytes()).map(Bytes::from).map_err(serde::de::Error::custom)
    }
}
