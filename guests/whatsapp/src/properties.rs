//! What holds of every payload.

use exoclaw_guest::Request;
use exoclaw_guest::channel::Event;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{WhatsAppSettings, incoming};

fn odd() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("18446744073709551615"),
        json!("wamid.\0"),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"id": "1"}),
        json!("text"),
        json!("unsupported"),
    ])
}

/// Another value in place of the one at a random place.
fn spoil(value: &mut Value, path: &mut impl Iterator<Item = usize>, odd: Value) {
    let count = value.as_array().map_or(0, Vec::len) + value.as_object().map_or(0, serde_json::Map::len);
    match path.next() {
        Some(index) if count > 0 && index % 16 != 0 => {
            let inner = match value {
                Value::Array(items) => items.iter_mut().nth(index % count),
                Value::Object(members) => members.values_mut().nth(index % count),
                _ => None,
            };
            spoil(inner.unwrap(), path, odd);
        }
        _ => *value = odd,
    }
}

proptest! {
    /// Calls that are nearly as the platform makes them give whole messages, or fewer.
    #[test]
    fn every_payload_is_survived(call in 0usize..64, path in prop::collection::vec(any::<usize>(), 1..12), odd in odd()) {
        let golden: Vec<Value> = serde_json::from_str(include_str!("../golden/events.json")).unwrap();
        let calls: Vec<_> = golden.iter().filter_map(|event| event.get("webhook")).collect();
        let mut body = calls[call % calls.len()]["body"].clone();
        spoil(&mut body, &mut path.into_iter(), odd);
        let request = Request { method: "POST".into(), url: "/".into(), headers: vec![], body: body.to_string().into() };
        if let Ok(received) = incoming::receive(&WhatsAppSettings::default(), Event::Webhook(request)) {
            for message in &received.messages {
                prop_assert!(!message.event_id.is_empty() && !message.id.is_empty());
                prop_assert!(!message.address.peer.is_empty() && !message.sender.id.is_empty());
                prop_assert!(message.attachments.iter().all(|attachment| attachment.mime_type.contains('/')));
            }
            prop_assert!(received.receipts.iter().all(|receipt| !receipt.id.is_empty()));
            prop_assert!(received.messages.is_empty() || received.state.is_some());
        }
    }

    #[test]
    fn every_text_is_survived(body: String) {
        let request = Request { method: "POST".into(), url: "/".into(), headers: vec![], body: body.into() };
        let _ = incoming::receive(&WhatsAppSettings::default(), Event::Webhook(request));
    }
}
