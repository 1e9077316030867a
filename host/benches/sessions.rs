//! What sessions with a history hold of memory: so many turns in each of so many sessions, over
//! the wire, with the scripted model in the same process.
#![allow(missing_docs, clippy::expect_used)]

mod support;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

const SESSIONS: usize = 1_000;
const TURNS: usize = 10;

#[tokio::main]
async fn main() {
    let (_model, address) = support::scripted().await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/ws")).await.expect("the gateway");

    let mut before = 0;
    for turn in 0..TURNS {
        for session in 0..SESSIONS {
            let params = json!({ "content": format!("message {turn}, which is one line long as most are"),
                "peer": format!("peer-{session}") });
            let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "chat.send", "params": params });
            socket.send(Message::text(request.to_string())).await.expect("sent");
            while let Some(message) = socket.next().await {
                if message.expect("a message").into_text().expect("text").contains(r#""type":"done""#) {
                    break;
                }
            }
            if turn == 0 && session == 0 {
                before = support::resident();
            }
        }
    }
    let after = support::resident();
    println!("{SESSIONS} sessions of {TURNS} turns: {before} KiB before, {after} KiB after");
    println!("{:.1} KiB a session", (after.saturating_sub(before)) as f64 / SESSIONS as f64);
}
