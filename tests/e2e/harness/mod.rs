//! What the tests are made of: the real gateway, clients, and providers that are as strict as the
//! platforms. Every wait has a deadline, and nothing sleeps.

#![allow(dead_code, unused_imports, reason = "each test target uses what it needs")]

mod anthropic;
mod cache;
mod cli;
mod client;
mod gateway;
pub(crate) mod http;
mod openai;
mod provider;
mod reply;
mod transcript;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use cache::PromptCache;
pub(crate) use cli::{Finished, exoclaw, start};
pub(crate) use client::{Client, Connect, Turn};
pub(crate) use gateway::{Builder, Gateway, exoclaw_in};
pub(crate) use http::{Answer, Step, fetch};
pub(crate) use provider::{FakeProvider, Request, refusal};
pub(crate) use reply::{Counts, Reply, Stop};
pub(crate) use transcript::Transcript;

/// How long anything may take: generous for two busy cores, since it only ends what hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for `future`, and fails the test where it does not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}

/// A provider's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Anthropic,
    OpenAi,
}

/// Both, for what must hold on either.
pub(crate) const WIRES: [Wire; 2] = [Wire::Anthropic, Wire::OpenAi];

impl Wire {
    /// The provider's name in the config.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
        }
    }

    pub(crate) fn key_variable(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
        }
    }

    /// The key that the fake provider takes.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Anthropic => "sk-ant-test-KEYKEYKEY-anthropic",
            Self::OpenAi => "sk-proj-test-KEYKEYKEY-openai",
        }
    }

    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::Anthropic => "claude-test",
            Self::OpenAi => "gpt-test",
        }
    }
}

/// Holds something until the test opens it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(CancellationToken);

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn open(&self) {
        self.0.cancel();
    }

    pub(crate) async fn opened(&self) {
        self.0.cancelled().await;
    }
}
