//! Plugins for exoclaw in Rust: typed tools and channels over the contract in `wit/`.
//!
//! A tool is a type that implements [`Tool`](tool::Tool), a channel one that implements
//! [`Channel`](channel::Channel); [`tools!`] and [`channel!`] make a component of it. Settings,
//! arguments and state are read and written with serde; an error is made with `?`.
//!
//! What the component uses is what it imports: a call of [`store`] makes `exoclaw:plugin/store` an
//! import, which the owner has to grant. Without one, the component imports a log at most.

// The bindings name this crate as their users do.
extern crate self as exoclaw_guest;

pub mod bindings;
pub mod channel;
mod error;
mod logging;
mod settings;
pub mod tool;
mod whole;

pub use bindings::tools::exoclaw::plugin::{files, memory, progress, store};
pub use bindings::{Error, Header, Request, Response};
pub use error::{failed, invalid, unsupported};
pub use logging::{Level, log};
pub use settings::{NoSettings, Settings};
pub use whole::Whole;

/// What the macros need, whatever their caller depends on.
#[doc(hidden)]
pub use wit_bindgen;
