//! Why a model is asked: for a message, or because of what a plugin returned.

use std::collections::HashMap;
use std::sync::Arc;

use crate::agent::tools::AgentTools;
use crate::config::PluginName;
use crate::store::{Block, CallCause, Message, ToolContent, ToolResult};

/// Why a model is asked with these messages. Where it is to read results, it is the plugin whose tools made them; of
/// several, the one that returned most.
pub(super) fn cause(messages: &[Arc<Message>], tools: &AgentTools) -> CallCause {
    let [.., asked, answered] = messages else { return CallCause::Message };
    let names: HashMap<&str, &str> = asked.blocks.iter().filter_map(called).collect();
    let mut returned: HashMap<&PluginName, usize> = HashMap::new();
    for result in answered.blocks.iter().filter_map(result) {
        let plugin = names.get(result.tool_use_id.as_str()).and_then(|name| tools.plugin(name));
        if let Some(plugin) = plugin {
            // A result may be empty, and still is one.
            *returned.entry(plugin).or_default() += 1 + result.content.iter().map(size).sum::<usize>();
        }
    }
    // By name where it is a draw, so that the same turn has the same cause again.
    let most = returned.into_iter().max_by(|(one, size), (other, most)| size.cmp(most).then_with(|| other.cmp(one)));
    most.map_or(CallCause::Message, |(plugin, _)| CallCause::Plugin(plugin.clone()))
}

fn called(block: &Block) -> Option<(&str, &str)> {
    match block {
        Block::ToolUse(call) => Some((&call.id, &call.name)),
        _ => None,
    }
}

fn result(block: &Block) -> Option<&ToolResult> {
    match block {
        Block::ToolResult(result) => Some(result),
        _ => None,
    }
}

fn size(content: &ToolContent) -> usize {
    match content {
        ToolContent::Text { text } => text.len(),
        ToolContent::Json { json } => json.len(),
        ToolContent::File(_) => 0,
        ToolContent::Media { data, .. } => data.len(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use serde_json::value::RawValue;

    use super::*;
    use crate::agent::tools::Callable;
    use crate::runtime::{CallError, ToolCall};
    use crate::store::{Role, ToolUse};

    struct Offered(&'static str, PluginName, Arc<RawValue>);

    impl Callable for Offered {
        fn name(&self) -> &str {
            self.0
        }

        fn plugin(&self) -> Option<&PluginName> {
            Some(&self.1)
        }

        fn description(&self) -> &str {
            ""
        }

        fn input_schema(&self) -> &Arc<RawValue> {
            &self.2
        }

        fn parallel(&self) -> bool {
            false
        }

        fn repeatable(&self) -> bool {
            false
        }

        fn call<'a>(&'a self, _: ToolCall<'a>) -> BoxFuture<'a, Result<Vec<ToolContent>, CallError>> {
            async { Ok(Vec::new()) }.boxed()
        }
    }

    fn raw() -> Arc<RawValue> {
        serde_json::value::to_raw_value(&serde_json::json!({})).unwrap().into()
    }

    fn tools() -> AgentTools {
        let offered =
            |(tool, plugin): (_, &str)| Arc::new(Offered(tool, plugin.parse().unwrap(), raw())) as Arc<dyn Callable>;
        AgentTools::of([("now", "clock"), ("add", "maths"), ("multiply", "maths")].map(offered))
    }

    fn step(results: &[(&str, &str)]) -> Vec<Arc<Message>> {
        let mut asked = Message { role: Role::Assistant, blocks: Vec::new() };
        let mut answered = Message { role: Role::User, blocks: Vec::new() };
        for (index, (tool, text)) in results.iter().enumerate() {
            let id = format!("call-{index}");
            asked.blocks.push(Block::ToolUse(ToolUse { id: id.clone(), name: (*tool).to_owned(), input: raw() }));
            let content = vec![ToolContent::Text { text: (*text).to_owned() }];
            answered.blocks.push(Block::ToolResult(ToolResult { tool_use_id: id, content, is_error: false }));
        }
        vec![Arc::new(Message::text(Role::User, "Go".to_owned())), Arc::new(asked), Arc::new(answered)]
    }

    #[test]
    fn a_step_is_caused_by_the_plugin_that_returned_most() {
        let name = |results: &[(&str, &str)]| cause(&step(results), &tools()).to_string();
        assert_eq!(name(&[("now", "ten past ten"), ("add", "4"), ("multiply", "16")]), "plugin:clock");
        assert_eq!(name(&[("now", "ten"), ("add", "4000"), ("multiply", "16")]), "plugin:maths");
        assert_eq!(name(&[("gone", "a long result of nobody")]), "message");
        assert_eq!(cause(&step(&[])[..1], &tools()), CallCause::Message);
    }
}
