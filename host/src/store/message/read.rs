//! Reads messages back. By hand: what serde derives for a tagged enum or a flattened member goes
//! through a buffer, in which a tool's arguments (raw JSON) get lost.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use super::super::{Position, Timestamp, TurnId};
use super::{Attachment, Block, Message, Role, StoredMessage, ToolContent, ToolResult, ToolUse};

/// The members of every type of block, side by side.
#[derive(serde::Deserialize)]
struct Wire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    text: Option<String>,
    signature: Option<String>,
    data: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Arc<RawValue>>,
    tool_use_id: Option<String>,
    content: Option<Vec<ToolContent>>,
    #[serde(default)]
    is_error: bool,
    file: Option<String>,
    channel: Option<String>,
    mime_type: Option<String>,
    size: Option<u64>,
    handle: Option<String>,
}

const TYPES: &[&str] = &["text", "thinking", "redacted_thinking", "tool_use", "tool_result", "attachment", "image"];

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn need<T, E: Error>(member: Option<T>, name: &'static str) -> Result<T, E> {
            member.ok_or_else(|| E::missing_field(name))
        }
        let wire = Wire::deserialize(deserializer)?;
        Ok(match &*wire.kind {
            "text" => Self::Text { text: need(wire.text, "text")? },
            "thinking" => Self::Thinking { text: need(wire.text, "text")?, signature: wire.signature },
            "redacted_thinking" => Self::RedactedThinking { data: need(wire.data, "data")? },
            "tool_use" => Self::ToolUse(ToolUse {
                id: need(wire.id, "id")?,
                name: need(wire.name, "name")?,
                input: need(wire.input, "input")?,
            }),
            "tool_result" => Self::ToolResult(ToolResult {
                tool_use_id: need(wire.tool_use_id, "tool_use_id")?,
                content: need(wire.content, "content")?,
                is_error: wire.is_error,
            }),
            "attachment" => Self::Attachment(Attachment {
                file: need(wire.file, "file")?,
                channel: need(wire.channel, "channel")?,
                mime_type: need(wire.mime_type, "mime_type")?,
                name: wire.name,
                size: wire.size,
                handle: need(wire.handle, "handle")?,
            }),
            "image" => {
                Self::Image { mime_type: need(wire.mime_type, "mime_type")?, data: need(wire.data, "data")?.into() }
            }
            other => return Err(D::Error::unknown_variant(other, TYPES)),
        })
    }
}

impl<'de> Deserialize<'de> for StoredMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Wire {
            position: Position,
            turn: TurnId,
            at: Timestamp,
            role: Role,
            blocks: Vec<Block>,
        }
        let Wire { position, turn, at, role, blocks } = Wire::deserialize(deserializer)?;
        Ok(Self { position, turn, at, message: Arc::new(Message { role, blocks }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_as_they_were_written() -> Result<(), serde_json::Error> {
        let text = concat!(
            r#"{"position":3,"turn":"01hzzzzzzzzzzzzzzzzz","at":5,"role":"assistant","blocks":["#,
            r#"{"type":"text","text":"a\n"},"#,
            r#"{"type":"thinking","text":"hm"},"#,
            r#"{"type":"thinking","text":"hm","signature":"s"},"#,
            r#"{"type":"redacted_thinking","data":"d"},"#,
            r#"{"type":"tool_use","id":"t1","name":"calculate","input":{"b": 2.50, "a":1}},"#,
            r#"{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"4"}],"is_error":true},"#,
            r#"{"type":"attachment","file":"f","channel":"c","mime_type":"image/png","handle":"aGk="},"#,
            r#"{"type":"attachment","file":"f","channel":"c","mime_type":"a/b","name":"n","size":7,"handle":""}]}"#,
        );
        let message: StoredMessage = serde_json::from_str(text)?;
        assert_eq!(serde_json::to_string(&message)?, text);
        assert!(serde_json::from_str::<Block>(r#"{"type":"tool_use","id":"t1","name":"x"}"#).is_err());
        Ok(())
    }
}
