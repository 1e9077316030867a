//! A whole request, as the provider will count it: each text, and what stands around it.
//!
//! What is left out here is what `provider` leaves out when it writes the request, so that nothing is counted that is
//! not sent.

use std::borrow::Cow;

use super::family::{Family, Framing};
use super::tally::{Tally, joined};
use crate::provider::Request;
use crate::store::{Block, Message, Role, ToolContent, ToolResult};

/// Around a message of a chat, and what its role takes; and the beginning of the answer. The cookbook ("How to count
/// tokens with tiktoken", section 6), for GPT-3.5, GPT-4 and GPT-4o.
const CHAT_MESSAGE: u64 = 3 + 1;
const CHAT_REPLY: u64 = 3;

/// Behind all functions, by the cookbook's section 7.
const FUNCTIONS: u64 = 12;

/// A call in a chat's history besides its name and arguments, and what several in one message take more. Neither is
/// documented; by what people were billed.
const CHAT_CALL: u64 = 4;
const CHAT_CALLS: u64 = 24;

/// Around a message to Claude, its role included, and around a request. Not documented; the examples of its reference
/// count 12 for "Hello, Claude", which is three words.
const CLAUDE_MESSAGE: u64 = 4;
const CLAUDE_REQUEST: u64 = 4;

/// A call or a result in Claude's history besides its texts: its id, its name's and its arguments' marks.
const CLAUDE_CALL: u64 = 24;
const CLAUDE_RESULT: u64 = 20;

/// What stands in a chat's `tool` message for an image, which follows in one of its own.
const IMAGE_FOLLOWS: &str = "[an image, which follows]";
/// What stands before the result of a call that failed.
const FAILED: &str = "The call failed: ";
const IMAGES: &str = "The images that the tools returned, in order:";

/// Counts all of a request.
pub(super) fn count(request: &Request, family: Family, tally: &mut Tally<'_>) {
    match family.framing {
        Framing::Cookbook { .. } | Framing::Chat => chat(request, family, tally),
        Framing::Claude { tool_prompt } => claude(request, family, tool_prompt, tally),
    }
}

fn chat(request: &Request, family: Family, tally: &mut Tally<'_>) {
    tally.add(CHAT_REPLY);
    if let Some(system) = request.system.as_deref().filter(|system| !is_blank(system)) {
        tally.add(CHAT_MESSAGE);
        tally.text(system);
    }
    for message in &request.messages {
        match message.role {
            Role::User => chat_user(message, family, tally),
            Role::Assistant => chat_assistant(message, tally),
        }
    }
    if !request.tools.is_empty() {
        // How they are rendered is not documented.
        tally.is_exact = false;
        tally.add(FUNCTIONS);
        for tool in request.tools.iter() {
            match family.framing {
                Framing::Cookbook { function } => tally.function(tool, function),
                _ => tally.tool(tool),
            }
        }
    }
}

fn chat_user(message: &Message, family: Family, tally: &mut Tally<'_>) {
    let mut images = 0_u64;
    for result in results(message) {
        tally.is_exact = false;
        tally.add(CHAT_MESSAGE);
        let pieces = result.content.iter().map(|content| match content {
            ToolContent::Media { mime_type, data } if is_image(mime_type) => {
                images += family.picture.tokens(data);
                Cow::Borrowed(IMAGE_FOLLOWS)
            }
            other => content_text(other),
        });
        if let Some(text) = joined(pieces) {
            tally.text(&text);
        }
        if result.is_error {
            tally.text(FAILED);
        }
    }
    if images > 0 {
        tally.add(CHAT_MESSAGE);
        tally.text(IMAGES);
        tally.add_fixed(images);
    }
    let text = joined(texts(message).map(Cow::Borrowed));
    let mut shown = message.blocks.iter().filter_map(image).peekable();
    if text.is_some() || shown.peek().is_some() {
        tally.add(CHAT_MESSAGE);
    }
    if let Some(text) = text {
        tally.text(&text);
    }
    shown.for_each(|(_, data)| tally.add_fixed(family.picture.tokens(data)));
}

fn chat_assistant(message: &Message, tally: &mut Tally<'_>) {
    let text = joined(texts(message).map(Cow::Borrowed));
    let mut calls = 0_u64;
    for block in &message.blocks {
        if let Block::ToolUse(call) = block {
            calls += 1;
            tally.add(CHAT_CALL);
            tally.text(&call.name);
            tally.text(call.input.get());
        }
    }
    if calls > 0 {
        tally.is_exact = false;
        tally.add(if calls > 1 { CHAT_CALLS } else { 0 });
    }
    if text.is_some() || calls > 0 {
        tally.add(CHAT_MESSAGE);
    }
    if let Some(text) = text {
        tally.text(&text);
    }
}

fn claude(request: &Request, family: Family, tool_prompt: u64, tally: &mut Tally<'_>) {
    tally.add(CLAUDE_REQUEST);
    if let Some(system) = request.system.as_deref().filter(|system| !is_blank(system)) {
        tally.text(system);
    }
    for message in &request.messages {
        tally.add(CLAUDE_MESSAGE);
        for block in &message.blocks {
            claude_block(block, family, tally);
        }
    }
    if !request.tools.is_empty() {
        tally.add_fixed(tool_prompt);
        for tool in request.tools.iter() {
            tally.tool(tool);
        }
    }
}

fn claude_block(block: &Block, family: Family, tally: &mut Tally<'_>) {
    match block {
        Block::Text { text } if is_blank(text) => {}
        Block::Text { text } => tally.text(text),
        // What is shown may be a summary. The signature holds all of it, encrypted, and all of it is counted.
        Block::Thinking { text, signature: Some(signature) } => match sealed(signature) > (text.len() as u64) / 3 {
            true => tally.add(sealed(signature)),
            false => tally.text(text),
        },
        // Without its proof it is not sent; a file is sent as what it became.
        Block::Thinking { signature: None, .. } | Block::Attachment(_) => {}
        Block::RedactedThinking { data } => tally.add(sealed(data)),
        Block::ToolUse(call) => {
            tally.add(CLAUDE_CALL);
            tally.text(&call.name);
            tally.text(call.input.get());
        }
        Block::ToolResult(result) => {
            tally.add(CLAUDE_RESULT);
            for content in &result.content {
                match content {
                    ToolContent::Media { mime_type, data } if is_image(mime_type) => {
                        tally.add_fixed(family.picture.tokens(data));
                    }
                    other => tally.text(&content_text(other)),
                }
            }
        }
        Block::Image { mime_type, data } if is_image(mime_type) => tally.add_fixed(family.picture.tokens(data)),
        Block::Image { mime_type, .. } => tally.text(&not_shown(mime_type)),
    }
}

/// Tokens of encrypted reasoning: three bytes of four characters, four of which are a token of text.
fn sealed(data: &str) -> u64 {
    data.len() as u64 * 3 / 16
}

fn results(message: &Message) -> impl Iterator<Item = &ToolResult> {
    message.blocks.iter().filter_map(|block| match block {
        Block::ToolResult(result) => Some(result),
        _ => None,
    })
}

fn texts(message: &Message) -> impl Iterator<Item = &str> {
    message.blocks.iter().filter_map(|block| match block {
        Block::Text { text } if !is_blank(text) => Some(text.as_str()),
        _ => None,
    })
}

fn image(block: &Block) -> Option<(&str, &str)> {
    match block {
        Block::Image { mime_type, data } => Some((mime_type, data)),
        _ => None,
    }
}

fn content_text(content: &ToolContent) -> Cow<'_, str> {
    match content {
        ToolContent::Text { text } | ToolContent::Json { json: text } => Cow::Borrowed(text),
        ToolContent::Media { mime_type, .. } => Cow::Owned(not_shown(mime_type)),
        ToolContent::File(file) => Cow::Owned(file.to_string()),
    }
}

fn not_shown(mime_type: &str) -> String {
    format!("[{mime_type}, which cannot be shown here]")
}

fn is_image(mime_type: &str) -> bool {
    mime_type.starts_with("image/")
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
