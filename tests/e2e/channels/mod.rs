//! Channels on the real binary, with servers that act as their platforms.

mod answers;
mod connections;
mod refusals;
mod repeats;
mod signatures;
mod troubles;

use crate::harness::{Builder, FakeProvider, Gateway, Reply, Request, Wire};
use crate::platform::config::Channel;
use crate::platform::trusting;

/// A model that repeats what it was told.
async fn parrot() -> FakeProvider {
    FakeProvider::start(Wire::Anthropic, |request: &Request| Reply::text(answer_to(&request.question()))).await
}

/// What it says to this.
fn answer_to(text: &str) -> String {
    format!("You said: {text}")
}

/// A gateway with this channel.
fn with(provider: &FakeProvider, channel: &Channel) -> Builder {
    channel.on(trusting(Gateway::builder().provider(provider)))
}
