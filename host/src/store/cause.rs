//! Why a model is called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::PluginName;

/// What made a call of a model necessary. Its text is `message`, or `plugin:` and the plugin's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallCause {
    /// Someone's message.
    #[default]
    Message,
    /// The results of this plugin's tools, which the model is to read.
    Plugin(PluginName),
}

/// A text that is no cause.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no cause of a call: `message`, or `plugin:` and a plugin's name")]
pub struct CallCauseError(String);

const MESSAGE: &str = "message";
const PLUGIN: &str = "plugin:";

impl fmt::Display for CallCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message => f.write_str(MESSAGE),
            Self::Plugin(name) => write!(f, "{PLUGIN}{name}"),
        }
    }
}

impl FromStr for CallCause {
    type Err = CallCauseError;

    fn from_str(text: &str) -> Result<Self, CallCauseError> {
        let plugin = || text.strip_prefix(PLUGIN)?.parse().ok().map(Self::Plugin);
        let cause = if text == MESSAGE { Some(Self::Message) } else { plugin() };
        cause.ok_or_else(|| CallCauseError(text.chars().take(80).collect()))
    }
}

impl Serialize for CallCause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallCause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_reads_back_from_its_text_and_nothing_else_is_one() {
        for text in ["message", "plugin:calculator"] {
            assert_eq!(text.parse::<CallCause>().map(|cause| cause.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "plugin", "plugin:", "plugin:A name", "Message", "message "] {
            assert_eq!(text.parse::<CallCause>(), Err(CallCauseError(text.to_owned())));
        }
    }
}
