//! What there is: `agent.list`, `plugin.list`, `plugin.inspect`, and `plugin.reload`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::answer::Answer;
use super::super::error::RpcError;
use super::super::params::Limit;
use super::super::table::Method;
use crate::agent::AgentInfo;
use crate::gateway::{ReloadError, ReloadReport, Shared};
use crate::store::ErrorCode;

pub(super) fn methods() -> [Method; 4] {
    [
        Method::new("agent.list", "A page of the agents, by name.", &[], agents),
        Method::new("plugin.list", "A page of the loaded plugins, by name.", &[], plugins),
        Method::new(
            "plugin.inspect",
            "One plugin: its imports, exports, tools, size and digest.",
            &[ErrorCode::NotFound],
            inspect,
        ),
        Method::new(
            "plugin.reload",
            "Loads a plugin anew and lets it take the old one's place. What cannot be loaded changes nothing.",
            &[ErrorCode::NotFound, ErrorCode::Busy],
            reload,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// A cursor from `next`; the beginning where left out.
    after: Option<String>,
    /// Items at most.
    #[serde(default)]
    limit: Limit,
}

impl List {
    /// The part of a list that is asked for, and the cursor of the next.
    pub(super) fn page<T>(self, mut items: Vec<T>, name: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
        items.sort_by(|one, other| name(one).cmp(name(other)));
        if let Some(after) = &self.after {
            items.retain(|item| name(item) > after.as_str());
        }
        let more = items.len() > self.limit.get();
        items.truncate(self.limit.get());
        let next = items.last().filter(|_| more).map(|item| name(item).to_owned());
        (items, next)
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct AgentPage {
    /// The agents.
    agents: Vec<AgentInfo>,
    /// The cursor of the next page; null where there is none.
    next: Option<String>,
}

async fn agents(shared: Arc<Shared>, params: List) -> Result<Answer<AgentPage>, RpcError> {
    let (agents, next) = params.page(shared.state.dispatcher.agents(), |agent| &agent.name);
    Ok(Answer::of(AgentPage { agents, next }))
}

#[derive(Debug, Serialize, JsonSchema)]
struct PluginPage {
    /// The plugins.
    #[schemars(with = "Vec<Map<String, Value>>")]
    plugins: Vec<Value>,
    /// The cursor of the next page; null where there is none.
    next: Option<String>,
}

async fn plugins(shared: Arc<Shared>, params: List) -> Result<Answer<PluginPage>, RpcError> {
    let (plugins, next) = params.page(shared.state.plugins.list(), |plugin| plugin["name"].as_str().unwrap_or(""));
    Ok(Answer::of(PluginPage { plugins, next }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inspect {
    /// The plugin's name.
    name: String,
}

async fn inspect(shared: Arc<Shared>, params: Inspect) -> Result<Answer<Value>, RpcError> {
    let plugin = shared.state.plugins.inspect(&params.name).map(Answer::of);
    plugin.ok_or_else(|| ReloadError::Unknown(params.name).into())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reload {
    /// The plugin's name. Where it is left out, the config file is read again, and every plugin
    /// follows that differs from it.
    name: Option<String>,
}

async fn reload(shared: Arc<Shared>, params: Reload) -> Result<Answer<ReloadReport>, RpcError> {
    Ok(Answer::of(shared.state.plugins.reload(params.name).await?))
}

impl From<ReloadError> for RpcError {
    fn from(error: ReloadError) -> Self {
        let code = match error {
            ReloadError::Unknown(_) => ErrorCode::NotFound,
            ReloadError::Busy | ReloadError::Draining => ErrorCode::Busy,
        };
        Self::application(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_names_cover_a_list_without_gap_or_repeat() {
        let all: Vec<String> = ["d", "b", "a", "c", "e"].map(str::to_owned).into();
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let limit = serde_json::from_str("2").expect("a limit");
            let (items, next) = List { after, limit }.page(all.clone(), |name| name);
            seen.extend(items);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    }
}
