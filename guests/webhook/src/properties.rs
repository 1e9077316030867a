//! What holds of every template and everything that is filled in.

use std::collections::BTreeMap;

use exoclaw_guest::Request;
use exoclaw_guest::channel::{Address, Body, Content, Event, Next, Outgoing, Piece};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::reply::{self, Progress};
use crate::settings::WebhookSettings;
use crate::template::{Event as Seen, Reading, Writing};
use crate::{incoming, shape};

/// Any JSON that is not too deep.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("id|sender|peer|text|x|a/b|~", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Texts that look like what they must not become.
fn text() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "{",
        "}",
        "secret:key",
        "{secret:key}",
        "/x",
        "\"",
        "\\",
        "..",
        "/",
        "?",
        "#",
        "\r\n",
        "é",
        "\0",
        "%2e",
    ]);
    prop_oneof![any::<String>(), prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())]
}

fn settings() -> WebhookSettings {
    serde_json::from_value(json!({"reply": {
        "base_url": "https://api.example/v1",
        "path": "/rooms/{/x}/messages?to={peer}",
        "headers": [{"name": "x-room", "value": "{/x}"}],
        "body": {"text": "to {peer}: {text}", "key": "k{secret:key}", "x": "{/x}"},
    }}))
    .unwrap()
}

proptest! {
    #[test]
    fn every_template_is_read_or_refused(template in text(), body in value()) {
        if let Ok(reading) = Reading::try_from(template.clone()) {
            reading.of(&Seen { body: &body, headers: &[] });
        }
        let _ = Writing::try_from(template);
    }

    #[test]
    fn a_text_with_its_braces_doubled_stands_for_itself(text in text()) {
        let template = text.replace('{', "{{").replace('}', "}}");
        prop_assert_eq!(Reading::try_from(template).unwrap().of(&Seen { body: &Value::Null, headers: &[] }), text);
    }

    /// Whatever a platform sends becomes a whole message, nothing or an error.
    #[test]
    fn every_body_is_survived(body in prop_oneof![value().prop_map(|value| value.to_string()), any::<String>()]) {
        let request = Request { method: "POST".into(), url: "/".into(), headers: vec![], body: body.into_bytes() };
        if let Ok(received) = incoming::receive(&settings(), Event::Webhook(request)) {
            for message in received.messages {
                prop_assert!(!message.event_id.is_empty() && !message.sender.id.is_empty() && !message.address.peer.is_empty());
                prop_assert!(received.state.is_some());
            }
        }
    }

    /// Whatever is filled in, the request goes where the settings say, and its body is the JSON that
    /// the settings say, with that one secret in its one place.
    #[test]
    fn nothing_that_is_filled_in_leaves_its_place(room in text(), peer in text(), said in text()) {
        let outgoing = Outgoing {
            id: "a".repeat(20),
            created_at: 0,
            address: Address { account: None, peer: peer.clone(), guild: None, team: None, thread: None },
            handle: Some(json!({"/x": room}).to_string().into_bytes()),
            reply_to: None,
            content: Content::Markdown(said.clone()),
        };
        let Next::Request(limited) = reply::next(settings().reply.as_ref(), &outgoing, Progress::default()).unwrap().next else {
            prop_assert!(room.is_empty() || room == "." || room == "..");
            return Ok(());
        };
        let [Piece::Text(url)] = &limited.request.url[..] else { panic!("an address without secrets") };
        let path = url.strip_prefix("https://api.example/v1/rooms/").unwrap();
        let (path, query) = path.split_once('?').unwrap();
        prop_assert!(path.ends_with("/messages") && path.matches('/').count() == 1 && path.is_ascii());
        prop_assert!(query.starts_with("to=") && !query[3..].contains(['&', '=', '#', '/']));
        for (_, value) in &limited.request.headers {
            prop_assert!(matches!(&value[..], [Piece::Text(text)] if !text.chars().any(char::is_control)));
        }
        let Body::Text(pieces) = &limited.request.body else { panic!("JSON") };
        let secrets = pieces.iter().filter(|piece| matches!(piece, Piece::Secret(name) if name == "key")).count();
        prop_assert_eq!((secrets, pieces.len()), (1, 3));
        let body: String = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Secret(_) => "!",
        }).collect();
        prop_assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"text": format!("to {peer}: {said}"), "key": "k!", "x": room}));
    }

    /// A document without places is written as it is.
    #[test]
    fn a_constant_document_is_itself(value in value()) {
        fn doubled(value: Value) -> Value {
            match value {
                Value::String(text) => text.replace('{', "{{").replace('}', "}}").into(),
                Value::Array(items) => items.into_iter().map(doubled).collect(),
                Value::Object(members) => members.into_iter().map(|(name, value)| (name, doubled(value))).collect(),
                other => other,
            }
        }
        let shape = shape::Shape::try_from(doubled(value.clone())).unwrap();
        let answer = crate::template::Answer { text: "", peer: "", thread: "", id: "", event: &BTreeMap::new() };
        let [Piece::Text(text)] = &shape.filled(&answer)[..] else { panic!("one text") };
        prop_assert_eq!(serde_json::from_str::<Value>(text).unwrap(), value);
    }
}
