//! Channels on the real binary, with servers that act as their platforms.

mod answers;
mod commands;
mod connections;
mod files;
mod hostile;
mod pairing;
mod recovery;
mod refusals;
mod repeats;
mod signatures;
mod troubles;
mod unavailable;

use crate::harness::{Builder, FakeProvider, Gate, Gateway, Reply, Request, Wire};
use crate::platform::config::Channel;
use crate::platform::trusting;

/// A model that repeats what it was told.
async fn parrot() -> FakeProvider {
    FakeProvider::start(Wire::Anthropic, |request: &Request| Reply::text(answer_to(spoken(&request.question())))).await
}

/// The same, which begins to speak once the gate is open.
async fn slow_parrot(gate: &Gate) -> FakeProvider {
    let gate = gate.clone();
    FakeProvider::start(Wire::Anthropic, move |request: &Request| {
        Reply::new().wait(&gate).say(answer_to(spoken(&request.question())))
    })
    .await
}

/// What someone said, without who it was, which stands before it where several speak.
fn spoken(question: &str) -> &str {
    let named = question.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    named.map_or(question, |(_, text)| text)
}

/// What it says to this.
fn answer_to(text: &str) -> String {
    format!("You said: {text}")
}

/// A gateway with this channel.
fn with(provider: &FakeProvider, channel: &Channel) -> Builder {
    channel.on(trusting(Gateway::builder().provider(provider)))
}
