//! The decoder against recorded events, whole and broken.

use super::*;
use crate::provider::tests::{ANTHROPIC, at_every_split, cut_anywhere, damaged, decode};

const START: &str = r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":5,"output_tokens":1}}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn delta(index: u64, delta: &str) -> String {
    format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#)
}

fn json(index: u64, json: &str) -> String {
    delta(index, &format!(r#"{{"type":"input_json_delta","partial_json":{}}}"#, serde_json::json!(json)))
}

fn tool(index: u64, name: &str) -> String {
    let block = format!(r#"{{"type":"tool_use","id":"toolu_{index}","name":"{name}","input":{{}}}}"#);
    format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#)
}

fn stop(index: u64) -> String {
    format!(r#"{{"type":"content_block_stop","index":{index}}}"#)
}

fn reason(reason: &str) -> String {
    format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}},"usage":{{"output_tokens":9}}}}"#)
}

/// The calls that come of these events' data, and how the stream ends.
fn run(events: &[String]) -> (Vec<String>, Result<StopReason, DecodeError>) {
    let all = [&[START.to_owned()], events].concat();
    let stream: String = all.iter().map(|data| format!("data: {data}\n\n")).collect();
    let (events, end) = decode(Decoder::default(), [stream.as_bytes()]);
    (events.into_iter().filter(|event| event.starts_with("ToolUse")).collect(), end)
}

#[test]
fn a_recorded_stream_gives_its_events_in_order() {
    let (events, end) = decode(Decoder::default(), [ANTHROPIC]);
    let usage = |output, cache_read| {
        let tokens = TokenUsage {
            input_tokens: 472,
            output_tokens: output,
            cache_read_tokens: cache_read,
            cache_write_tokens: 12,
            ..TokenUsage::default()
        };
        format!("{:?}", StreamEvent::Usage(tokens))
    };
    let tool = |id: &str, name: &str, input: &str| {
        let input = RawValue::from_string(input.into()).expect("JSON").into();
        format!("{:?}", StreamEvent::ToolUse(ToolUse { id: id.into(), name: name.into(), input }))
    };
    let expected = [
        r#"Started { model: Some("claude-sonnet-5") }"#.to_owned(),
        usage(2, 2048),
        r#"Thinking("Zwei Werkzeuge, ")"#.to_owned(),
        r#"Thinking("natürlich.")"#.to_owned(),
        r#"ThinkingSignature("EqQBCgIYAhIM1gbcDa9GJwZA2b3h")"#.to_owned(),
        r#"RedactedThinking("EmwKAhgBEgy3va3pzix/LafPsn4a")"#.to_owned(),
        format!("{:?}", StreamEvent::Text("Ich schaue nach 🦀".into())),
        format!("{:?}", StreamEvent::Text(" in İstanbul.".into())),
        tool("toolu_01", "current_time", r#"{"timezone": "Europe/Istanbul"}"#),
        tool("toolu_02", "list", "{}"),
        usage(89, 2050),
    ];
    assert_eq!(events, expected);
    assert_eq!(end, Ok(StopReason::ToolUse));
}

#[test]
fn every_split_of_a_recorded_stream_means_the_same() {
    at_every_split(ANTHROPIC, Decoder::default);
    let crlf = String::from_utf8_lossy(ANTHROPIC).replace('\n', "\r\n");
    at_every_split(crlf.as_bytes(), Decoder::default);
}

#[test]
fn a_stream_cut_anywhere_gives_the_beginning_and_never_succeeds() {
    cut_anywhere(ANTHROPIC, Decoder::default, ANTHROPIC.len() - 1);
}

#[test]
fn a_call_that_the_token_limit_cut_is_never_given_out() {
    let whole = || [tool(0, "whole"), json(0, r#"{"a":1}"#), stop(0)];
    let halves: [&[String]; 5] = [
        &[tool(1, "half")],
        &[tool(1, "half"), stop(1)],
        &[tool(1, "half"), json(1, r#"{"path": "/tm"#)],
        &[tool(1, "half"), json(1, r#"{"path": "/tm"#), stop(1)],
        &[tool(1, "half"), json(1, ""), stop(1)],
    ];
    for half in halves {
        let events = [&whole(), half, &[reason("max_tokens"), STOP.into()]].concat();
        let (calls, end) = run(&events);
        assert_eq!(end, Ok(StopReason::MaxTokens));
        assert!(calls.len() == 1 && calls[0].contains("whole"), "{calls:?}");
    }
}

#[test]
fn arguments_that_are_no_object_are_an_error_and_not_empty_ones() {
    for arguments in [r#"{"a":"#, "[1]", "null", "{} {}", "{'a':1}"] {
        let events = [tool(0, "t"), json(0, arguments), stop(0), reason("tool_use"), STOP.into()];
        let (calls, end) = run(&events);
        assert!(calls.is_empty() && matches!(end, Err(DecodeError::Malformed(_))), "{arguments}: {end:?}");
    }
    let unstopped = [tool(0, "t"), json(0, "{}"), reason("tool_use"), STOP.into()];
    assert!(matches!(run(&unstopped), (calls, Err(DecodeError::Malformed(_))) if calls.is_empty()));
}

#[test]
fn deltas_of_calls_that_interleave_go_to_their_own_blocks() {
    let events = [
        tool(0, "a"),
        tool(1, "b"),
        json(1, r#"{"b":"#),
        json(0, r#"{"a":"#),
        json(1, "2}"),
        json(0, "1}"),
        stop(1),
        stop(0),
    ];
    let (calls, end) = run(&[&events[..], &[reason("tool_use"), STOP.into()]].concat());
    assert_eq!(end, Ok(StopReason::ToolUse));
    assert!(calls[0].contains(r#""b\":2}"#) || calls[0].contains(r#"{"b":2}"#), "{calls:?}");
    assert!(calls.len() == 2 && calls[1].contains("toolu_0"), "{calls:?}");
}

#[test]
fn stop_reasons_have_their_meaning() {
    for (word, meaning) in [
        ("end_turn", StopReason::EndTurn),
        ("stop_sequence", StopReason::EndTurn),
        ("max_tokens", StopReason::MaxTokens),
        ("model_context_window_exceeded", StopReason::MaxTokens),
        ("pause_turn", StopReason::Pause),
        ("refusal", StopReason::Refusal),
    ] {
        assert_eq!(run(&[reason(word), STOP.into()]).1, Ok(meaning), "{word}");
    }
    assert!(matches!(run(&[reason("tool_use"), STOP.into()]).1, Err(DecodeError::Malformed(_))));
}

#[test]
fn an_end_without_its_event_and_an_error_event_are_errors() {
    assert!(matches!(run(&[reason("end_turn")]).1, Err(DecodeError::Cut(_))));
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let Err(DecodeError::Refused(refusal)) = run(&[error.into()]).1 else { panic!("no refusal") };
    assert_eq!((refusal.kind.as_deref(), refusal.message.as_str()), (Some("overloaded_error"), "Overloaded"));
    assert!(refusal.retryable());
}

proptest::proptest! {
    #[test]
    fn a_damaged_stream_never_panics_and_calls_with_objects_alone(stream in damaged(ANTHROPIC)) {
        let (events, _) = decode(Decoder::default(), [&stream[..]]);
        for call in events.iter().filter(|event| event.starts_with("ToolUse")) {
            proptest::prop_assert!(call.contains("RawValue({"), "{}", call);
        }
    }
}
