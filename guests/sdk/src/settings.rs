//! What the owner sets in the config file, under `settings` of the plugin.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, invalid};

/// A plugin's settings.
pub trait Settings: DeserializeOwned {
    /// Their JSON Schema (2020-12, `type: object`); the host checks them against it at load.
    const SCHEMA: &'static str;
}

/// For plugins that can't be set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl Settings for NoSettings {
    const SCHEMA: &'static str = r#"{"type":"object","additionalProperties":false}"#;
}

pub(crate) fn read<S: Settings>(json: &str) -> Result<S, Error> {
    serde_json::from_str(json).map_err(|error| invalid(format_args!("the settings: {error}")))
}
