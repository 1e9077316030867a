//! The tools of all plugins, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::{LoadError, LoadProblem};
use super::plugin::Plugin;
use super::registry::Change;
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
        let tools = by_name(plugins.iter())?;
        Ok(Self { plugins: plugins.into(), tools: Arc::new(tools) })
    }

    /// What there is after these changes: a plugin takes the place of the one of its name, or comes
    /// last.
    ///
    /// # Errors
    /// Two plugins would have a tool of the same name. The error is about the one that is new.
    pub(super) fn after(&self, changes: &[Change]) -> Result<Self, LoadError> {
        let mut plugins = self.plugins.to_vec();
        for change in changes {
            match change {
                Change::Put(new) => match plugins.iter_mut().find(|plugin| plugin.name() == new.name()) {
                    Some(place) => place.clone_from(new),
                    None => plugins.push(Arc::clone(new)),
                },
                Change::Remove(name) => plugins.retain(|plugin| plugin.name() != name),
            }
        }
        let is_new = |plugin: &&Arc<Plugin>| {
            changes.iter().any(|change| matches!(change, Change::Put(new) if Arc::ptr_eq(new, plugin)))
        };
        let (new, old): (Vec<_>, Vec<_>) = plugins.iter().partition(is_new);
        let tools = by_name(old.into_iter().chain(new))?;
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

    /// The plugins, in the order of the config; those that came later, last.
    #[must_use]
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The plugin of this name.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.iter().find(|plugin| plugin.name().as_str() == name)
    }
}

/// Where two have one name, the later is at fault.
fn by_name<'a>(plugins: impl Iterator<Item = &'a Arc<Plugin>>) -> Result<BTreeMap<String, Tool>, LoadError> {
    let mut tools: BTreeMap<String, Tool> = BTreeMap::new();
    for tool in plugins.flat_map(Plugin::tools) {
        if let Some(first) = tools.get(tool.name()) {
            let problem = LoadProblem::Collision { tool: tool.name().to_owned(), other: first.plugin().clone() };
            return Err(LoadError { plugin: tool.plugin().clone(), problem: Box::new(problem) });
        }
        tools.insert(tool.name().to_owned(), tool);
    }
    Ok(tools)
}
