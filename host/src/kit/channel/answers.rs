//! Good answers to a delivery's requests.

use serde_json::json;

use crate::runtime::bindings::channel::{Outcome, Response, Setup};
use crate::runtime::bindings::types::Header;

/// The platform's number of the message that an answer is about. It stands in nothing that the kit sends otherwise.
pub(super) fn id(number: usize) -> String {
    (7_700_000_001 + number).to_string()
}

/// A 2xx in which a channel of nearly any platform finds what it looks for: the kit knows none of them. `number` makes
/// its ids its own.
pub(super) fn kind(setup: &Setup, number: usize) -> Outcome {
    let id = id(number);
    let whole: u64 = id.parse().unwrap_or_default();
    let origin = setup.origins.first().map_or("https://a.invalid", String::as_str);
    let body = json!({
        "ok": true,
        // Telegram.
        "result": { "message_id": whole, "date": 1, "chat": { "id": 1, "type": "private" } },
        // Discord.
        "id": id, "channel_id": "1",
        // Slack.
        "ts": format!("{id}.000100"), "channel": "C1", "message": { "ts": format!("{id}.000100") },
        "file_id": format!("F{id}"), "upload_url": format!("{origin}/upload/{id}"),
        "files": [{ "id": format!("F{id}") }],
        // WhatsApp.
        "messages": [{ "id": format!("wamid.{id}") }],
        // Matrix.
        "event_id": format!("${id}"),
    });
    let headers = vec![Header { name: "content-type".into(), value: "application/json".into() }];
    Ok(Response { status: 200, headers, body: body.to_string().into_bytes() })
}
