//! Plugins: WebAssembly components, each call in a fresh instance.
//!
//! A [`Runtime`] loads a component once: it hashes and compiles the bytes, refuses every import
//! that was not granted, links it, and asks it what it is. Each call then gets a store, an
//! instance from the pool and limits of its own, and leaves nothing behind:
//!
//! - time: a busy guest yields its thread every 10 ms, and is dropped at its deadline, or when a
//!   processor has spent on it what it may;
//! - memory: all its memories and tables count against one limit;
//! - quantity: what it returns, logs, holds of the host and asks of the host is bounded, and so is
//!   how often it is called;
//! - reach: it is linked to a log, and to a WASI in which there is nothing.
//!
//! A plugin that keeps failing is left alone for a while, and no other notices.
//!
//! What was loaded is what runs. No guest can make the host panic, wait without end or say
//! something other than what happened.

pub mod bindings;
mod cache;
mod capability;
mod channel;
pub(crate) mod channel_out;
mod counts;
mod cpu;
mod dirs;
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
mod looks;
mod meter;
mod output;
mod plugin;
mod probe;
mod rate;
mod readings;
mod record;
mod registry;
pub mod schema;
mod state;
mod supervisor;
mod ticker;
mod tool;
mod toolbox;
mod trial;

pub use cache::{CacheError, CodeCache, CodeInfo, CodeOrigin};
pub use capability::{Progress, ProgressReport};
pub use channel::{ChannelCall, ChannelPlugin};
pub use counts::{FailureClass, LastFailure, PluginCounts};
pub use engine::Allocation;
pub use error::{CallError, LoadError, LoadProblem, PluginError, RuntimeError, TrapClass};
pub use grants::{Secrets, Services};
pub use imports::{Capability, Linkage, Ungranted};
pub use invoke::CallStats;
pub use load::{PluginSpec, Runtime, Source, Trust};
pub use looks::{ChannelInfo, FeaturesInfo, LackInfo};
pub use plugin::{ImportInfo, LimitsInfo, Plugin, PluginInfo, PluginKind, PluginState};
pub use probe::{ChannelProbe, Measured, RawCall, ToolProbe};
pub use readings::{PluginReading, PoolReading, QuarantineInfo, Readings};
pub use registry::{Change, Consent, Objection, Proposal, Registry, SwapError, SwapGuard};
pub use tool::{CallConditions, HintsInfo, Tool, ToolCall, ToolInfo};
pub use toolbox::Toolbox;
pub use trial::{StatelessTrial, TrialError, trial};
