//! exoclaw: a language-model agent behind every messaging platform, with tools and channels as
//! sandboxed WebAssembly components.
//!
//! A module imports only what stands below it: `cli`, `kit`, `gateway`, `agent`, `metering`,
//! `provider`, `runtime`, `bus`, `store`, `net`, `config`, `secrets`, and `home`, `image`, `money` and `text` beneath them all.

pub mod agent;
pub mod bus;
pub mod channel;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod home;
mod image;
pub mod kit;
pub mod metering;
pub mod money;
pub mod net;
pub mod provider;
pub mod runtime;
pub mod secrets;
pub mod store;
pub mod text;
