//! What must hold between values that are each right by themselves.

use super::model::{AgentName, Config};
use super::problem::Problem;
use super::reader::{Path, Reader};
use super::suggest;

/// Tells what does not fit together. Only for a file whose syntax is whole: what a broken line
/// would have defined is not missing.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    agents(config, reader);
    sizes(config, reader);
}

fn agents(config: &Config, reader: &mut Reader<'_>) {
    for (name, agent) in &config.agents {
        let path = match name == &AgentName::default_agent() {
            true => Path::default().key("agent"),
            false => Path::default().key("agents").key(name.as_str()),
        };
        for (index, model) in agent.models.iter().enumerate() {
            let Some(span) = reader.mark(&path.clone().key("models").index(index)) else { continue };
            if !config.providers.contains_key(&model.provider) {
                let what = "no provider has the name before the `/`";
                let near = suggest::nearest(&model.provider, config.providers.keys().map(String::as_str));
                reader.problem(Problem::new(span, what).help(match near {
                    Some(near) => format!("did you mean \"{near}/…\"?"),
                    None => "name it in [providers.NAME]".to_owned(),
                }));
            }
        }
        // What an agent inherits is told where it is written.
        let span = ["thinking_tokens", "max_tokens"].iter().find_map(|key| reader.mark(&path.clone().key(key)));
        if let Some(span) = span.filter(|_| agent.thinking_tokens >= agent.max_tokens) {
            let (thinking, all) = (agent.thinking_tokens, agent.max_tokens);
            let what =
                format!("thinking_tokens ({thinking}) must be less than max_tokens ({all}), of which they are a part");
            reader.problem(Problem::new(span, what));
        }
    }
}

fn sizes(config: &Config, reader: &mut Reader<'_>) {
    let limits = Path::default().key("limits");
    let content = [limits.clone().key("content"), Path::default().key("gateway").key("max_message")];
    if config.limits.content > config.gateway.max_message
        && let Some(span) = content.iter().find_map(|path| reader.mark(path))
    {
        let (content, most) = (config.limits.content, config.gateway.max_message);
        let what = format!("[limits] content ({content}) does not fit into [gateway] max_message ({most})");
        reader.problem(Problem::new(span, what));
    }
    let queued = [limits.clone().key("queued"), limits.key("queued_total")];
    if config.limits.queued > config.limits.queued_total
        && let Some(span) = queued.iter().find_map(|path| reader.mark(path))
    {
        let (queued, total) = (config.limits.queued, config.limits.queued_total);
        reader.problem(Problem::new(span, format!("queued ({queued}) exceeds queued_total ({total})")));
    }
}
