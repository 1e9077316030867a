//! The calls of one step: which run side by side, which alone, and what the model gets back.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::progress::CallProgress;
use crate::config::{AgentName, PluginName};
use crate::provider::ToolSpec;
use crate::runtime::{CallConditions, CallError, Progress, Tool, ToolCall, Toolbox};
use crate::store::{SessionKey, Timestamp, ToolContent, ToolResult, ToolUse, TurnId};

/// The most text of one result that a model is given, in bytes; the rest is cut and said to be.
const MAX_RESULT_BYTES: usize = 64 * 1024;

/// A tool, as far as turns are concerned with it.
pub(super) trait Callable: Send + Sync {
    /// `[a-zA-Z0-9_-]{1,64}`.
    fn name(&self) -> &str;

    /// The plugin that it is of; absent where it is of none.
    fn plugin(&self) -> Option<&PluginName> {
        None
    }

    /// For the model.
    fn description(&self) -> &str;

    /// JSON Schema of its arguments.
    fn input_schema(&self) -> &Arc<RawValue>;

    /// Whether a call changes nothing, so that it may run beside others.
    fn parallel(&self) -> bool;

    /// Whether a call may be made again when it is not known what became of it.
    fn repeatable(&self) -> bool;

    /// Calls it. Dropping the future ends the call.
    fn call<'a>(&'a self, call: ToolCall<'a>) -> BoxFuture<'a, Result<Vec<ToolContent>, CallError>>;
}

impl Callable for Tool {
    fn name(&self) -> &str {
        self.name()
    }

    fn plugin(&self) -> Option<&PluginName> {
        Some(self.plugin())
    }

    fn description(&self) -> &str {
        self.description()
    }

    fn input_schema(&self) -> &Arc<RawValue> {
        self.input_schema()
    }

    fn parallel(&self) -> bool {
        self.parallel()
    }

    fn repeatable(&self) -> bool {
        self.repeatable()
    }

    fn call<'a>(&'a self, call: ToolCall<'a>) -> BoxFuture<'a, Result<Vec<ToolContent>, CallError>> {
        self.call(call).boxed()
    }
}

/// The tools that an agent may use, as they are at one moment.
#[derive(Default)]
pub(super) struct AgentTools {
    tools: HashMap<String, Arc<dyn Callable>>,
    specs: Arc<[ToolSpec]>,
}

/// A name in an agent's `tools` that no plugin offers.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("agent `{agent}` names the tool `{tool}`, which no loaded plugin offers; there are: {known}")]
pub struct UnknownTool {
    pub(super) agent: AgentName,
    pub(super) tool: String,
    known: String,
}

impl AgentTools {
    /// Those of `toolbox` that `allowed` names; all, where it is absent.
    pub(super) fn new(agent: &AgentName, toolbox: &Toolbox, allowed: Option<&[String]>) -> Result<Self, UnknownTool> {
        let all: HashMap<_, _> = toolbox.iter().map(|tool| (tool.name().to_owned(), tool.clone())).collect();
        let unknown = allowed.unwrap_or_default().iter().find(|name| !all.contains_key(*name));
        if let Some(tool) = unknown {
            let mut known: Vec<_> = all.into_keys().collect();
            known.sort();
            return Err(UnknownTool { agent: agent.clone(), tool: tool.clone(), known: known.join(", ") });
        }
        let tools = all.into_iter().filter(|(name, _)| allowed.is_none_or(|allowed| allowed.contains(name)));
        Ok(Self::of(tools.map(|(_, tool)| Arc::new(tool) as Arc<dyn Callable>)))
    }

    /// These.
    pub(super) fn of(tools: impl IntoIterator<Item = Arc<dyn Callable>>) -> Self {
        let tools: HashMap<_, _> = tools.into_iter().map(|tool| (tool.name().to_owned(), tool)).collect();
        let mut specs: Vec<_> = tools.values().map(|tool| spec(&**tool)).collect();
        // Always in the same order, so that a provider's prompt cache holds.
        specs.sort_by(|one: &ToolSpec, two| one.name.cmp(&two.name));
        Self { tools, specs: specs.into() }
    }

    /// As the model is told of them.
    pub(super) fn specs(&self) -> Arc<[ToolSpec]> {
        Arc::clone(&self.specs)
    }

    /// Their names, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.specs.iter().map(|spec| spec.name.clone()).collect()
    }

    /// The plugin that offers a tool.
    pub(super) fn plugin(&self, tool: &str) -> Option<&PluginName> {
        self.tools.get(tool)?.plugin()
    }

    /// Splits calls into groups that run one after the other: calls whose tools may run side by
    /// side share a group with their neighbours, every other call has its own.
    pub(super) fn groups(&self, calls: &[ToolUse]) -> Vec<std::ops::Range<usize>> {
        let parallel = |call: &ToolUse| self.tools.get(&call.name).is_some_and(|tool| tool.parallel());
        let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            match groups.last_mut() {
                Some(last) if parallel(call) && calls.get(last.start).is_some_and(parallel) => last.end = index + 1,
                _ => groups.push(index..index + 1),
            }
        }
        groups
    }

    /// Whether a call may be made again when it is not known what became of it. One of a tool that
    /// is not there does nothing.
    pub(super) fn repeatable(&self, call: &ToolUse) -> bool {
        self.tools.get(&call.name).is_none_or(|tool| tool.repeatable())
    }

    /// Begins a call. The future is the call: dropping it ends it.
    pub(super) fn run(&self, call: &ToolUse, caller: Caller) -> impl Future<Output = ToolResult> + Send + 'static {
        let tool = self.tools.get(&call.name).cloned();
        let (id, name, arguments) = (call.id.clone(), call.name.clone(), Arc::clone(&call.input));
        async move {
            let Some(tool) = tool else {
                return failed(id, format!("There is no tool `{name}`."));
            };
            let progress: Arc<dyn Progress> = Arc::new(caller.progress);
            let call = ToolCall {
                agent: caller.agent.as_str(),
                session: &caller.session,
                call: &caller.call,
                now: caller.now,
                arguments: &arguments,
                progress: Some(&progress),
                conditions: CallConditions::Live,
            };
            match tool.call(call).await {
                Ok(content) => ToolResult { tool_use_id: id, content: bounded(content), is_error: false },
                Err(error) => failed(id, error.to_string()),
            }
        }
    }
}

fn spec(tool: &dyn Callable) -> ToolSpec {
    ToolSpec {
        name: tool.name().to_owned(),
        description: tool.description().to_owned(),
        input_schema: Arc::clone(tool.input_schema()),
    }
}

/// On whose behalf a tool is called.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) agent: AgentName,
    pub(super) session: SessionKey,
    /// Stays the same when the call is run again after a crash.
    pub(super) call: String,
    pub(super) now: Timestamp,
    /// Where it says how far it is.
    pub(super) progress: CallProgress,
}

impl Caller {
    pub(super) fn new(
        agent: &AgentName,
        session: &SessionKey,
        turn: TurnId,
        index: usize,
        now: Timestamp,
        progress: CallProgress,
    ) -> Self {
        Self { agent: agent.clone(), session: session.clone(), call: format!("{turn}-{index}"), now, progress }
    }
}

/// Calls that run side by side, on all worker threads. Dropping this ends them all.
#[derive(Default)]
pub(super) struct SideBySide {
    running: JoinSet<(usize, ToolResult)>,
}

impl SideBySide {
    /// Begins a call.
    pub(super) fn add(&mut self, index: usize, call: impl Future<Output = ToolResult> + Send + 'static) {
        self.running.spawn(async move { (index, call.await) }.in_current_span());
    }

    /// The next call that ends. One that panicked has no result; the caller fills it in.
    pub(super) async fn next(&mut self) -> Option<(usize, ToolResult)> {
        loop {
            if let Ok(done) = self.running.join_next().await? {
                return Some(done);
            }
        }
    }
}

/// A result that tells the model what went wrong.
pub(super) fn failed(tool_use_id: String, message: impl Into<String>) -> ToolResult {
    let mut content = vec![ToolContent::text(message)];
    content = bounded(content);
    ToolResult { tool_use_id, content, is_error: true }
}

/// Cuts texts that would fill a model's context.
fn bounded(mut content: Vec<ToolContent>) -> Vec<ToolContent> {
    let mut left = MAX_RESULT_BYTES;
    for piece in &mut content {
        let (ToolContent::Text { text } | ToolContent::Json { json: text }) = &mut *piece else { continue };
        if text.len() <= left {
            left -= text.len();
            continue;
        }
        let cut = text.len() - left;
        let mut shown = text[..text.floor_char_boundary(left)].to_owned();
        shown.push_str(&format!("\n[{cut} more bytes were cut]"));
        // What is left of a JSON document is none.
        *piece = ToolContent::Text { text: shown };
        left = 0;
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_is_cut_at_a_character_and_says_so() {
        let content = vec![ToolContent::text("é".repeat(MAX_RESULT_BYTES)), ToolContent::text("more")];
        let [ToolContent::Text { text }, ToolContent::Text { text: second }] = &bounded(content)[..] else {
            panic!("two texts")
        };
        assert!(text.ends_with(&format!("[{MAX_RESULT_BYTES} more bytes were cut]")));
        assert_eq!(second, "\n[4 more bytes were cut]");
    }
}
