//! The agents that the owner configured, ready to answer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::dispatch::Parts;
use super::tools::UnknownTool;
use super::toolset::{NeededTools, Toolset};
use crate::config::{AgentConfig, AgentName};
use crate::provider::{ModelRef, Models};

/// What an agent is told it is, where the owner says nothing.
const DEFAULT_SYSTEM: &str = "You are a personal assistant, reached through exoclaw. Answer plainly and briefly. \
    Use a tool when it gives a better answer than you can give without it; never invent a tool's result.";

/// The largest soul file, in bytes.
const MAX_SOUL_BYTES: u64 = 256 * 1024;

/// An agent.
pub(super) struct Agent {
    pub(super) name: AgentName,
    pub(super) config: AgentConfig,
    pub(super) system: Option<Arc<str>>,
    pub(super) models: Result<Models, NoModel>,
    pub(super) tools: Arc<Toolset>,
}

/// Why an agent cannot answer: what to set so that it can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("agent `{agent}` has no model: {reason}")]
pub struct NoModel {
    /// The agent.
    pub agent: AgentName,
    /// What is missing, and how to supply it.
    pub reason: String,
}

/// Why the agents cannot be what the config says.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool that is not there.
    #[error(transparent)]
    Tool(#[from] UnknownTool),
    /// Bindings that disagree.
    #[error(transparent)]
    Bindings(#[from] super::Contradiction),
    /// Prices that cannot be read.
    #[error(transparent)]
    Prices(#[from] crate::metering::PriceTableError),
    /// A soul file that cannot be read.
    #[error("the soul file of agent `{agent}`, {}, {reason}", path.display())]
    Soul {
        /// The agent.
        agent: AgentName,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// An agent, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct AgentInfo {
    /// Its name.
    pub name: String,
    /// The models that it asks, `PROVIDER/MODEL`, the first first.
    pub models: Vec<String>,
    /// The tools that it may use.
    pub tools: Vec<String>,
    /// Why it cannot answer, where it cannot.
    pub problem: Option<String>,
}

impl Agent {
    fn new(name: &AgentName, config: &AgentConfig, parts: &Parts<'_>) -> Result<Self, BuildError> {
        let models = parts
            .providers
            .resolve(&config.models)
            .map(|models| Models::new(&models, Arc::clone(&parts.jitter)))
            .map_err(|error| NoModel { agent: name.clone(), reason: error.to_string() });
        Ok(Self {
            name: name.clone(),
            config: config.clone(),
            system: Some(system(name, config)?),
            models,
            tools: Arc::new(Toolset::new(name, config.tools.clone(), &parts.tools.snapshot())?),
        })
    }

    /// One that the config does not have any more: it stands for turns that it left open, which end
    /// with an error that says so.
    pub(super) fn gone(name: &str) -> Arc<Self> {
        let name = name.parse().unwrap_or_else(|_| AgentName::default_agent());
        let reason = "the config has no such agent any more; its turns are not run".to_owned();
        Arc::new(Self {
            config: AgentConfig::default(),
            system: None,
            models: Err(NoModel { agent: name.clone(), reason }),
            tools: Arc::new(Toolset::empty(&name)),
            name,
        })
    }

    /// Whether it can answer at all.
    pub(super) fn ready(&self) -> Result<(), NoModel> {
        self.models.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    pub(super) fn info(&self) -> AgentInfo {
        let model = |model: &ModelRef| format!("{}/{}", model.provider.name(), model.model);
        AgentInfo {
            name: self.name.to_string(),
            models: self.models.iter().flat_map(Models::models).map(model).collect(),
            tools: self.tools.now().names(),
            problem: self.ready().err().map(|problem| problem.to_string()),
        }
    }
}

/// All agents of a config. From now on they have a word in what plugins there are.
pub(super) fn build(parts: &Parts<'_>) -> Result<BTreeMap<AgentName, Arc<Agent>>, BuildError> {
    let agent = |(name, config)| Ok((AgentName::clone(name), Arc::new(Agent::new(name, config, parts)?)));
    let agents: BTreeMap<_, Arc<Agent>> = parts.config.agents.iter().map(agent).collect::<Result<_, BuildError>>()?;
    let toolsets = agents.values().map(|agent| Arc::clone(&agent.tools)).collect();
    parts.tools.attach(Arc::new(NeededTools::of(toolsets)));
    Ok(agents)
}

/// The system prompt: said in the config, or read from the soul file, or the usual one.
fn system(agent: &AgentName, config: &AgentConfig) -> Result<Arc<str>, BuildError> {
    let Some(path) = &config.soul else {
        return Ok(config.system.as_deref().unwrap_or(DEFAULT_SYSTEM).into());
    };
    let bad = |reason: String| BuildError::Soul { agent: agent.clone(), path: path.clone(), reason };
    let size = std::fs::metadata(path).map_err(|error| bad(format!("cannot be read: {error}")))?.len();
    if size > MAX_SOUL_BYTES {
        return Err(bad(format!("has {size} bytes; at most {MAX_SOUL_BYTES} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    match text.trim() {
        "" => Err(bad("is empty".to_owned())),
        text => Ok(text.into()),
    }
}
