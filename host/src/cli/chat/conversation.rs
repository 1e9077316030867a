//! One conversation with a gateway: messages out, turns back, over as many connections as it takes.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::super::CliError;
use super::super::client::{Client, ClientError, Incoming, RpcError, Target};
use super::view::View;
use crate::store::{DoneReason, ErrorCode, Event, EventBody, Seq, SessionKey, TurnError, TurnId};

/// Waits between attempts to get back to a gateway in the middle of a turn: 32 s in all.
const BACKOFF: [Duration; 7] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_500),
    Duration::from_secs(4),
    Duration::from_secs(6),
    Duration::from_secs(10),
    Duration::from_secs(10),
];

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// With a reply, whole or not.
    Done(DoneReason),
    /// With an error, which has been shown.
    Failed,
    /// The person did not wait for its end.
    Left,
}

/// Who talks with whom.
#[derive(Debug, Clone)]
pub(super) struct Parties {
    pub(super) peer: String,
    pub(super) agent: Option<String>,
}

/// A conversation.
pub(super) struct Conversation {
    target: Target,
    parties: Parties,
    client: Option<Client>,
    session: Option<SessionKey>,
    backoff: &'static [Duration],
}

/// A turn that was accepted.
#[derive(Debug, Clone, Deserialize)]
struct Accepted {
    turn: TurnId,
    session: SessionKey,
}

/// A turn, as far as it was seen.
struct Turn {
    accepted: Accepted,
    seen: Option<Seq>,
    /// The turn was asked to stop.
    stopping: bool,
}

/// What to do after a message of the gateway's.
enum Next {
    Wait,
    Resume,
    End(Outcome),
}

impl Conversation {
    /// Connects.
    pub(super) async fn open(target: Target, parties: Parties) -> Result<Self, ClientError> {
        let client = Client::connect(&target).await?;
        Ok(Self { target, parties, client: Some(client), session: None, backoff: &BACKOFF })
    }

    /// The session, as soon as a message was accepted; until then, the likely one.
    pub(super) fn session(&self) -> Option<SessionKey> {
        let agent = self.parties.agent.as_deref().unwrap_or("default");
        self.session.clone().or_else(|| SessionKey::new(agent, "websocket", "local", &self.parties.peer).ok())
    }

    /// Lets the agent forget the session's past.
    pub(super) async fn reset(&mut self) -> Result<(), ClientError> {
        let session = self.session();
        let client = self.connection().await?;
        client.call("session.reset", &json!({ "session": session })).await.map(drop)
    }

    /// Waits until the connection ends, answering the gateway's pings meanwhile. A lost one is
    /// made anew with the next message.
    pub(super) async fn idle(&mut self) {
        while let Some(client) = &mut self.client {
            if client.next().await.is_err() {
                self.client = None;
            }
        }
        std::future::pending().await
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        if let Some(client) = self.client {
            client.close().await;
        }
    }

    /// Sends a message and shows its turn until it ends. The first interrupt asks the gateway to
    /// stop the turn, the second one leaves it.
    pub(super) async fn say(
        &mut self,
        content: &str,
        view: &mut View,
        interrupts: &mut mpsc::Receiver<()>,
    ) -> Result<Outcome, CliError> {
        view.begin();
        let key = idempotency_key()?;
        let sent = tokio::select! {
            sent = self.send(content, &key) => sent,
            Some(()) = interrupts.recv() => return Ok(Outcome::Left),
        };
        let accepted = match sent {
            Ok(accepted) => accepted,
            Err(ClientError::Rpc(refusal)) => {
                view.failed(&turn_error(refusal)).await?;
                return Ok(Outcome::Failed);
            }
            Err(error) => return Err(error.into()),
        };
        let mut turn = Turn { accepted, seen: None, stopping: false };
        loop {
            let incoming = tokio::select! {
                biased;
                Some(()) = interrupts.recv() => {
                    if turn.stopping {
                        return Ok(Outcome::Left);
                    }
                    turn.stopping = true;
                    view.notice("stopping…").await?;
                    self.abort(&turn).await
                }
                incoming = next(&mut self.client) => incoming.map(Some),
            };
            let step = match incoming {
                Ok(Some(incoming)) => turn.hear(incoming, view).await?,
                Ok(None) => Next::Wait,
                Err(error) if error.is_passing() => Next::Resume,
                Err(error) => return Err(error.into()),
            };
            match step {
                Next::Wait => {}
                Next::End(outcome) => return Ok(outcome),
                Next::Resume => {
                    let resumed = tokio::select! {
                        resumed = self.resume(&turn, content, &key) => resumed,
                        Some(()) = interrupts.recv() => return Ok(Outcome::Left),
                    };
                    match resumed {
                        Ok(()) => {}
                        Err(ClientError::Rpc(refusal)) => {
                            view.failed(&turn_error(refusal)).await?;
                            return Ok(Outcome::Failed);
                        }
                        Err(error) => return Err(error.into()),
                    }
                    // The connection may have broken before the gateway heard it.
                    if turn.stopping && self.abort(&turn).await.is_err() {
                        self.client = None;
                    }
                }
            }
        }
    }

    /// Sends the message, over a new connection where the old one is lost. The key keeps it from
    /// being taken for two.
    async fn send(&mut self, content: &str, key: &str) -> Result<Accepted, ClientError> {
        let mut waits = self.backoff.iter();
        loop {
            match self.try_send(content, key).await {
                Err(error) if error.is_passing() && !matches!(error, ClientError::Unreachable { .. }) => {
                    self.client = None;
                    let Some(&wait) = waits.next() else { return Err(error) };
                    sleep(wait).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_send(&mut self, content: &str, key: &str) -> Result<Accepted, ClientError> {
        let mut params = json!({ "content": content, "peer": self.parties.peer, "idempotency_key": key });
        if let Some(agent) = &self.parties.agent {
            params["agent"] = json!(agent);
        }
        let answer = self.connection().await?.call("chat.send", &params).await?;
        let accepted: Accepted = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
        self.session = Some(accepted.session.clone());
        Ok(accepted)
    }

    async fn abort(&mut self, turn: &Turn) -> Result<Option<Incoming>, ClientError> {
        let params = json!({ "session": turn.accepted.session, "turn": turn.accepted.turn });
        // A lost connection is noticed by the next read, and the abort repeated.
        if let Some(client) = &mut self.client {
            client.send("chat.abort", &params).await?;
        }
        Ok(None)
    }

    /// Goes on with a turn where its display ended.
    async fn resume(&mut self, turn: &Turn, content: &str, key: &str) -> Result<(), ClientError> {
        let mut waits = self.backoff.iter();
        loop {
            let attempt = match turn.seen {
                // Its events come again with the repeated message.
                None => self.try_send(content, key).await.map(drop),
                Some(seen) => {
                    let params = json!({ "session": turn.accepted.session, "after_seq": seen });
                    match self.connection().await {
                        Ok(client) => client.call("chat.subscribe", &params).await.map(drop),
                        Err(error) => Err(error),
                    }
                }
            };
            match attempt {
                Err(error) if error.is_passing() => {
                    self.client = None;
                    let Some(&wait) = waits.next() else { return Err(error) };
                    sleep(wait).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn connection(&mut self) -> Result<&mut Client, ClientError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.target).await?,
        };
        Ok(self.client.insert(client))
    }
}

/// The next of a connection's messages, or that it is lost.
async fn next(client: &mut Option<Client>) -> Result<Incoming, ClientError> {
    let Some(open) = client else { return Err(ClientError::closed()) };
    let incoming = open.next().await;
    if incoming.is_err() {
        *client = None;
    }
    incoming
}

impl Turn {
    async fn hear(&mut self, incoming: Incoming, view: &mut View) -> Result<Next, CliError> {
        let notification = match incoming {
            Incoming::Answer { outcome: Err(error), .. } if self.stopping => {
                view.notice(&format!("the gateway does not stop it: {error}")).await?;
                return Ok(Next::Wait);
            }
            Incoming::Answer { .. } => return Ok(Next::Wait),
            Incoming::Notification(notification) => notification,
        };
        match notification.method.as_str() {
            "chat.event" => self.event(&notification.params, view).await,
            "chat.lagged" => Ok(Next::Resume),
            _ => Ok(Next::Wait),
        }
    }

    async fn event(&mut self, raw: &RawValue, view: &mut View) -> Result<Next, CliError> {
        // A newer gateway may tell more than this client knows.
        let Ok(event) = serde_json::from_str::<Event>(raw.get()) else { return Ok(Next::Wait) };
        if event.turn != self.accepted.turn || self.seen.is_some_and(|seen| event.seq <= seen) {
            return Ok(Next::Wait);
        }
        self.seen = Some(event.seq);
        view.event(raw, &event).await?;
        Ok(match event.body {
            EventBody::Done { stop_reason, .. } => Next::End(Outcome::Done(stop_reason)),
            EventBody::Error(_) => Next::End(Outcome::Failed),
            _ => Next::Wait,
        })
    }
}

/// A refusal, as turns tell it.
fn turn_error(error: RpcError) -> TurnError {
    let code = ErrorCode::from_number(error.code).unwrap_or(ErrorCode::Internal);
    TurnError::new(code, error.message, code == ErrorCode::Busy)
}

/// 128 bits of chance, in hex.
fn idempotency_key() -> Result<String, CliError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::failed(format!("the system gives no randomness: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
