use serde_json::json;

use super::*;
use crate::store::Event;

const PLAIN_SCREEN: Style = Style { colours: Colours::Plain, reply: Reply::Screen };

fn body(event: serde_json::Value) -> EventBody {
    let mut event = event;
    event["turn"] = "01hzzzzzzzzzzzzzzzzz".into();
    event["session"] = "a:b:c:d".into();
    event["seq"] = 1.into();
    serde_json::from_str::<Event>(&event.to_string()).expect("an event").body
}

fn shown_in(style: Style, events: &[serde_json::Value]) -> Vec<Piece> {
    let mut screen = Screen::new(style);
    events.iter().flat_map(|event| screen.show(&body(event.clone()))).collect()
}

/// All that a terminal gets.
fn shown(events: &[serde_json::Value]) -> String {
    let pieces = shown_in(PLAIN_SCREEN, events);
    pieces.into_iter().map(|(Piece::Reply(text) | Piece::Aside(text) | Piece::Notice(text))| text).collect()
}

fn text(delta: &str, step: u32, offset: u64) -> serde_json::Value {
    json!({"type": "text", "delta": delta, "step": step, "offset": offset})
}

fn tool(id: &str, name: &str) -> serde_json::Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": {"expression": "2+2"}})
}

fn answer(id: &str, text: &str, is_error: bool) -> serde_json::Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": text}], "is_error": is_error})
}

fn done(reason: &str, text: &str) -> serde_json::Value {
    json!({"type": "done", "stop_reason": reason, "text": text})
}

fn usage(cost: Option<f64>) -> serde_json::Value {
    json!({"type": "usage", "provider": "p", "model": "m", "input_tokens": 1200, "output_tokens": 30,
        "cache_read_tokens": 100, "cache_write_tokens": 0, "cost_usd": cost, "estimated": false})
}

#[test]
fn how_far_a_tool_is_stands_in_place_of_its_line_until_it_answers() {
    let progress = |id: &str, done: u64, total: Option<u64>| json!({"type": "progress", "tool_use_id": id, "message": "pages\u{1b}[2J", "done": done, "total": total});
    let events = [
        tool("t1", "read"),
        progress("t1", 1, Some(1_200)),
        progress("t1", 2, None),
        progress("t0", 3, None),
        answer("t1", "done", false),
        progress("t1", 4, None),
    ];
    let screen = Style { colours: Colours::Shown, reply: Reply::Screen };
    let pieces = shown_in(screen, &events);
    let line: String =
        pieces.iter().map(|(Piece::Reply(text) | Piece::Aside(text) | Piece::Notice(text))| text.as_str()).collect();
    let plain = line.replace(DIM, "").replace(PLAIN, "");
    let right = "⚙ read {\"expression\":\"2+2\"}\r\u{1b}[K⚙ read 1 of 1,200 pages\\u{1b}[2J\
                 \r\u{1b}[K⚙ read 2 pages\\u{1b}[2J → done\n";
    assert_eq!(plain, right);
    // A file or a pipe has no line to take back.
    assert!(!shown(&events).contains("pages"));
}

#[test]
fn a_file_that_a_tool_made_is_shown_by_its_name() {
    let file = json!({"type": "file", "id": "f", "name": "a.csv", "mime_type": "text/csv", "size": 1234});
    let answer = json!({"type": "tool_result", "tool_use_id": "t1", "content": [file], "is_error": false});
    assert!(shown(&[tool("t1", "export"), answer]).ends_with(" → [file a.csv, 1,234 bytes]\n"));
}

#[test]
fn a_turn_with_a_tool_reads_from_top_to_bottom() {
    let events = [
        json!({"type": "queued"}),
        json!({"type": "started"}),
        json!({"type": "thinking", "delta": "Hm", "step": 0, "offset": 0}),
        json!({"type": "thinking", "delta": ", sums.", "step": 0, "offset": 2}),
        text("Let me ", 0, 0),
        text("see.", 0, 7),
        tool("t1", "calculate"),
        answer("t1", "4", false),
        usage(Some(0.01)),
        text("It is 4.", 1, 0),
        usage(Some(0.002)),
        done("end_turn", "Let me see.It is 4."),
    ];
    assert_eq!(
        shown(&events),
        "Hm, sums.\nLet me see.\n⚙ calculate {\"expression\":\"2+2\"} → 4\nIt is 4.\n\
         2,600 tokens in (200 cached), 60 out, $0.0120\n"
    );
    // A file gets the reply alone.
    let file = Style { colours: Colours::Plain, reply: Reply::File };
    let reply = shown_in(file, &events).into_iter().filter_map(|piece| match piece {
        Piece::Reply(text) => Some(text),
        _ => None,
    });
    assert_eq!(reply.collect::<String>(), "Let me see.\nIt is 4.\n");
}

#[test]
fn answers_of_parallel_calls_name_their_tool() {
    let events =
        [tool("a", "one"), tool("b", "two"), answer("b", "2\n3", false), answer("a", "no", true), done("end_turn", "")];
    assert_eq!(shown(&events), "⚙ one {\"expression\":\"2+2\"}\n⚙ two {\"expression\":\"2+2\"} → 2 3\n⚙ one ✗ no\n");
}

#[test]
fn a_replay_that_overlaps_adds_only_what_is_new() {
    let events =
        [text("Grüße", 0, 0), text("Grüße aus", 0, 0), text("aus Köln", 0, 8), text("s", 0, 8), done("end_turn", "x")];
    assert_eq!(shown(&events), "Grüße aus Köln\n");
    assert_eq!(shown(&[text("ab", 0, 0), text("ef", 0, 4)]), "ab[…]ef");
    // An offset inside a character, and one beyond all bounds.
    assert_eq!(shown(&[text("a", 0, 0), text("üb", 0, 0), text("", 0, u64::MAX), text("x", 0, u64::MAX)]), "ab[…]x");
}

#[test]
fn a_rewind_says_that_what_was_shown_does_not_count() {
    let rewind = json!({"type": "rewind", "step": 0});
    assert_eq!(
        shown(&[text("Hal", 0, 0), rewind.clone(), text("Hello", 0, 0), done("end_turn", "Hello")]),
        "Hal\n↺ that was cut off; once more:\nHello\n"
    );
    assert_eq!(shown(&[rewind, text("Hello", 0, 0)]), "Hello");
}

#[test]
fn a_reply_that_was_not_streamed_is_shown_at_the_end() {
    assert_eq!(shown(&[done("end_turn", "Hello")]), "Hello\n");
    assert_eq!(shown(&[text("a\n", 0, 0), done("aborted", "a\n")]), "a\n[stopped]\n");
    assert_eq!(
        shown(&[text("a", 0, 0), done("max_tokens", "a")]),
        "a\n[the answer reached max_tokens and ends here]\n"
    );
}

#[test]
fn a_cost_is_shown_only_where_all_of_it_is_known() {
    assert_eq!(shown(&[usage(Some(1.0)), usage(None), done("end_turn", "")]), "2,600 tokens in (200 cached), 60 out\n");
}

#[test]
fn an_error_ends_the_line_and_says_whether_to_try_again() {
    let error = json!({"type": "error", "code": -32004, "message": "overloaded", "retryable": true});
    assert_eq!(shown(&[text("Hal", 0, 0), error]), "Hal\nerror: overloaded (code -32004) Trying again may help.\n");
}

#[test]
fn no_stranger_controls_the_terminal() {
    let bad = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}";
    let events = [
        json!({"type": "thinking", "delta": bad, "step": 0, "offset": 0}),
        text(&format!("a\tb\r\n{bad}"), 0, 0),
        json!({"type": "tool_use", "id": "1", "name": bad, "input": {"a": "\u{9b}"}}),
        answer("1", bad, false),
        answer(bad, bad, true),
        json!({"type": "error", "code": -32004, "message": bad, "retryable": false}),
    ];
    let shown = shown(&events);
    assert!(!shown.chars().any(|c| text::is_deceptive(c) && !matches!(c, '\n' | '\t')), "{shown:?}");
    assert!(shown.contains("a\tb\n\\u{1b}]0;x"), "{shown}");
}

#[test]
fn colours_end_where_they_begin() {
    let style = Style { colours: Colours::Shown, reply: Reply::Screen };
    let pieces = shown_in(style, &[tool("a", "one"), answer("a", "no", true)]);
    assert_eq!(
        pieces,
        [
            Piece::Aside("\u{1b}[2m⚙ one {\"expression\":\"2+2\"}\u{1b}[0m".into()),
            Piece::Aside("\u{1b}[31m ✗ no\n\u{1b}[0m".into())
        ]
    );
}
