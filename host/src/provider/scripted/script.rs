//! The script: what the model says and calls, given a conversation.

use serde_json::Value;

use super::ask::{Skill, asks};
use super::conversation::{Block, Conversation, Role};

/// An answer: text, and calls of tools behind it.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) tool: String,
    pub(super) input: Value,
}

/// What is quoted of a text, in characters.
const QUOTE: usize = 200;

const CAN: &str = "Ask me for the time (\"what time is it in Tokyo?\"), for arithmetic (\"what is 2.5 * (3 + 4)?\") \
                   or for an echo (\"echo hello\"), and I call the tool that does it, in its sandbox.";

/// The answer to a conversation's newest message.
pub(super) fn answer(conversation: &Conversation) -> Answer {
    let last = conversation.messages.last();
    let question = last.map(super::conversation::Message::text).unwrap_or_default();
    if question.trim().is_empty() {
        return Answer { text: from_results(conversation), calls: Vec::new() };
    }
    let asked = asks(&question);
    if asked.is_empty() {
        return Answer { text: talk(conversation, &question), calls: Vec::new() };
    }
    let (mut calls, mut missing) = (Vec::new(), Vec::new());
    for ask in asked {
        match ask.skill.tool(&conversation.tools) {
            Some(tool) => calls.push(Call { tool: tool.to_owned(), input: ask.input }),
            None => missing.push(ask.skill),
        }
    }
    let mut text = "As a scripted model I know nothing by myself".to_owned();
    if !calls.is_empty() {
        let names: Vec<_> = calls.iter().map(|call| format!("`{}`", call.tool)).collect();
        text.push_str(&format!(", so I call {}.", names.join(" and ")));
    }
    for skill in missing {
        let what = match skill {
            Skill::Clock => "the time",
            Skill::Echo => "an echo",
            Skill::Calculator => "arithmetic",
        };
        text.push_str(&format!(", and for {what} I was offered no tool."));
    }
    Answer { text, calls }
}

/// Says what the tools said.
fn from_results(conversation: &Conversation) -> String {
    let calls = conversation.messages.iter().flat_map(|message| &message.blocks);
    let name_of = |wanted: &str| {
        let mut names = calls.clone().filter_map(|block| match block {
            Block::ToolUse { id, name, .. } if id == wanted => Some(name.as_str()),
            _ => None,
        });
        names.next().unwrap_or("the tool")
    };
    let mut text = String::new();
    for block in conversation.last() {
        let Block::ToolResult { tool_use_id, content, is_error } = block else { continue };
        let said = content.as_ref().map(|content| content.text()).unwrap_or_default();
        let verb = if is_error.unwrap_or(false) { "failed" } else { "answered" };
        text.push_str(&format!("`{}` {verb}: {}\n", name_of(tool_use_id), said.trim()));
    }
    text.push_str("\n(I am a scripted model, not a real one, but the tools are.)");
    text
}

/// Says what it is, what it can do, and what it was told.
fn talk(conversation: &Conversation, question: &str) -> String {
    let mut text = format!("I am a scripted model, not a real one. You said: “{}”.", quote(question));
    let before = conversation.messages.iter().rev().skip(1).filter(|message| message.role == Role::User);
    if let Some(before) = before.map(super::conversation::Message::text).find(|text| !text.trim().is_empty()) {
        text.push_str(&format!(" You said before: “{}”.", quote(&before)));
    }
    text.push_str("\n\n");
    text.push_str(CAN);
    text
}

fn quote(text: &str) -> String {
    let mut characters = text.trim().chars();
    let mut quote: String = characters.by_ref().take(QUOTE).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if characters.next().is_some() {
        quote.push('…');
    }
    quote
}
