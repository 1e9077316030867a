//! Plugins: WebAssembly components, each call in a fresh instance.
//!
//! A [`Runtime`] loads a component once: it hashes and compiles the bytes, refuses every import
//! that was not granted, links it, and asks it what it is. Each call then gets a store, an
//! instance from the pool and limits of its own, and leaves nothing behind:
//!
//! - time: a busy guest yields its thread every 10 ms, and is dropped at its deadline;
//! - memory: all its memories and tables count against one limit;
//! - quantity: what it returns, logs, holds of the host and asks of the host is bounded;
//! - reach: it is linked to a log, and to a WASI in which there is nothing.
//!
//! What was loaded is what runs. No guest can make the host panic, wait without end or say
//! something other than what happened.

pub mod bindings;
mod capability;
mod channel;
mod egress;
pub mod egress_secrets;
mod engine;
mod error;
mod grants;
mod imports;
mod inert;
mod invoke;
mod json;
mod load;
mod meter;
mod output;
mod plugin;
pub mod schema;
mod state;
mod ticker;
mod tool;
mod toolbox;

pub use capability::{Progress, ProgressReport};
pub use channel::{ChannelCall, ChannelPlugin};
pub use engine::Allocation;
pub use error::{CallError, LoadError, LoadProblem, PluginError, RuntimeError, TrapClass};
pub use grants::{Secrets, Services};
pub use imports::{Capability, Linkage, Ungranted};
pub use invoke::CallStats;
pub use load::{PluginSpec, Runtime, Source, Trust};
pub use plugin::{ImportInfo, LimitsInfo, Plugin, PluginInfo, PluginKind};
pub use tool::{CallConditions, HintsInfo, Tool, ToolCall, ToolInfo};
pub use toolbox::Toolbox;
