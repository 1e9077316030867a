//! What is kept of a delivery besides its content: the plugin's progress, and what the host has to
//! know to go on with it. Together they are the `progress` of the store.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::store::{Delivery, Timestamp};

/// How far a delivery is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Course {
    /// The plugin's own account, which is handed back to it.
    #[serde(with = "base64", skip_serializing_if = "Bytes::is_empty")]
    pub(super) plugin: Bytes,
    /// What was about to leave when this was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<Asked>,
    /// How often something of it was sent of which nobody knows whether it arrived.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) doubts: u32,
    /// Steps of it in all.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) steps: u32,
    /// When it was tried first, or first again after its owner said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// Its owner wants to hear no more of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) dropped: bool,
}

/// What was about to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    /// A request, which may have been sent.
    Request(Said),
    /// A request that had to wait and was not sent.
    Unsent(Said),
    /// A frame, which may have been sent. No plugin is asked what became of it.
    Frame {
        /// The plugin's account before it.
        #[serde(with = "base64")]
        before: Bytes,
    },
}

/// Of which content a step was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// Of the text so far.
    Draft,
    /// Of what it says at last.
    Whole,
}

impl Course {
    /// What is kept of a delivery.
    ///
    /// # Errors
    /// Something else is: another version wrote it.
    pub(super) fn of(delivery: &Delivery) -> Result<Self, serde_json::Error> {
        delivery.progress.as_deref().map_or_else(|| Ok(Self::default()), serde_json::from_slice)
    }

    /// As the store keeps it.
    pub(super) fn to_bytes(&self) -> Option<Bytes> {
        // A tree of texts and numbers always has a JSON form.
        serde_json::to_vec(self).ok().map(Bytes::from)
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_reads_back_as_it_was_written() -> Result<(), serde_json::Error> {
        let plugin = Bytes::from_static(b"\0\xff{}");
        for asked in [
            None,
            Some(Asked::Request(Said::Draft)),
            Some(Asked::Unsent(Said::Whole)),
            Some(Asked::Frame { before: plugin.clone() }),
        ] {
            let since = Some(Timestamp(7));
            let course = Course { plugin: plugin.clone(), asked, doubts: 1, steps: 9, since, dropped: true };
            let bytes = course.to_bytes().expect("JSON");
            assert_eq!(serde_json::from_slice::<Course>(&bytes)?, course);
        }
        assert_eq!(Course::default().to_bytes().as_deref(), Some(&b"{}"[..]));
        Ok(())
    }
}
