//! The scripted model over its socket: by raw requests, and by the provider that it is for.

use std::sync::Arc;

use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::config::{Config, NetConfig};
use crate::net::{Client, Deadlines};
use crate::provider::{CachePolicy, CallEvent, Jitter, Models, Providers, StreamEvent, ToolSpec};
use crate::store::{self, Message, StopReason, ToolContent, ToolResult, ToolUse};

const SOON: Deadlines = Deadlines { connect: Duration::from_secs(10), response: Duration::from_secs(10) };

async fn post(base_url: &str, path: &str, body: &str) -> (u16, String) {
    let client = Client::new(&NetConfig::default()).expect("a client");
    let request = Request::post(format!("{base_url}{path}"))
        .header("anthropic-version", "2023-06-01")
        .body(Full::from(body.to_owned()))
        .expect("a request");
    let response = client.send(request, SOON).await.expect("a response");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn requests_that_the_real_service_refuses_are_refused_in_its_shape() {
    let model = ScriptedModel::start(Duration::ZERO).await.expect("a port");
    let user = |content: Value| json!({ "role": "user", "content": content });
    let assistant = |content: Value| json!({ "role": "assistant", "content": content });
    let call = || json!([{ "type": "tool_use", "id": "a", "name": "t", "input": {} }]);
    let result = |id: &str| json!([{ "type": "tool_result", "tool_use_id": id, "content": "x" }]);
    let wrong = [
        json!([]),
        json!([assistant("hi".into())]),
        json!([user("hi".into()), user("hi".into())]),
        json!([user("hi".into()), assistant("hi".into())]),
        json!([user(" ".into())]),
        json!([user(json!([]))]),
        json!([user(json!([{ "type": "hologram" }]))]),
        json!([user("hi".into()), assistant(call()), user("hi".into())]),
        json!([user("hi".into()), assistant(call()), user(result("b"))]),
        json!([user("hi".into()), assistant("hi".into()), user(result("a"))]),
        json!([
            user("hi".into()),
            assistant(json!([{ "type": "thinking", "thinking": "no proof" }])),
            user("hi".into())
        ]),
        json!([user(call())]),
    ];
    for messages in wrong {
        let body = json!({ "model": "m", "max_tokens": 9, "stream": true, "messages": messages });
        let (status, answer) = post(&model.base_url(), "/v1/messages", &body.to_string()).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!((status, &answer["error"]["type"]), (400, &json!("invalid_request_error")), "{messages} {answer}");
    }
    for body in ["", "{", "null", "[]", r#"{"model":"m"}"#, "\u{0}"] {
        assert_eq!(post(&model.base_url(), "/v1/messages", body).await.0, 400, "{body}");
    }
    assert_eq!(post(&model.base_url(), "/v1/other", "{}").await.0, 404);
}

/// An agent's half of the conversation: asks, answers each call with `result`, asks again.
async fn converse(
    models: &Models,
    messages: &mut Vec<Arc<Message>>,
    tools: &Arc<[ToolSpec]>,
    result: fn(&ToolUse) -> String,
) -> (Vec<ToolUse>, String) {
    let mut all = Vec::new();
    loop {
        let request = crate::provider::Request {
            system: Some("Be helpful.".into()),
            messages: messages.clone(),
            tools: Arc::clone(tools),
            max_tokens: 1000,
            thinking_tokens: None,
            temperature: None,
            cache: CachePolicy::default(),
        };
        let (mut text, mut calls, mut stop) = (String::new(), Vec::new(), None);
        let mut call = models.call(Arc::new(request));
        while let Some(event) = call.next().await {
            match event.expect("no error") {
                CallEvent::Event(StreamEvent::Text(delta)) => text.push_str(&delta),
                CallEvent::Event(StreamEvent::ToolUse(call)) => calls.push(call),
                CallEvent::Event(StreamEvent::Stopped(reason)) => stop = Some(reason),
                _ => {}
            }
        }
        let said = store::Block::Text { text: text.clone() };
        let blocks = std::iter::once(said).chain(calls.iter().cloned().map(store::Block::ToolUse)).collect();
        messages.push(Arc::new(Message { role: store::Role::Assistant, blocks }));
        if calls.is_empty() {
            assert_eq!(stop, Some(StopReason::EndTurn));
            return (all, text);
        }
        assert_eq!(stop, Some(StopReason::ToolUse));
        let results = calls.iter().map(|call| {
            let content = vec![ToolContent::text(result(call))];
            store::Block::ToolResult(ToolResult { tool_use_id: call.id.clone(), content, is_error: false })
        });
        messages.push(Arc::new(Message { role: store::Role::User, blocks: results.collect() }));
        all.extend(calls);
    }
}

fn models(scripted: &ScriptedModel) -> Models {
    let mut config = Config::default();
    let name = ScriptedModel::model_name();
    config.providers.insert(name.provider.clone(), scripted.provider_config());
    let client = Client::new(&NetConfig::default()).expect("a client");
    let providers = Providers::from_config(&config, &client, |_, _| None).expect("providers");
    Models::new(&providers.resolve(&[name]).expect("a model"), Arc::new(Jitter::seeded(1)))
}

fn tools(names: &[&str]) -> Arc<[ToolSpec]> {
    let schema: Arc<RawValue> = RawValue::from_string(r#"{"type":"object"}"#.into()).expect("JSON").into();
    let tool =
        |name: &&str| ToolSpec { name: (*name).into(), description: "d".into(), input_schema: Arc::clone(&schema) };
    names.iter().map(tool).collect()
}

fn user(text: &str) -> Arc<Message> {
    Arc::new(Message::text(store::Role::User, text))
}

#[tokio::test]
async fn a_question_for_three_tools_calls_them_in_one_step_and_answers_from_their_results() {
    let scripted = ScriptedModel::start(Duration::ZERO).await.expect("a port");
    let mut messages = vec![user("What time is it in Tokyo? What is 2.5 * (3 + 4)? And echo \"grüße 🦀\"")];
    let tools = tools(&["echo", "current_time", "calculate"]);
    let answer = |call: &ToolUse| format!("<{} {}>", call.name, call.input);
    let (calls, text) = converse(&models(&scripted), &mut messages, &tools, answer).await;
    let calls: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.input.get())).collect();
    assert_eq!(
        calls,
        [
            ("current_time", r#"{"timezone":"Asia/Tokyo"}"#),
            ("echo", r#"{"text":"grüße 🦀"}"#),
            ("calculate", r#"{"expression":"2.5 * (3 + 4)"}"#),
        ]
    );
    assert_eq!(messages.len(), 4);
    for result in ["<current_time", "<echo {\"text\":\"grüße 🦀\"}>", "<calculate", "scripted model, not a real one"]
    {
        assert!(text.contains(result), "{text}");
    }
}

#[tokio::test]
async fn talk_is_answered_with_what_was_said_before_and_that_it_is_scripted() {
    let scripted = ScriptedModel::start(Duration::ZERO).await.expect("a port");
    let models = models(&scripted);
    let mut messages = vec![user("My name is İpek.")];
    let (_, text) = converse(&models, &mut messages, &tools(&["echo"]), |_| String::new()).await;
    assert!(text.contains("scripted model, not a real one") && !text.contains("before"), "{text}");
    messages.push(user("Who am I?"));
    let (calls, text) = converse(&models, &mut messages, &tools(&["echo"]), |_| String::new()).await;
    assert!(calls.is_empty() && text.contains("You said before: “My name is İpek.”"), "{text}");
}

#[tokio::test]
async fn a_tool_that_was_not_offered_is_not_called() {
    let scripted = ScriptedModel::start(Duration::ZERO).await.expect("a port");
    let mut messages = vec![user("What time is it?")];
    let (calls, text) = converse(&models(&scripted), &mut messages, &tools(&["echo"]), |_| String::new()).await;
    assert!(calls.is_empty() && text.contains("no tool"), "{text}");
}

#[tokio::test]
async fn the_token_limit_ends_an_answer_and_no_call_is_begun() {
    let scripted = ScriptedModel::start(Duration::ZERO).await.expect("a port");
    for limit in 1..40 {
        let body = json!({ "model": "m", "max_tokens": limit, "stream": true,
            "tools": [{ "name": "calculate", "input_schema": { "type": "object" } }],
            "messages": [{ "role": "user", "content": "1 + 1" }] });
        let (_, stream) = post(&scripted.base_url(), "/v1/messages", &body.to_string()).await;
        let whole = stream.contains(r#""stop_reason":"tool_use""#);
        assert!(whole || stream.contains(r#""stop_reason":"max_tokens""#), "{stream}");
        assert_eq!(whole, stream.matches("content_block_stop").count() == 4, "{limit}: {stream}");
    }
}

#[tokio::test]
async fn dropping_the_model_ends_its_connections() {
    let scripted = ScriptedModel::start(Duration::from_secs(3600)).await.expect("a port");
    let mut call = models(&scripted).call(Arc::new(crate::provider::Request {
        system: None,
        messages: vec![user("hello there")],
        tools: tools(&[]),
        max_tokens: 100,
        thinking_tokens: None,
        temperature: None,
        cache: CachePolicy::default(),
    }));
    while !matches!(call.next().await, Some(Ok(CallEvent::Event(StreamEvent::Text(_))))) {}
    drop(scripted);
    assert!(matches!(call.next().await, Some(Err(crate::provider::ProviderError::Cut { .. }))));
}
