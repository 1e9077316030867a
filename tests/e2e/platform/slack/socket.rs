//! Socket Mode: events in envelopes, each until it is acknowledged.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::APP;
use crate::platform::check::{Kind, check, may, need, object};
use crate::platform::desk::{Desk, Seen};
use crate::platform::server::{Answer, Request, Socket};

/// What waits, and how the connections fare.
pub(crate) struct SocketMode {
    state: watch::Sender<State>,
    tickets: Mutex<Vec<String>>,
    /// Envelopes that were acknowledged, in order.
    acknowledged: Seen<String>,
    /// Connections, in order.
    hellos: Seen<u64>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    connection: u64,
    /// Not acknowledged yet; with how often each was sent, and when this connection sent it.
    waiting: VecDeque<Envelope>,
    /// What the newest connection is to do.
    order: Option<Order>,
}

#[derive(Debug)]
struct Envelope {
    id: String,
    payload: Value,
    sent: u32,
    by: u64,
    again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Says that the connection will end, and waits for a new one.
    Refresh,
    Cut,
}

impl Default for SocketMode {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::default()),
            tickets: Mutex::default(),
            acknowledged: Seen::default(),
            hellos: Seen::default(),
        }
    }
}

impl SocketMode {
    /// Asks the app to connect anew.
    pub(crate) fn refreshes(&self) {
        self.state.send_modify(|state| state.order = Some(Order::Refresh));
    }

    /// Ends the connection without a word.
    pub(crate) fn cuts(&self) {
        self.state.send_modify(|state| state.order = Some(Order::Cut));
    }

    /// Sends all that waits for its acknowledgement once more.
    pub(crate) fn repeats(&self) {
        self.state.send_modify(|state| state.waiting.iter_mut().for_each(|envelope| envelope.again = true));
    }

    pub(crate) fn acknowledged(&self) -> &Seen<String> {
        &self.acknowledged
    }

    /// Waits until an app has connected so often.
    pub(crate) async fn connected(&self, times: usize) {
        self.hellos.until(&format!("{times} connections in Socket Mode"), |hellos| hellos.len() >= times).await;
    }

    /// Waits until nothing waits to be acknowledged.
    pub(crate) async fn all_acknowledged(&self) {
        let mut state = self.state.subscribe();
        let done = state.wait_for(|state| state.waiting.is_empty());
        crate::harness::within("all envelopes are acknowledged", done).await.expect("the sender lives");
    }

    /// A URL's query for one connection.
    pub(super) fn ticket(&self) -> String {
        let mut tickets = self.tickets.lock().expect("no poison");
        let ticket = format!("ticket-{:08}", tickets.len());
        tickets.push(ticket.clone());
        format!("/link/?ticket={ticket}&app_id={APP}")
    }

    pub(super) fn offers(&self, payload: Value) {
        self.state.send_modify(|state| {
            state.next += 1;
            let id = format!("{:08}-aaaa-bbbb-cccc-000000000000", state.next);
            state.waiting.push_back(Envelope { id, payload, sent: 0, by: 0, again: false });
        });
    }

    pub(super) fn admits(&self, desk: &Desk, request: &Request) -> Result<(), Answer> {
        let mut tickets = self.tickets.lock().expect("no poison");
        let known = request.query("ticket").and_then(|ticket| tickets.iter().position(|known| known == ticket));
        match known {
            Some(index) if request.path == "/link/" && request.query("app_id") == Some(APP) => {
                // A ticket is good for one connection.
                tickets[index].push_str(" (used)");
                Ok(())
            }
            _ => {
                desk.violation(format!("no ticket opens {}?{:?}", request.path, request.query));
                Err(Answer::empty(403))
            }
        }
    }

    pub(super) async fn converse(&self, desk: &Desk, mut socket: Socket) {
        let mut mine = 0;
        self.state.send_modify(|state| {
            state.connection += 1;
            state.order = None;
            mine = state.connection;
        });
        let hello = json!({
            "type": "hello", "num_connections": 1, "connection_info": {"app_id": APP},
            "debug_info": {"host": "applink-1", "build_number": 1, "approximate_connection_time": 18_060},
        });
        if socket.send(Message::text(hello.to_string())).await.is_err() {
            return;
        }
        self.hellos.push(mine);
        let mut changes = self.state.subscribe();
        let mut refreshing = false;
        loop {
            let (mut out, mut cut) = (Vec::new(), false);
            self.state.send_if_modified(|state| {
                if state.connection == mine {
                    match state.order.take() {
                        Some(Order::Refresh) => {
                            refreshing = true;
                            let info = json!({"host": "applink-1"});
                            out.push(json!({"type": "disconnect", "reason": "refresh_requested", "debug_info": info}));
                        }
                        Some(Order::Cut) => cut = true,
                        None => {}
                    }
                }
                // What is to be sent waits for the new connection.
                if state.connection == mine && !refreshing {
                    for envelope in state.waiting.iter_mut().filter(|envelope| envelope.by != mine || envelope.again) {
                        out.push(json!({
                            "envelope_id": envelope.id, "payload": envelope.payload, "type": "events_api",
                            "accepts_response_payload": false, "retry_attempt": envelope.sent,
                            "retry_reason": if envelope.sent == 0 { "" } else { "timeout" },
                        }));
                        (envelope.sent, envelope.by, envelope.again) = (envelope.sent + 1, mine, false);
                    }
                }
                false
            });
            if cut {
                return;
            }
            for payload in out {
                if socket.send(Message::text(payload.to_string())).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => self.hears(desk, text.as_str()),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_))) => {
                        let _ = socket.flush().await;
                        return;
                    }
                    Some(Ok(other)) => desk.violation(format!("Socket Mode has text frames, not {other:?}")),
                    Some(Err(_)) | None => return,
                },
            }
        }
    }

    fn hears(&self, desk: &Desk, text: &str) {
        let read = object(text.as_bytes());
        let held = read.and_then(|frame| {
            check(&frame, &[need("envelope_id", Kind::Text), may("payload", Kind::Any)])?;
            Ok(frame["envelope_id"].as_str().unwrap_or_default().to_owned())
        });
        match held {
            Err(why) => desk.violation(format!("no acknowledgement: {why}: {text}")),
            Ok(id) => {
                let mut known = false;
                self.state.send_modify(|state| {
                    let before = state.waiting.len();
                    state.waiting.retain(|envelope| envelope.id != id);
                    known = state.waiting.len() < before;
                });
                // What was sent twice may be acknowledged twice.
                if !known && self.acknowledged.count(|other| *other == id) == 0 {
                    desk.violation(format!("no envelope {id} was sent"));
                }
                self.acknowledged.push(id);
            }
        }
    }
}
