use super::*;

fn single(text: &str) -> Entry {
    match parse(text) {
        Incoming::Single(entry) => entry,
        Incoming::Batch(entries) => panic!("a batch of {}", entries.len()),
    }
}

/// The id and the code of the answer to what is no request.
fn refused(text: &str) -> (String, i32) {
    let invalid = single(text).expect_err("refused");
    (invalid.id.0.get().to_owned(), invalid.error.code())
}

#[test]
fn ids_of_every_type_keep_their_own_bytes() {
    for id in [r#""a""#, r#""\u0041 \/""#, "1", "-0", "1.50", "1e400", "123456789012345678901234567890", "null"] {
        let request = single(&format!(r#"{{"jsonrpc":"2.0","method":"m","id": {id} }}"#)).expect("a request");
        assert_eq!(request.id.map(|id| id.0.get().to_owned()).as_deref(), Some(id));
    }
}

#[test]
fn a_request_without_id_is_a_notification() {
    let request = single(r#"{"jsonrpc":"2.0","method":"m"}"#).expect("a request");
    assert!(request.id.is_none() && request.params.is_none());
}

#[test]
fn what_is_no_json_is_told_from_what_is_no_request() {
    for text in
        ["", "{", "[", "[1,", "{} x", "nul", "{\"jsonrpc\": \"2.0\", \"method\"", "\u{feff}{}", "[1] 2", "{'a':1}"]
    {
        assert_eq!(refused(text), ("null".into(), PARSE_ERROR), "{text}");
    }
    // The second mistake is in the syntax, and is what counts.
    assert_eq!(refused(r#"{"id":1,"id":2,]"#), ("null".into(), PARSE_ERROR));
    for text in ["1", "null", "\"x\"", "true", "{}", r#"{"foo":"boo"}"#, r#"{"id":1,"id":2}"#, "[]"] {
        assert_eq!(refused(text), ("null".into(), -32600), "{text}");
    }
}

#[test]
fn a_broken_request_is_answered_under_its_id_where_it_has_one() {
    for (text, id) in [
        (r#"{"method":"m","id":7}"#, "7"),
        (r#"{"jsonrpc":"1.0","method":"m","id":"x"}"#, r#""x""#),
        (r#"{"jsonrpc":2.0,"method":"m","id":7}"#, "7"),
        (r#"{"jsonrpc":"2.0","id":7}"#, "7"),
        (r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#, "null"),
        (r#"{"jsonrpc":"2.0","method":null,"id":7}"#, "7"),
        (r#"{"jsonrpc":"2.0","method":"m","params":"bar","id":7}"#, "7"),
        (r#"{"jsonrpc":"2.0","method":"m","params":null,"id":7}"#, "7"),
        (r#"{"jsonrpc":"2.0","method":"m","id":{}}"#, "null"),
        (r#"{"jsonrpc":"2.0","method":"m","id":[1]}"#, "null"),
        (r#"{"jsonrpc":"2.0","method":"m","id":true}"#, "null"),
    ] {
        assert_eq!(refused(text), (id.into(), -32600), "{text}");
    }
}

#[test]
fn escapes_in_member_values_are_read() {
    assert_eq!(single(r#"{"jsonrpc":"2.\u0030","method":"\u006d","id":1}"#).expect("a request").method, "m");
}

#[test]
fn a_batch_holds_requests_and_what_is_none_side_by_side() {
    let Incoming::Batch(entries) = parse(r#" [1, {"jsonrpc":"2.0","method":"m","id":1}, [], {"id":5}]"#) else {
        panic!("no batch");
    };
    let ids: Vec<_> = entries.iter().map(|entry| entry.as_ref().err().map(|invalid| invalid.id.0.get())).collect();
    assert_eq!(ids, [Some("null"), None, Some("null"), Some("5")]);
}

#[test]
fn a_batch_is_bounded_before_it_is_read() {
    let batch = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    assert!(matches!(parse(&batch(MAX_BATCH)), Incoming::Batch(entries) if entries.len() == MAX_BATCH));
    assert_eq!(refused(&batch(MAX_BATCH + 1)), ("null".into(), -32600));
    assert_eq!(refused(&batch(500_000)), ("null".into(), -32600));
}

#[test]
fn depth_is_no_danger() {
    let deep = "[".repeat(1_000_000);
    assert_eq!(refused(&deep), ("null".into(), PARSE_ERROR));
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let request = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{nested},"id":1}}"#);
    assert_eq!(single(&request).expect("a request").params.map(|params| params.get().len()), Some(200_000));
    assert_eq!(refused(&format!(r#"{{"jsonrpc":"2.0","method":"m","id":{nested}}}"#)), ("null".into(), -32600));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[\\[\\]{}\",:0-9a-z\\\\\" ]{0,80}|\\PC{0,40}") {
        let _ = parse(&text);
    }
}
