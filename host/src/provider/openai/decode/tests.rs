//! The decoder against recorded chunks, and against what compatible servers do otherwise.

use super::*;
use crate::provider::tests::{OPENAI, at_every_split, cut_anywhere, damaged, decode};

fn decoder() -> Decoder {
    Decoder::new(1)
}

/// What comes of chunks with these choices (and other members).
fn run(chunks: &[&str]) -> (Vec<String>, Result<StopReason, DecodeError>) {
    let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    let (mut events, end) = decode(decoder(), [stream.as_bytes()]);
    events.retain(|event| !event.starts_with("Started"));
    (events, end)
}

fn delta(delta: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
}

fn finish(reason: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
}

fn tool(id: &str, name: &str, input: &str) -> String {
    let input = RawValue::from_string(input.into()).expect("JSON").into();
    format!("{:?}", StreamEvent::ToolUse(ToolUse { id: id.into(), name: name.into(), input }))
}

#[test]
fn a_recorded_stream_gives_its_events_in_order() {
    let (events, end) = decode(decoder(), [OPENAI]);
    let usage = TokenUsage { input_tokens: 86, output_tokens: 300, cache_read_tokens: 1920, ..TokenUsage::default() };
    let expected = [
        r#"Started { model: Some("gpt-5") }"#.to_owned(),
        r#"Thinking("Hm, ")"#.to_owned(),
        r#"Thinking("zwei.")"#.to_owned(),
        format!("{:?}", StreamEvent::Text("Ich schaue nach 🦀".into())),
        tool("call_a", "current_time", r#"{"timezone":"Europe/Istanbul"}"#),
        tool("call_b", "list", "{}"),
        format!("{:?}", StreamEvent::Usage(usage)),
    ];
    assert_eq!(events, expected);
    assert_eq!(end, Ok(StopReason::ToolUse));
}

#[test]
fn every_split_of_a_recorded_stream_means_the_same() {
    at_every_split(OPENAI, decoder);
    let crlf = String::from_utf8_lossy(OPENAI).replace('\n', "\r\n");
    at_every_split(crlf.as_bytes(), decoder);
}

#[test]
fn a_stream_cut_anywhere_gives_the_beginning_and_succeeds_only_once_the_reason_was_there() {
    let reason = String::from_utf8_lossy(OPENAI).find(r#""finish_reason":"tool_calls""#).expect("a reason");
    cut_anywhere(OPENAI, decoder, reason);
}

#[test]
fn calls_without_an_index_or_with_the_same_one_are_told_apart() {
    let whole = |index: &str, id: &str, name: &str| {
        delta(&format!(
            r#"{{"tool_calls":[{{{index}"id":"{id}","function":{{"name":"{name}","arguments":"{{}}"}}}}]}}"#
        ))
    };
    for index in ["", r#""index":0,"#, r#""index":null,"#] {
        let (events, end) = run(&[&whole(index, "x", "a"), &whole(index, "y", "b"), &finish("stop"), DONE]);
        assert_eq!(events, [tool("x", "a", "{}"), tool("y", "b", "{}")], "{index}");
        assert_eq!(end, Ok(StopReason::ToolUse));
    }
    // No ids at all: they get some, each its own.
    let (events, _) = run(&[&whole("", "", "a"), &whole("", "", "b"), &finish("tool_calls")]);
    assert_eq!(events, [tool("call_0000000000000001_0", "a", "{}"), tool("call_0000000000000001_1", "b", "{}")]);
}

#[test]
fn deltas_of_one_call_join_whether_its_id_repeats_or_not() {
    let piece = |members: &str, arguments: &str| {
        delta(&format!(r#"{{"tool_calls":[{{{members}"function":{{"arguments":"{arguments}"}}}}]}}"#))
    };
    let start = delta(r#"{"tool_calls":[{"index":3,"id":"x","function":{"name":"a","arguments":null}}]}"#);
    for members in [r#""index":3,"#, r#""index":3,"id":"x","#, r#""index":3,"id":"","#, ""] {
        let (events, _) =
            run(&[&start, &piece(members, r#"{\"k\":"#), &piece(members, "1}"), &finish("tool_calls"), DONE]);
        assert_eq!(events, [tool("x", "a", r#"{"k":1}"#)], "{members}");
    }
    let object = delta(r#"{"tool_calls":[{"id":"x","function":{"name":"a","arguments":{"k":1}}}]}"#);
    assert_eq!(run(&[&object, &finish("stop")]).0, [tool("x", "a", r#"{"k":1}"#)]);
}

#[test]
fn a_call_that_the_token_limit_cut_is_never_given_out() {
    for arguments in [r#"{\"path\": \"/tm"#, ""] {
        let half = delta(&format!(
            r#"{{"tool_calls":[{{"index":0,"id":"x","function":{{"name":"a","arguments":"{arguments}"}}}}]}}"#
        ));
        assert_eq!(run(&[&half, &finish("length"), DONE]), (Vec::new(), Ok(StopReason::MaxTokens)));
    }
}

#[test]
fn arguments_that_are_no_object_are_an_error_and_not_empty_ones() {
    for arguments in [r#"{\"a\":"#, "[1]", "null", "{} {}"] {
        let call = delta(&format!(
            r#"{{"tool_calls":[{{"index":0,"id":"x","function":{{"name":"a","arguments":"{arguments}"}}}}]}}"#
        ));
        let (events, end) = run(&[&call, &finish("tool_calls"), DONE]);
        assert!(events.is_empty() && matches!(end, Err(DecodeError::Malformed(_))), "{arguments}: {end:?}");
    }
}

#[test]
fn refusals_filters_and_limits_have_their_meaning() {
    let refusal = delta(r#"{"refusal":"I can't."}"#);
    let (events, end) = run(&[&refusal, &finish("stop"), DONE]);
    assert_eq!((events.as_slice(), end), ([r#"Text("I can't.")"#.to_owned()].as_slice(), Ok(StopReason::Refusal)));
    for (word, meaning) in [
        ("stop", StopReason::EndTurn),
        ("eos", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::Refusal),
    ] {
        assert_eq!(run(&[&finish(word), DONE]).1, Ok(meaning), "{word}");
        assert_eq!(run(&[&finish(word)]).1, Ok(meaning), "{word} without [DONE]");
    }
    assert!(matches!(run(&[&finish("tool_calls"), DONE]).1, Err(DecodeError::Malformed(_))));
}

#[test]
fn an_end_without_a_reason_and_an_error_in_the_stream_are_errors() {
    let text = delta(r#"{"content":"a"}"#);
    for end in [run(&[&text]).1, run(&[&text, DONE]).1] {
        assert!(matches!(end, Err(DecodeError::Cut(_))), "{end:?}");
    }
    for (error, retryable) in [
        (r#"{"error":{"message":"Broken","type":"server_error","code":null}}"#, true),
        (r#"{"error":{"message":"Broken","type":"invalid_request_error"}}"#, false),
        (r#"{"error":"Broken"}"#, true),
        (r#"{"object":"error","message":"Broken","type":"InternalServerError","code":500}"#, true),
    ] {
        let Err(DecodeError::Refused(refusal)) = run(&[&text, error]).1 else { panic!("{error}") };
        assert_eq!((refusal.message.as_str(), refusal.retryable()), ("Broken", retryable), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn a_damaged_stream_never_panics_and_calls_with_objects_alone(stream in damaged(OPENAI)) {
        let (events, _) = decode(decoder(), [&stream[..]]);
        for call in events.iter().filter(|event| event.starts_with("ToolUse")) {
            proptest::prop_assert!(call.contains("RawValue({"), "{}", call);
        }
    }
}
