//! How many tokens a text will be, roughly, by its length alone.

use crate::store::{Block, Message, ToolContent};

/// What a message costs besides its text: role and separators. OpenAI's cookbook counts 3.
const MESSAGE_OVERHEAD: u32 = 3;

/// What a provider scales an image down to: 1092 × 1092 pixels at 750 pixels a token, by
/// Anthropic's documentation of vision.
const MEDIA_TOKENS: u32 = 1_590;

/// What the name, type, size and id of a file take, roughly.
const FILE_TOKENS: u32 = 40;

/// Tokens of a text: a quarter of its ASCII bytes and one for each other character, which errs
/// high for most scripts.
#[must_use]
pub fn text_tokens(text: &str) -> u32 {
    let (mut ascii, mut wide) = (0_usize, 0_usize);
    for byte in text.bytes() {
        if byte.is_ascii() {
            ascii += 1;
        } else if byte & 0xC0 == 0xC0 {
            wide += 1;
        }
    }
    u32::try_from(ascii.div_ceil(4) + wide).unwrap_or(u32::MAX)
}

/// Tokens of a message, all its blocks included.
#[must_use]
pub fn message_tokens(message: &Message) -> u32 {
    message.blocks.iter().map(block_tokens).fold(MESSAGE_OVERHEAD, u32::saturating_add)
}

fn block_tokens(block: &Block) -> u32 {
    match block {
        Block::Text { text } | Block::Thinking { text, .. } => text_tokens(text),
        Block::RedactedThinking { data } => text_tokens(data),
        Block::Attachment(file) if file.mime_type.starts_with("image/") => MEDIA_TOKENS + FILE_TOKENS,
        Block::Attachment(_) => FILE_TOKENS,
        Block::Image { .. } => MEDIA_TOKENS,
        Block::ToolUse(call) => text_tokens(&call.name).saturating_add(text_tokens(call.input.get())),
        Block::ToolResult(result) => {
            result.content.iter().map(content_tokens).fold(MESSAGE_OVERHEAD, u32::saturating_add)
        }
    }
}

fn content_tokens(content: &ToolContent) -> u32 {
    match content {
        ToolContent::Text { text } => text_tokens(text),
        ToolContent::Json { json } => text_tokens(json),
        ToolContent::File(file) => text_tokens(&file.to_string()),
        ToolContent::Media { .. } => MEDIA_TOKENS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_counts_and_nothing_is_free_but_nothing() {
        assert_eq!(text_tokens(""), 0);
        assert_eq!(text_tokens("a"), 1);
        assert_eq!(text_tokens("four more"), 3);
        assert_eq!(text_tokens("日本語"), 3);
        assert_eq!(text_tokens("🦀 ok"), 2);
    }
}
