//! A plugin as `plugin.inspect` describes it, read back: from a file looked at here, or from a
//! gateway, which may be older or newer and say less or more.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::runtime::PluginInfo;

/// What is known of a plugin; what is not known is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as in `PluginInfo`, whose JSON this is")]
pub struct PluginView {
    pub name: String,
    pub kind: String,
    pub source: String,
    pub size: u64,
    pub sha256: String,
    pub imports: Vec<ImportView>,
    pub hosts: Vec<String>,
    pub secrets: Vec<String>,
    pub lacks: Vec<LackView>,
    pub exports: Vec<String>,
    pub tools: Vec<ToolView>,
    pub settings_schema: Value,
    pub channel: Option<ChannelView>,
    pub limits: LimitsView,
    pub calls: u64,
    pub failures: u64,
    pub quarantine: Option<QuarantineView>,
}

/// Why a gateway does not call it now.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as in `plugin.inspect`")]
pub struct QuarantineView {
    pub reason: String,
}

/// An import.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as in `ImportInfo`")]
pub struct ImportView {
    pub name: String,
    pub inert: bool,
    pub means: String,
}

/// A grant that it lacks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as in `LackInfo`")]
pub struct LackView {
    pub what: String,
    pub line: String,
    pub needed: bool,
}

/// A tool.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as in `ToolInfo`")]
pub struct ToolView {
    pub name: String,
    pub title: Option<String>,
    pub description: String,
    pub input_schema: Value,
    pub output_schema: Option<Value>,
    pub hints: HintsView,
}

/// What it says that a tool does.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as in `HintsInfo`")]
pub struct HintsView {
    pub read_only: bool,
    pub additive: bool,
    pub idempotent: bool,
    pub closed_world: bool,
    pub believed: bool,
}

impl HintsView {
    /// Each hint, with what it says.
    #[must_use]
    pub fn words(&self) -> [(bool, &'static str); 4] {
        [
            (self.read_only, "changes nothing"),
            (self.additive, "destroys nothing"),
            (self.idempotent, "done twice is done once"),
            (self.closed_world, "reaches nothing outside"),
        ]
    }
}

/// A channel.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as in `ChannelInfo`")]
pub struct ChannelView {
    pub platform: String,
    pub webhook: Value,
    pub features: Value,
}

/// What one call may take.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as in `LimitsInfo`")]
pub struct LimitsView {
    #[serde(deserialize_with = "shown")]
    pub memory: String,
    pub time_ms: u64,
    pub cpu_ms: u64,
    #[serde(deserialize_with = "shown")]
    pub result: String,
    pub concurrency: u64,
}

/// A text, or anything else as its JSON.
fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        value => value.to_string(),
    })
}

impl PluginView {
    /// A plugin that was loaded here.
    ///
    /// # Errors
    /// None is known: it is our own JSON.
    pub fn of(info: &PluginInfo) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&serde_json::to_string(info)?)
    }

    /// What it could do, once granted, each in plain words and once, with the imports that say so.
    #[must_use]
    pub fn powers(&self) -> Vec<(&str, Vec<&str>)> {
        let mut powers: Vec<(&str, Vec<&str>)> = Vec::new();
        for import in self.imports.iter().filter(|import| !import.inert) {
            match powers.iter_mut().find(|(means, _)| *means == import.means) {
                Some((_, names)) => names.push(&import.name),
                None => powers.push((&import.means, vec![&import.name])),
            }
        }
        powers
    }

    /// Imports that reach nothing.
    pub fn inert(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().filter(|import| import.inert).map(|import| import.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_gateways_answer_is_read_as_far_as_it_goes() {
        let json = r#"{"name": "x", "new": 1, "imports": [{"name": "a:b/c@1.0.0", "means": "do it"},
            {"name": "a:b/d@1.0.0", "means": "do it"}, {"name": "w", "inert": true}], "limits": {"memory": 5}}"#;
        let view: PluginView = serde_json::from_str(json).unwrap();
        assert_eq!(view.powers(), [("do it", vec!["a:b/c@1.0.0", "a:b/d@1.0.0"])]);
        assert_eq!(view.inert().collect::<Vec<_>>(), ["w"]);
        assert_eq!(view.limits.memory, "5");
    }
}
