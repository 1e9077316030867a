//! What no honest client sends.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Gateway};

async fn gateway() -> Gateway {
    Gateway::builder().start().await
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("the gateway speaks JSON")
}

fn check(answer: &str, code: i64, id: Value) {
    let answer = parse(answer);
    assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
    assert_eq!(answer["error"]["code"], code, "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    assert!(answer.get("id").is_some(), "{answer}");
    assert_eq!(answer["id"], id, "{answer}");
    assert!(answer.get("result").is_none(), "{answer}");
}

#[tokio::test]
async fn what_is_not_json_or_no_request_is_answered_with_its_error() {
    let gateway = gateway().await;
    let mut client = Client::connect(&gateway).await;
    for text in ["", "{", "ping", "{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":1", "[1,2", "\"\\ud800", "{'id':1}"]
    {
        check(&client.exchange(text).await, -32700, Value::Null);
    }
    let no_requests = [
        ("1", Value::Null),
        ("null", Value::Null),
        ("\"ping\"", Value::Null),
        ("{}", Value::Null),
        (r#"{"id":7,"method":"ping"}"#, json!(7)),
        (r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#, json!(7)),
        (r#"{"jsonrpc":2.0,"id":7,"method":"ping"}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":7}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":7,"method":5}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":[7],"method":"ping"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":5}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":"x"}"#, json!(7)),
    ];
    for (text, id) in no_requests {
        check(&client.exchange(text).await, -32600, id);
    }
    client.ping().await;
}

#[tokio::test]
async fn wrong_methods_and_wrong_parameters_are_told_by_name() {
    let gateway = gateway().await;
    let mut client = Client::connect(&gateway).await;
    for method in ["", "pong", "rpc.none", "chat", "chat.send ", "Ping", &"x".repeat(10_000)] {
        assert_eq!(client.call(method, json!({})).await.expect_err("no such method").code, -32601, "{method}");
    }
    let wrong = [
        ("chat.send", json!({}), "content"),
        ("chat.send", json!({"content": 5}), ""),
        ("chat.send", json!({"content": null}), ""),
        ("chat.send", json!({"content": "x", "contnet": "y"}), "contnet"),
        ("chat.send", json!({"content": "x", "peer": 7}), ""),
        ("chat.send", json!({"content": "x", "peer": ""}), "peer"),
        ("chat.send", json!({"content": " \n "}), "empty"),
        ("chat.send", json!(["x"]), ""),
        ("chat.subscribe", json!({}), "session"),
        ("chat.subscribe", json!({"session": "default:websocket:local:main", "after_seq": -1}), ""),
        ("chat.subscribe", json!({"session": "default:websocket:local:main", "after_seq": "1"}), ""),
        ("chat.subscribe", json!({"session": "a:b"}), "session key"),
        ("chat.history", json!({"session": "default:websocket:local:main", "limit": 0}), ""),
        ("chat.history", json!({"session": "default:websocket:local:main", "limit": 501}), ""),
        ("chat.abort", json!({"session": "default:websocket:local:main", "turn": "nonsense"}), "turn"),
        ("ping", json!({"surprise": 1}), "surprise"),
    ];
    for (method, params, word) in wrong {
        let error = client.call(method, params.clone()).await.expect_err("wrong parameters");
        assert_eq!(error.code, -32602, "{method} {params}: {error:?}");
        let said = format!("{} {}", error.message, error.data);
        assert!(said.contains(word), "{word:?} in {said}");
    }
    client.ping().await;
}

#[tokio::test]
async fn ids_come_back_byte_for_byte() {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
        result: Value,
    }
    let gateway = gateway().await;
    let mut client = Client::connect(&gateway).await;
    let ids = [
        "1",
        "0",
        "-0",
        "1.0",
        "1e2",
        "1E+2",
        "-7.50",
        "18446744073709551616",
        "123456789012345678901234567890.5e-400",
        "null",
        "\"\"",
        "\"\\u00e9\"",
        "\"é\"",
        "\"\\/\"",
        "\"\\ud83e\\udd80\"",
        "\"a\\u0000b\"",
        "\"null\"",
    ];
    for id in ids {
        let text = client.exchange(&format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"ping"}}"#)).await;
        let answer: Answer<'_> = serde_json::from_str(&text).expect("an answer");
        assert_eq!(answer.id.get(), id, "{text}");
        assert_ne!(answer.result, Value::Null, "{text}");
    }
}

#[tokio::test]
async fn a_batch_is_answered_as_a_batch() {
    let gateway = gateway().await;
    let mut client = Client::connect(&gateway).await;
    let batch = r#"[
        {"jsonrpc":"2.0","id":"a","method":"ping"},
        {"jsonrpc":"2.0","method":"ping"},
        {"jsonrpc":"2.0","id":2,"method":"none"},
        5,
        {"jsonrpc":"2.0","id":3,"method":"ping","params":{"x":1}},
        {"jsonrpc":"2.0","id":4,"method":"status"},
        []
    ]"#;
    let answers = parse(&client.exchange(batch).await);
    let answers = answers.as_array().expect("a batch");
    let of = |id: Value| answers.iter().filter(|answer| answer["id"] == id).collect::<Vec<_>>();
    assert_eq!(answers.len(), 6, "one for each but the notification: {answers:?}");
    assert!(of(json!("a"))[0].get("result").is_some());
    assert_eq!(of(json!(2))[0]["error"]["code"], -32601);
    assert_eq!(of(json!(3))[0]["error"]["code"], -32602);
    assert!(of(json!(4))[0].get("result").is_some());
    let invalid = of(Value::Null);
    assert!(invalid.len() == 2 && invalid.iter().all(|answer| answer["error"]["code"] == -32600), "{invalid:?}");
}

#[tokio::test]
async fn a_batch_has_from_1_to_32_requests() {
    let gateway = gateway().await;
    let mut client = Client::connect(&gateway).await;
    let batch = |size: usize| {
        let requests: Vec<_> = (0..size).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "ping"})).collect();
        Value::from(requests).to_string()
    };
    check(&client.exchange("[]").await, -32600, Value::Null);
    check(&client.exchange(&batch(33)).await, -32600, Value::Null);
    let answers = parse(&client.exchange(&batch(32)).await);
    assert_eq!(answers.as_array().map(Vec::len), Some(32));
}

#[tokio::test]
async fn notifications_get_no_answer_whatever_they_say() {
    let gateway = gateway().await;
    let mut client = Client::connect(&gateway).await;
    for text in [
        r#"{"jsonrpc":"2.0","method":"ping"}"#,
        r#"{"jsonrpc":"2.0","method":"none"}"#,
        r#"{"jsonrpc":"2.0","method":"chat.send","params":{"contnet":"x"}}"#,
        r#"[{"jsonrpc":"2.0","method":"ping"},{"jsonrpc":"2.0","method":"none"}]"#,
    ] {
        client.send_text(text).await;
    }
    // The next message is the answer to this.
    check(&client.exchange(r#"{"jsonrpc":"2.0","id":"last","method":"none"}"#).await, -32601, json!("last"));
}

#[tokio::test]
async fn hostile_frames_end_their_own_connection_alone() {
    let limits = "[limits]\ncontent = \"16KiB\"";
    let gateway = Gateway::builder().gateway("max_message = \"64KiB\"").tables(limits).start().await;
    let mut honest = Client::connect(&gateway).await;
    honest.ping().await;

    let mut huge = Client::connect(&gateway).await;
    // The head of a masked text frame that announces a gibibyte (RFC 6455, section 5.2).
    huge.send_bytes(&[0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4]).await;
    assert_eq!(u16::from(huge.closed().await.code), 1009);

    let mut fragmented = Client::connect(&gateway).await;
    // Fragments that are small, of a message that is not.
    let fragment = |opcode: u8| {
        let mut frame = vec![opcode, 0xfe, 0x40, 0, 0, 0, 0, 0];
        frame.extend([b' '; 0x4000]);
        frame
    };
    fragmented.send_bytes(&fragment(0x01)).await;
    for _ in 0..4 {
        fragmented.send_bytes(&fragment(0x00)).await;
    }
    assert_eq!(u16::from(fragmented.closed().await.code), 1009);

    let mut binary = Client::connect(&gateway).await;
    binary.send_message(Message::binary(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_vec())).await;
    assert_eq!(u16::from(binary.closed().await.code), 1003);

    let mut broken = Client::connect(&gateway).await;
    broken.send_text_frame(b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\xfe\",\"method\":\"ping\"}").await;
    assert_eq!(u16::from(broken.closed().await.code), 1007);

    let mut unmasked = Client::connect(&gateway).await;
    unmasked.send_bytes(&[0x81, 0x02, b'{', b'}']).await;
    assert_eq!(u16::from(unmasked.closed().await.code), 1002);

    let mut reserved = Client::connect(&gateway).await;
    reserved.send_bytes(&[0x83, 0x80, 0, 0, 0, 0]).await;
    assert_eq!(u16::from(reserved.closed().await.code), 1002);

    // Half a frame, and gone.
    let mut half = Client::connect(&gateway).await;
    half.send_bytes(&[0x81, 0xfe, 0x10]).await;
    drop(half);

    honest.ping().await;
    Client::connect(&gateway).await.ping().await;
}

#[tokio::test]
async fn a_message_larger_than_the_limit_is_refused_and_the_connection_stays() {
    let gateway = Gateway::builder().argument("--demo").tables("[limits]\ncontent = \"1KiB\"").start().await;
    let mut client = Client::connect(&gateway).await;
    let error = client.call("chat.send", json!({"content": "é".repeat(513)})).await.expect_err("too large");
    assert_eq!(error.code, -32006, "{error:?}");
    assert!(error.message.contains("1026") && error.message.contains("1KiB"), "{error:?}");
    assert_eq!(client.ask(&"é".repeat(512)).await.done()["stop_reason"], "end_turn");
}

#[tokio::test]
async fn deep_json_is_refused_and_not_followed() {
    let gateway = gateway().await;
    let mut client = Client::connect(&gateway).await;
    let deep = "[".repeat(100_000);
    check(&client.exchange(&deep).await, -32700, Value::Null);
    let params = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"chat.send","params":{{"content":{params}}}}}"#);
    let answer = parse(&client.exchange(&text).await);
    assert!([-32700, -32600, -32602].contains(&answer["error"]["code"].as_i64().expect("a code")), "{answer}");
    client.ping().await;
}
