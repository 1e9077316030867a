//! The platform of the test guest `sender`: polls that are answered as the test says, and messages.

use std::collections::VecDeque;

use serde_json::json;
use tokio::sync::watch;

use super::desk::{Desk, Seen};
use super::server::{Answer, Platform, Request, Scheme, Server};

/// The platform, as long as this lives.
pub(crate) type Plain = Server<Api>;

pub(crate) struct Api {
    desk: Desk,
    commands: watch::Sender<VecDeque<String>>,
    messages: Seen<String>,
}

impl Plain {
    pub(crate) async fn start() -> Self {
        let api = |_| Api { desk: Desk::default(), commands: watch::Sender::default(), messages: Seen::default() };
        Self::serve(Scheme::Tls, api).await
    }

    /// The answer to the next poll that has none.
    pub(crate) fn tells(&self, command: &str) {
        self.platform().commands.send_modify(|commands| commands.push_back(command.to_owned()));
    }

    /// What the channel has sent.
    pub(crate) fn messages(&self) -> &Seen<String> {
        &self.platform().messages
    }

    /// Waits until the channel has sent this.
    pub(crate) async fn shown(&self, text: &str) {
        self.messages().find(&format!("{text:?} is sent"), |shown| shown == text).await;
    }
}

impl Api {
    /// Waits for something to tell; a poll whose sender is gone takes nothing away.
    async fn poll(&self) -> String {
        let mut commands = self.commands.subscribe();
        loop {
            commands.wait_for(|commands| !commands.is_empty()).await.expect("the sender lives");
            let mut next = None;
            self.commands.send_if_modified(|commands| {
                next = commands.pop_front();
                false
            });
            if let Some(next) = next {
                return next;
            }
        }
    }
}

impl Platform for Api {
    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn operation(&self, request: &Request) -> String {
        request.path.trim_start_matches('/').to_owned()
    }

    async fn answer(&self, request: &Request) -> Answer {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/poll") => Answer::bytes(200, "text/plain", self.poll().await.into_bytes()),
            ("POST", "/messages") => {
                let body = String::from_utf8_lossy(&request.body).into_owned();
                let (part, text) = body.split_once(' ').unwrap_or(("0", &body));
                let id = self.messages.edit(|messages| {
                    messages.push(text.to_owned());
                    messages.len()
                });
                let part: usize = part.parse().expect("the number of a part");
                Answer::json(200, &json!([part, [id.to_string(), text]]))
            }
            _ => self.unserved(request),
        }
    }
}
