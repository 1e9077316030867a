//! An agent's tools from one moment to the next, while plugins come and go.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use tokio::sync::watch;

use super::tools::{AgentTools, UnknownTool};
use crate::config::AgentName;
use crate::runtime::{Consent, Objection, Proposal, SwapGuard, Toolbox};

/// What an agent may use, as it is now.
pub(super) struct Toolset {
    agent: AgentName,
    /// The agent's `tools`; absent for every loaded one.
    allowed: Option<Vec<String>>,
    /// Changed with the plugins, and not first when it is asked for: an agent that nobody talks to
    /// must not keep a plugin loaded that was replaced.
    now: watch::Sender<Arc<AgentTools>>,
}

impl Toolset {
    pub(super) fn new(agent: &AgentName, allowed: Option<Vec<String>>, toolbox: &Toolbox) -> Result<Self, UnknownTool> {
        let now = AgentTools::new(agent, toolbox, allowed.as_deref())?;
        Ok(Self { agent: agent.clone(), allowed, now: watch::Sender::new(Arc::new(now)) })
    }

    /// No tools at all.
    pub(super) fn empty(agent: &AgentName) -> Self {
        Self { agent: agent.clone(), allowed: Some(Vec::new()), now: watch::Sender::default() }
    }

    /// These tools, whatever plugins there are.
    #[cfg(test)]
    pub(super) fn set(&self, tools: Arc<AgentTools>) {
        self.now.send_replace(tools);
    }

    /// The tools at this moment.
    pub(super) fn now(&self) -> Arc<AgentTools> {
        Arc::clone(&self.now.borrow())
    }

    fn after(&self, toolbox: &Toolbox) -> Result<Arc<AgentTools>, Objection> {
        match AgentTools::new(&self.agent, toolbox, self.allowed.as_deref()) {
            Ok(tools) => Ok(Arc::new(tools)),
            Err(UnknownTool { agent, tool, .. }) => Err(Objection(format!(
                "agent `{agent}` names the tool `{tool}` in its `tools`, and no plugin would offer it; \
                 take the name out and restart the gateway, or keep the tool"
            ))),
        }
    }
}

/// Lets no tool go that an agent names, and hands the agents their new tools.
pub(super) struct NeededTools(Vec<Arc<Toolset>>);

impl NeededTools {
    pub(super) fn of(toolsets: Vec<Arc<Toolset>>) -> Self {
        Self(toolsets)
    }

    fn consent(&self, next: &Toolbox) -> Result<Consent, Objection> {
        let new = |toolset: &Arc<Toolset>| Ok((Arc::clone(toolset), toolset.after(next)?));
        let new: Vec<_> = self.0.iter().map(new).collect::<Result<_, Objection>>()?;
        Ok(Consent::with(move || {
            for (toolset, tools) in new {
                toolset.now.send_replace(tools);
            }
        }))
    }
}

impl SwapGuard for NeededTools {
    fn consider<'a>(&'a self, proposal: &'a Proposal) -> BoxFuture<'a, Result<Consent, Objection>> {
        future::ready(self.consent(&proposal.next)).boxed()
    }
}
