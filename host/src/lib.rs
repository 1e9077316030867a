//! exoclaw: a language-model agent behind every messaging platform, with tools and channels as
//! sandboxed WebAssembly components.
//!
//! Each module imports only what stands below it in this list.

pub mod agent;
pub mod bus;
pub mod config;
pub mod gateway;
pub mod net;
pub mod provider;
pub mod runtime;
pub mod secrets;
pub mod store;
