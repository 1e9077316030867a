//! exoclaw: a language-model agent behind every messaging platform, with tools and channels as
//! sandboxed WebAssembly components.
//!
//! Each module imports only what stands below it in this list.

pub mod cli;
pub mod config;
pub mod metering;
pub mod net;
pub mod provider;
pub mod runtime;
pub mod secrets;
pub mod store;
pub mod text;
