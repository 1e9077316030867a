//! How events reach those who watch, within this process.
//!
//! The [`Hub`] numbers the events of each session, keeps those of its open turns for whoever
//! comes late, and hands them to every watcher without ever waiting for one.

mod hub;
mod log;
mod topic;

pub use hub::{Attachment, Hub, Live};
pub use topic::Topic;
