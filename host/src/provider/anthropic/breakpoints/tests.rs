//! Requests as the cache reads them: block after block, with the marks among them.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::provider::{Request, ToolSpec};
use crate::store::{Block, Message, ToolContent, ToolResult, ToolUse};

/// A text that any model keeps.
fn long(name: &str) -> String {
    format!("{name} {}", "and so on ".repeat(1000))
}

fn said(role: Role, text: impl Into<String>) -> Arc<Message> {
    Arc::new(Message::text(role, text))
}

fn call(id: &str) -> Arc<Message> {
    let input = RawValue::from_string(r#"{"of":"it"}"#.into()).expect("JSON").into();
    let call = Block::ToolUse(ToolUse { id: id.into(), name: "look".into(), input });
    let thought = Block::Thinking { text: "Hm.".into(), signature: Some("sig".into()) };
    Arc::new(Message { role: Role::Assistant, blocks: vec![thought, call] })
}

fn results(ids: &[String]) -> Arc<Message> {
    let result = |id: &String| {
        let content = vec![ToolContent::text(format!("seen by {id}"))];
        Block::ToolResult(ToolResult { tool_use_id: id.clone(), content, is_error: false })
    };
    Arc::new(Message { role: Role::User, blocks: ids.iter().map(result).collect() })
}

fn kept(lifetime: CacheLifetime) -> CachePolicy {
    CachePolicy { shared: Some(lifetime), conversation: Some(lifetime), key: None }
}

fn request(messages: &[Arc<Message>], cache: CachePolicy) -> Request {
    let tool = |name: &str| {
        let schema = RawValue::from_string(r#"{"type":"object"}"#.into()).expect("JSON");
        ToolSpec { name: name.into(), description: long(name), input_schema: schema.into() }
    };
    Request {
        system: Some(long("Be brief.").into()),
        messages: messages.to_vec(),
        tools: Arc::new([tool("list"), tool("look")]),
        max_tokens: 4096,
        thinking_tokens: Some(1024),
        temperature: None,
        cache,
    }
}

fn encoded(request: &Request) -> Value {
    serde_json::to_value(Body::new("claude-opus-5", request)).expect("JSON")
}

/// The blocks of a body in the order of the cache, as bytes, each with its mark.
fn blocks(body: &Value) -> Vec<(String, Option<Value>)> {
    let system = match &body["system"] {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    };
    let messages = body["messages"].as_array().expect("messages").iter();
    let content = messages.flat_map(|message| {
        let role = message["role"].clone();
        let blocks = message["content"].as_array().expect("blocks").iter();
        blocks.map(move |block| json!({"role": role, "block": block}))
    });
    let tools = body["tools"].as_array().into_iter().flatten().cloned();
    let plain = |mut block: Value| {
        let bearer = if block.get("block").is_some() { &mut block["block"] } else { &mut block };
        let mark = bearer.as_object_mut().expect("an object").remove("cache_control");
        (block.to_string(), mark)
    };
    tools.chain(system).chain(content).map(plain).collect()
}

fn marked(body: &Value) -> Vec<usize> {
    blocks(body).iter().enumerate().filter(|(_, (_, mark))| mark.is_some()).map(|(at, _)| at).collect()
}

/// Every request of a conversation of so many turns, of which each calls a tool.
fn conversation(turns: usize) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut bodies = Vec::new();
    for turn in 0..turns {
        messages.push(said(Role::User, format!("Question {turn}.")));
        bodies.push(encoded(&request(&messages, kept(CacheLifetime::FiveMinutes))));
        let id = format!("toolu_{turn}");
        messages.extend([call(&id), results(&[id])]);
        bodies.push(encoded(&request(&messages, kept(CacheLifetime::FiveMinutes))));
        messages.push(said(Role::Assistant, format!("Answer {turn}.")));
    }
    bodies
}

#[test]
fn over_twelve_turns_each_request_begins_with_all_of_the_one_before_and_is_marked_where_that_ended() {
    let bodies = conversation(12);
    assert_eq!(bodies.len(), 24);
    let plain = |body: &Value| blocks(body).into_iter().map(|(block, _)| block).collect::<Vec<_>>();
    for pair in bodies.windows(2) {
        let (before, after) = (plain(&pair[0]), plain(&pair[1]));
        assert!(after.len() > before.len() && after.starts_with(&before), "the common beginning grows");
        let (then, now) = (marked(&pair[0]), marked(&pair[1]));
        let end = *then.last().expect("marks");
        assert_eq!(end, before.len() - 1, "the whole request is kept");
        assert!(now.contains(&end), "and read at the very place: {then:?}, {now:?}");
    }
    for body in &bodies[1..] {
        assert_eq!(marked(body)[..2], [1, 2], "the last tool and the system prompt");
        assert_eq!(marked(body).len(), 4, "as many as the API takes");
    }
    assert_eq!(marked(&bodies[0]), [1, 2, 3], "nothing was before the first");
}

#[test]
fn a_step_of_many_calls_does_not_hide_the_end_of_the_one_before() {
    let ids: Vec<String> = (0..15).map(|n| format!("toolu_{n}")).collect();
    let calls = ids.iter().flat_map(|id| call(id).blocks[1..].to_vec()).collect();
    let calls = Arc::new(Message { role: Role::Assistant, blocks: calls });
    let messages = [said(Role::User, "Look at all of them."), calls, results(&ids)];
    let body = encoded(&request(&messages, kept(CacheLifetime::FiveMinutes)));
    // Two tools, the system prompt, the question; then thirty blocks, of which the API looks back over twenty.
    assert_eq!(marked(&body), [1, 2, 3, 33]);
}

#[test]
fn thinking_is_never_marked() {
    // A turn that the API paused is sent back with the assistant's message last.
    let thought = Block::Thinking { text: "Hm.".into(), signature: Some("sig".into()) };
    let secret = Block::RedactedThinking { data: "xyz".into() };
    let text = Block::Text { text: "Wait.".into() };
    let paused = |blocks: &[&Block]| {
        let blocks = blocks.iter().copied().cloned().collect();
        let message = Arc::new(Message { role: Role::Assistant, blocks });
        marked(&encoded(&request(&[said(Role::User, "Go."), message], kept(CacheLifetime::FiveMinutes))))
    };
    assert_eq!(paused(&[&text, &thought, &secret]), [1, 2, 3, 4]);
    assert_eq!(paused(&[&thought, &text]), [1, 2, 3, 5]);
    assert_eq!(paused(&[&thought, &secret]), [1, 2, 3], "there is nothing to mark");
}

#[test]
fn a_policy_says_what_is_marked_and_for_how_long() {
    let messages = [said(Role::User, long("one")), said(Role::Assistant, "two"), said(Role::User, "three")];
    let marks = |shared, conversation| {
        let policy = CachePolicy { shared, conversation, key: None };
        let body = encoded(&request(&messages, policy));
        blocks(&body).into_iter().filter_map(|(_, mark)| mark).collect::<Vec<_>>()
    };
    let (five, hour) = (json!({"type": "ephemeral"}), json!({"type": "ephemeral", "ttl": "1h"}));
    use CacheLifetime::{FiveMinutes, OneHour};
    assert_eq!(marks(Some(FiveMinutes), None), [five.clone(), five.clone()]);
    assert_eq!(marks(Some(OneHour), Some(FiveMinutes)), [hour.clone(), hour.clone(), five.clone(), five]);
    assert_eq!(marks(Some(OneHour), Some(OneHour)), [hour.clone(), hour.clone(), hour.clone(), hour]);
    assert!(marks(None, None).is_empty());
    let body = encoded(&request(&messages, CachePolicy::default()));
    assert!(body["system"].is_string(), "as services want it that know no marks");
}

#[test]
fn what_is_too_short_to_be_kept_is_not_marked() {
    let short = |model: &str, text: &str| {
        let request = Request {
            system: Some("Be brief.".into()),
            tools: Arc::new([]),
            ..request(&[said(Role::User, text)], kept(CacheLifetime::FiveMinutes))
        };
        marked(&serde_json::to_value(Body::new(model, &request)).expect("JSON"))
    };
    assert!(short("claude-opus-5", "hi").is_empty());
    assert_eq!(short("claude-opus-5", &"x".repeat(1024)), [1], "all that stands before counts");
    assert!(short("claude-haiku-4-5-20251001", &"x".repeat(8000)).is_empty());
    assert_eq!(short("claude-haiku-4-5-20251001", &"x".repeat(8192)), [1]);
}

#[test]
fn a_models_shortest_prompt_is_found_by_its_name() {
    for (model, tokens) in [
        ("claude-opus-5", 512),
        ("claude-opus-4-8", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-opus-4-5-20251101", 4096),
        ("claude-opus-4-1-20250805", 1024),
        ("claude-opus-4-20250514", 1024),
        ("claude-sonnet-5", 1024),
        ("claude-sonnet-4-6", 1024),
        ("claude-haiku-4-5", 4096),
        ("claude-3-5-haiku-latest", 2048),
        ("somebody-elses", 512),
    ] {
        assert_eq!(minimum(model), tokens, "{model}");
    }
}
