//! The tools of all plugins, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::{LoadError, LoadProblem};
use super::plugin::Plugin;
use super::tool::Tool;

/// Every tool that is loaded. Cheap to clone; the tools of its clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Toolbox {
    plugins: Arc<[Arc<Plugin>]>,
    tools: Arc<BTreeMap<String, Tool>>,
}

impl Toolbox {
    /// Puts the tools of these plugins together.
    ///
    /// # Errors
    /// Two plugins have a tool of the same name.
    pub fn new(plugins: Vec<Arc<Plugin>>) -> Result<Self, LoadError> {
        let mut tools: BTreeMap<String, Tool> = BTreeMap::new();
        for tool in plugins.iter().flat_map(Plugin::tools) {
            if let Some(first) = tools.get(tool.name()) {
                let problem = LoadProblem::Collision { tool: tool.name().to_owned(), other: first.plugin().clone() };
                return Err(LoadError { plugin: tool.plugin().clone(), problem: Box::new(problem) });
            }
            tools.insert(tool.name().to_owned(), tool);
        }
        Ok(Self { plugins: plugins.into(), tools: Arc::new(tools) })
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }

    /// Every tool, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.tools.values()
    }

    /// The plugins, in the order of the config.
    #[must_use]
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }
}
