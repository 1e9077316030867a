//! What plugin authors and owners test components with: the conformance kit, the bench, and what
//! an upgrade changes.
//!
//! All of it is black-box: it looks at a component through the [`runtime`](crate::runtime), as a
//! gateway does, and knows nothing of the language that it came from. Everything is seeded, so a
//! run can be repeated.

pub mod bench;
mod bounds;
mod chance;
mod channel;
pub mod diff;
pub mod events;
mod generate;
mod json_diff;
mod junit;
mod malformed;
mod report;
mod run;
mod tool;
pub mod view;

pub use channel::broken_promises;
pub use generate::arguments;
pub use junit::to_junit;
pub use report::{Case, Outcome, Report};
pub use run::{NOW, Options, run, session};
