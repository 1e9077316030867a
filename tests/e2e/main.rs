//! The real binary on real wires: WebSocket and JSON-RPC on one side, providers' event streams on
//! the other, WebAssembly components in between.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;
mod platform;

mod abort;
mod access;
mod canary;
mod capabilities;
mod channels;
mod cli;
mod code;
mod conversation;
mod costs;
mod demo;
mod drain;
mod failures;
mod fallback;
mod frames;
mod idempotency;
mod methods;
mod metrics;
mod new_plugin;
mod plugin_cli;
mod privacy;
mod prompt_cache;
mod reload;
mod requests;
mod resume;
mod sandbox;
mod secrets;
mod sessions;
mod slow_client;
mod splits;
mod steps;
mod storage;
mod tools;
